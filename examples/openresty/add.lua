-- PUT /links/NAME with a URL as the body.
local links = require "links"

if ngx.req.get_method() ~= "PUT" then
    return ngx.exit(ngx.HTTP_NOT_ALLOWED)
end
local name = ngx.var.uri:match("^/links/([%w-]+)$")
ngx.req.read_body()
local url = ngx.req.get_body_data()
if not name or not url or not ngx.re.find(url, [[^https?://[^\s]+$]], "jo") then
    ngx.status = ngx.HTTP_BAD_REQUEST
    ngx.say("expected PUT /links/NAME with a URL as the body")
    return
end
local ok, message = links.set(name, url)
if not ok then
    ngx.log(ngx.ERR, "cannot keep a link: ", message)
    return ngx.exit(ngx.HTTP_BAD_GATEWAY)
end
ngx.say(ngx.ctx.name, " has set ", name)
