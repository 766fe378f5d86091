-- Every request to this is a 500.
local args = ngx.req.get_uri_args()
ngx.say(ngx.encode_base46(args.text))
