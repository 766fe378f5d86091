-- Requests to the gateway's own routes: `ngx.location.capture`, `ngx.location.capture_multi` and `ngx.exec`.
local host, core, ngx = ...

local select, type, tostring, error, pairs, unpack = select, type, tostring, error, pairs, unpack
local may_capture = core.only_in("rewrite access content")
local capture = host.capture

local function add_args(path, args)
    if type(args) == "table" then
        args = ngx.encode_args(args)
    elseif args ~= nil then
        args = tostring(args)
    end
    if not args or args == "" then
        return path
    end
    return path .. (path:find("?", 1, true) and "&" or "?") .. args
end

local function wanted(path, options, level)
    if type(path) ~= "string" then
        error("bad argument #1 to 'capture' (string expected, got " .. type(path) .. ")", level + 1)
    end
    options = options or {}
    if type(options) ~= "table" then
        error("bad argument #2 to 'capture' (table expected, got " .. type(options) .. ")", level + 1)
    end
    local method = "GET"
    if options.method ~= nil then
        method = core.methods[options.method]
        if not method then
            error("unsupported HTTP method: " .. tostring(options.method), level + 1)
        end
    end
    for _, name in pairs({ "ctx", "vars", "copy_all_vars", "share_all_vars" }) do
        if options[name] then
            error("the option `" .. name .. "` is not there: a subrequest is a request of its own; pass what it needs as "
                .. "arguments or fields", level + 1)
        end
    end
    local body = options.body
    if body == nil and (options.always_forward_body or method == "POST" or method == "PUT") then
        body = host.body()
    elseif type(body) == "table" then
        body = table.concat(body)
    elseif body ~= nil then
        body = tostring(body)
    end
    if path:sub(1, 1) ~= "/" then
        path = "/" .. path
    end
    return { method = method, path = add_args(path, options.args), body = body }
end

local fields = {
    __index = function(t, name)
        if type(name) ~= "string" then
            return nil
        end
        name = name:gsub("_", "-"):lower()
        for key, value in pairs(t) do
            if key:lower() == name then
                return value
            end
        end
    end,
}

local function begin(list)
    local operation = capture(list)
    if type(operation) == "string" then
        error(operation, 3)
    end
    core.pending(1)
    local responses = { core.wait(operation) }
    core.pending(-1)
    local extent = responses[#list + 1]
    responses[#list + 1] = nil
    for i = 1, #list do
        local response = responses[i]
        if type(response) == "string" then
            host.log(4, "a subrequest to " .. list[i].path .. " failed: " .. response)
            responses[i] = { status = 500, header = {}, body = "", truncated = false }
        end
        setmetatable(responses[i].header, fields)
    end
    return responses, extent
end

ngx.location = {}

function ngx.location.capture(path, options)
    may_capture()
    return (begin({ wanted(path, options, 2) }))[1]
end

function ngx.location.capture_multi(list)
    may_capture()
    if type(list) ~= "table" then
        error("bad argument #1 to 'capture_multi' (table expected, got " .. type(list) .. ")", 2)
    end
    if #list == 0 then
        error("at least one subrequest should be specified", 2)
    end
    local all = {}
    for i, one in ipairs(list) do
        all[i] = wanted(one[1], one[2], 2)
    end
    return unpack((begin(all)), 1, #all)
end

-- The target's response is this request's: it is asked for like a subrequest, with this request's method and body.
function ngx.exec(...)
    may_capture()
    local n, path, args = select("#", ...), ...
    if n ~= 1 and n ~= 2 then
        error("expecting one or two arguments, but got " .. n, 2)
    end
    if type(path) ~= "string" then
        error("bad argument #1 to 'exec' (string expected, got " .. type(path) .. ")", 2)
    end
    if path == "" then
        error("The uri argument is empty", 2)
    end
    if path:sub(1, 1) == "@" then
        error("no named locations: give the path of a route", 2)
    end
    if host.response_begun() then
        error("attempt to call ngx.exec after sending out response headers", 2)
    end
    if path:sub(1, 1) ~= "/" then
        path = "/" .. path
    end
    path = add_args(path, args)
    local responses, extent = begin({ { method = host.method(), path = path, body = host.body() } })
    local response = responses[1]
    -- Nothing has been sent yet: half of a response must not pass for all of it.
    if extent == "broken off" then
        host.log(4, "the response of " .. path .. " broke off: ngx.exec answers with 502")
        return core.exit(502)
    elseif extent == "too long" then
        error("the response of " .. path .. " is longer than `response_limit`, within which ngx.exec holds it: raise that, or "
            .. "make it a route of its own", 2)
    end
    host.set_status(response.status)
    -- What has none there has none here.
    host.set_header("Content-Type", response.header["Content-Type"], false)
    for name, value in pairs(response.header) do
        local lower = name:lower()
        if lower ~= "content-length" and lower ~= "connection" and lower ~= "transfer-encoding" and lower ~= "x-request-id"
            and lower ~= "date" and lower ~= "keep-alive" then
            host.set_header(name, value, false)
        end
    end
    host.print(response.body)
    host.begin_response()
    host.answered_elsewhere()
    return core.exit(200)
end
