-- Lets those pass who know the key.
local keys = require "keys"

local name = keys[ngx.var.http_x_key or ""]
if not name then
    ngx.header["WWW-Authenticate"] = "Key"
    return ngx.exit(ngx.HTTP_UNAUTHORIZED)
end
ngx.ctx.name = name
