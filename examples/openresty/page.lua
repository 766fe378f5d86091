-- GET /
local links = require "links"
local template = require "template"

local all, message = links.all()
if not all then
    ngx.log(ngx.ERR, "cannot list links: ", message)
    return ngx.exit(ngx.HTTP_BAD_GATEWAY)
end
for _, link in ipairs(all) do
    link.follows = ngx.shared.follows:get(link.name) or 0
end
ngx.header.content_type = "text/html; charset=utf-8"
ngx.print(template.page { links = all })
