-- GET /go/NAME
local links = require "links"

local name = ngx.var.uri:match("^/go/([%w-]+)$")
if not name then
    return ngx.exit(ngx.HTTP_NOT_FOUND)
end
local url, message = links.get(name)
if message then
    ngx.log(ngx.ERR, "cannot find a link: ", message)
    return ngx.exit(ngx.HTTP_BAD_GATEWAY)
end
if not url then
    return ngx.exit(ngx.HTTP_NOT_FOUND)
end
ngx.shared.follows:incr(name, 1, 0)
return ngx.redirect(url)
