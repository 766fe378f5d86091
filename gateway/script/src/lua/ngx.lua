-- The table `ngx` as far as it is about the request and its response. Arguments: host functions, the dispatcher, the table.
local host, core, ngx = ...

local type, tostring, select, error, rawset, setmetatable = type, tostring, select, error, rawset, setmetatable
local pairs, pcall, setfenv, loadstring = pairs, pcall, setfenv, loadstring
local concat = table.concat
local getinfo = debug.getinfo
local request_of, only_in = core.request, core.only_in
local base = _G

local null = ngx.null
local tonumber, getmetatable = tonumber, getmetatable

-- Constants -----------------------------------------------------------------------------------------------------------

local constants = {
    OK = 0, ERROR = -1, AGAIN = -2, DONE = -4, DECLINED = -5,
    STDERR = 0, EMERG = 1, ALERT = 2, CRIT = 3, ERR = 4, WARN = 5, NOTICE = 6, INFO = 7, DEBUG = 8,
    HTTP_CONTINUE = 100, HTTP_SWITCHING_PROTOCOLS = 101,
    HTTP_OK = 200, HTTP_CREATED = 201, HTTP_ACCEPTED = 202, HTTP_NO_CONTENT = 204, HTTP_PARTIAL_CONTENT = 206,
    HTTP_SPECIAL_RESPONSE = 300, HTTP_MOVED_PERMANENTLY = 301, HTTP_MOVED_TEMPORARILY = 302, HTTP_SEE_OTHER = 303,
    HTTP_NOT_MODIFIED = 304, HTTP_TEMPORARY_REDIRECT = 307, HTTP_PERMANENT_REDIRECT = 308,
    HTTP_BAD_REQUEST = 400, HTTP_UNAUTHORIZED = 401, HTTP_PAYMENT_REQUIRED = 402, HTTP_FORBIDDEN = 403,
    HTTP_NOT_FOUND = 404, HTTP_NOT_ALLOWED = 405, HTTP_NOT_ACCEPTABLE = 406, HTTP_REQUEST_TIMEOUT = 408,
    HTTP_CONFLICT = 409, HTTP_GONE = 410, HTTP_UPGRADE_REQUIRED = 426, HTTP_TOO_MANY_REQUESTS = 429, HTTP_CLOSE = 444,
    HTTP_ILLEGAL = 451, HTTP_INTERNAL_SERVER_ERROR = 500, HTTP_NOT_IMPLEMENTED = 501,
    HTTP_METHOD_NOT_IMPLEMENTED = 501, HTTP_BAD_GATEWAY = 502, HTTP_SERVICE_UNAVAILABLE = 503,
    HTTP_GATEWAY_TIMEOUT = 504, HTTP_VERSION_NOT_SUPPORTED = 505, HTTP_INSUFFICIENT_STORAGE = 507,
}
for name, value in pairs(constants) do
    ngx[name] = value
end

local METHODS = {
    [0x0002] = "GET", [0x0004] = "HEAD", [0x0008] = "POST", [0x0010] = "PUT", [0x0020] = "DELETE", [0x0040] = "MKCOL",
    [0x0080] = "COPY", [0x0100] = "MOVE", [0x0200] = "OPTIONS", [0x0400] = "PROPFIND", [0x0800] = "PROPPATCH",
    [0x1000] = "LOCK", [0x2000] = "UNLOCK", [0x4000] = "PATCH", [0x8000] = "TRACE",
}
for value, name in pairs(METHODS) do
    ngx["HTTP_" .. name] = value
end
core.methods = METHODS

-- Logs ----------------------------------------------------------------------------------------------------------------

local function stringify(value, at)
    if value == null then
        return "null"
    end
    local kind = type(value)
    if kind == "table" then
        local meta = getmetatable(value)
        if type(meta) ~= "table" or not meta.__tostring then
            error("bad argument #" .. at .. " to 'log' (expected table to have __tostring metamethod)", 4)
        end
    end
    return tostring(value)
end

local function log_at(depth, level, ...)
    local n = select("#", ...)
    local parts = {}
    for i = 1, n do
        parts[i] = stringify((select(i, ...)), i)
    end
    local info = getinfo(depth + 1, "Sln")
    local where = ""
    if info then
        local name = info.name
        where = info.short_src .. ":" .. info.currentline .. ": " .. (name and name .. "(): " or "")
    end
    host.log(level, "[lua] " .. where .. concat(parts))
end

function ngx.log(level, ...)
    if type(level) ~= "number" then
        error("bad argument #1 to 'log' (number expected, got " .. (level == nil and "no value" or type(level)) .. ")", 2)
    end
    if level < 0 or level > 8 then
        error("bad argument #1 to 'log' (bad log level: " .. level .. ")", 2)
    end
    log_at(2, level, ...)
end

function base.print(...)
    log_at(2, 6, ...)
end

-- Phases --------------------------------------------------------------------------------------------------------------

function ngx.get_phase()
    local request = request_of()
    if not request then
        error("no request found", 2)
    end
    return request.phase
end

-- Raises what a host function tells as an error.
local function raise(message)
    if message then
        error(message, 3)
    end
end

ngx.thread = core.threads

-- Output --------------------------------------------------------------------------------------------------------------

local may_write = only_in("rewrite access content")
local begun = host.response_begun

ngx.print, ngx.say = host.print, host.say

function ngx.flush()
    may_write()
    if not begun() then
        return nil, "nothing to flush"
    end
    return 1
end

function ngx.send_headers()
    may_write()
    host.begin_response()
    return 1
end

function ngx.eof()
    may_write()
    return host.end_response()
end

local may_exit = only_in("rewrite access content timer header_filter balancer")

function ngx.exit(status)
    local request = may_exit()
    status = tonumber(status)
    if not status then
        error("bad argument #1 to 'exit' (number expected)", 2)
    end
    if status == -2 or status == -4 then
        error("bad argument to 'ngx.exit': does not accept NGX_AGAIN or NGX_DONE", 2)
    end
    if request.phase ~= "timer" and status >= 300 and request.phase ~= "header_filter" and begun()
        and status ~= 408 and status ~= 444 and status ~= 499 then
        local sent = host.status()
        if sent == 0 then
            sent = 200
        end
        if status ~= sent then
            host.log(4, "attempt to set status " .. status .. " via ngx.exit after sending out the response status " .. sent)
        end
    end
    if request.phase == "header_filter" then
        -- It goes on, as in nginx: what follows `ngx.exit` runs, unless it is returned.
        return host.exit_later(status)
    end
    return core.exit(status)
end

local may_redirect = only_in("rewrite access content")

function ngx.redirect(...)
    may_redirect()
    local n, uri, status = select("#", ...), ...
    if n ~= 1 and n ~= 2 then
        error("expecting one or two arguments", 2)
    end
    if uri == nil then
        error("bad argument #1 to 'redirect' (string expected, got nil)", 2)
    end
    status = status or 302
    if status ~= 301 and status ~= 302 and status ~= 303 and status ~= 307 and status ~= 308 then
        error("only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, ngx.HTTP_PERMANENT_REDIRECT, "
            .. "ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are allowed", 2)
    end
    if begun() then
        error("attempt to call ngx.redirect after sending out the headers", 2)
    end
    uri = tostring(uri)
    local bad = uri:find("[%z\1-\31\127]")
    if bad then
        error(("unsafe byte \"0x%02x\" in redirect uri \"%s\""):format(uri:byte(bad),
            uri:gsub("[%z\1-\31\127\"\\]", function(c) return ("\\x%02X"):format(c:byte()) end)), 2)
    end
    host.set_header("Location", uri, false)
    return core.exit(status)
end

-- Fields of the response ----------------------------------------------------------------------------------------------

local may_see_response = only_in("rewrite access content header_filter body_filter log balancer", true)
local header_get, header_set = host.header, host.set_header

local function set_header(name, value, add)
    local in_time, message = header_set(tostring(name), value, add)
    if message then
        error(message, 3)
    end
    if not in_time then
        host.log(4, "attempt to set ngx.header." .. tostring(name) .. " after sending out response headers")
    end
end

ngx.header = setmetatable({}, {
    __index = function(_, name)
        may_see_response(1)
        return header_get(tostring(name))
    end,
    __newindex = function(_, name, value)
        may_see_response(1)
        set_header(name, value, false)
    end,
})

ngx.resp = {}

local function by_name(fields)
    return setmetatable(fields, {
        __index = function(t, name)
            if type(name) ~= "string" then
                return nil
            end
            return rawget(t, (name:lower():gsub("_", "-")))
        end,
    })
end

local function limit_of(max, default)
    if max == nil then
        return default
    end
    max = tonumber(max)
    if not max or max < 0 then
        return 0
    end
    return max
end

function ngx.resp.get_headers(max, raw)
    may_see_response()
    local fields, more = host.response_fields(limit_of(max, 100), raw and true or false)
    if not raw then
        by_name(fields)
    end
    if more then
        return fields, "truncated"
    end
    return fields
end

-- Modules of lua-resty-core.
package.preload["ngx.resp"] = function()
    return {
        version = host.core_version,
        add_header = function(name, value)
            may_see_response()
            if value == nil then
                error("invalid header value", 2)
            elseif value ~= "" then
                set_header(name, value, true)
            end
        end,
        set_status = function(status)
            may_see_response()
            ngx.status = status
        end,
    }
end

package.preload["ngx.req"] = function()
    return {
        version = host.core_version,
        add_header = function(name, value)
            if type(name) ~= "string" then
                error("bad 'name' argument: string expected, got " .. type(name), 2)
            elseif value == nil then
                error("bad 'value' argument: string or table expected, got nil", 2)
            elseif type(value) == "table" and #value == 0 then
                error("bad 'value' argument: non-empty table expected", 2)
            end
            host.add_request_header(name, value)
        end,
    }
end

-- `ngx.status`, `ngx.ctx` and the like --------------------------------------------------------------------------------

local getters, setters = {}, {}
core.getters, core.setters = getters, setters

function getters.ctx()
    local request = request_of()
    if not request then
        error("no request ctx found", 3)
    end
    local ctx = request.ctx
    if not ctx then
        ctx = {}
        request.ctx = ctx
    end
    return ctx
end

function setters.ctx(value)
    local request = request_of()
    if not request then
        error("no request ctx found", 3)
    end
    if type(value) ~= "table" then
        error("ctx should be a table while getting a " .. type(value), 3)
    end
    request.ctx = value
end

function getters.status()
    may_see_response(2)
    return host.status()
end

function setters.status(value)
    may_see_response(2)
    local status = tonumber(value)
    if not status then
        error("bad status: number expected, got " .. type(value), 3)
    end
    local in_time, message = host.set_status(status)
    if message then
        error(message, 3)
    end
    if not in_time then
        host.log(4, "attempt to set ngx.status after sending out response headers")
    end
end

function getters.headers_sent()
    may_see_response(2)
    return begun()
end

function getters.is_subrequest()
    may_see_response(2)
    return host.depth() > 0
end

function getters.arg()
    local request = request_of()
    local arg = request and request.arg
    if not arg then
        error("API disabled in the current context", 3)
    end
    return arg
end

setmetatable(ngx, {
    __index = function(_, name)
        local get = getters[name]
        if get then
            -- No tail call: errors count the callers.
            local value = get()
            return value
        end
    end,
    __newindex = function(t, name, value)
        local set = setters[name]
        if set then
            set(value)
            return
        end
        rawset(t, name, value)
    end,
})

-- Variables -----------------------------------------------------------------------------------------------------------

local may_see_vars = only_in("rewrite access content header_filter body_filter log balancer", true)
local var_set = host.set_var

ngx.var = setmetatable({}, {
    __index = host.var,
    __newindex = function(_, name, value)
        may_see_vars(1)
        if type(name) ~= "string" then
            error("bad variable name", 2)
        end
        if name == "args" then
            return raise(host.set_query(value ~= nil and tostring(value) or nil))
        end
        raise(var_set(name, value))
    end,
})

-- The request -----------------------------------------------------------------------------------------------------------

local req = {}
ngx.req = req
local may_see_request = only_in("rewrite access content header_filter body_filter log balancer", true)
local may_change_request = only_in("rewrite access content header_filter body_filter balancer", true)
local may_read_body = only_in("rewrite access content")
local may_have_body = only_in("rewrite access content", true)

function req.get_method()
    may_see_request()
    return host.method()
end

function req.set_method(method)
    may_change_request()
    if type(method) ~= "number" then
        error("bad method number", 2)
    end
    local name = METHODS[method]
    if not name then
        error("unsupported HTTP method: " .. method, 2)
    end
    raise(host.set_method(name))
end

function req.get_headers(max, raw)
    may_see_request()
    local fields, more = host.request_fields(limit_of(max, 100), raw and true or false)
    if not raw then
        by_name(fields)
    end
    if more then
        return fields, "truncated"
    end
    return fields
end

req.set_header, req.clear_header = host.set_request_header, host.clear_request_header

function req.raw_header(without_line)
    may_see_request()
    return host.raw_header(without_line and true or false)
end

function req.http_version()
    may_see_request()
    return host.http_version()
end

function req.start_time()
    may_see_request()
    return host.start_time()
end

function req.is_internal()
    may_see_request()
    return host.depth() > 0
end

local function decode(text, max, into)
    if not text or text == "" then
        return into or {}
    end
    local args, more = ngx.decode_args(text, max == nil and 100 or max)
    if into then
        for name, value in pairs(args) do
            into[name] = value
        end
        args = into
    end
    if more then
        return args, more
    end
    return args
end

function req.get_uri_args(max, into)
    may_see_request()
    return decode(host.query(), max, into)
end

function req.set_uri_args(...)
    may_change_request()
    local n, args = select("#", ...), ...
    if n ~= 1 then
        error("expecting 1 argument but seen " .. n, 2)
    end
    local kind = type(args)
    if kind == "table" then
        args = ngx.encode_args(args)
    elseif kind == "number" then
        args = tostring(args)
    elseif kind ~= "string" then
        error("bad argument #1 to 'set_uri_args' (string, number, or table expected, but got " .. kind .. ")", 2)
    end
    raise(host.set_query(args))
end

local may_jump = only_in("rewrite")

function req.set_uri(...)
    may_change_request()
    local n, uri, jump = select("#", ...), ...
    if n < 1 or n > 3 then
        error("expecting 1, 2 or 3 arguments but seen " .. n, 2)
    end
    if jump then
        may_jump()
    end
    if type(uri) == "number" then
        uri = tostring(uri)
    end
    if type(uri) ~= "string" then
        error("bad argument #1 to 'set_uri' (string expected, got " .. type(uri) .. ")", 2)
    end
    if uri == "" then
        error("attempt to use zero-length uri", 2)
    end
    local bad = uri:find("[%z\1-\31\127]")
    if bad then
        error(("unsafe byte \"0x%02x\" in uri \"%s\""):format(uri:byte(bad),
            uri:gsub("[%z\1-\31\127\"\\]", function(c) return ("\\x%02X"):format(c:byte()) end)), 2)
    end
    if jump then
        -- To the route of the new path, with the query as it is now.
        return ngx.exec(ngx.escape_uri(uri, 0), host.query())
    end
    raise(host.set_path(ngx.escape_uri(uri, 0)))
end

function req.read_body()
    may_read_body()
    local operation = host.read_body()
    if operation then
        core.wait(operation)
    end
end

local function needs_body(level)
    if not host.body_is_read() then
        error("request body not read yet", level + 1)
    end
end

function req.get_body_data(max)
    may_change_request()
    local body = host.body()
    if body and max and max > 0 and #body > max then
        return body:sub(1, max)
    end
    return body
end

-- Bodies are held in memory, within the route's limit.
function req.get_body_file()
    may_change_request()
    return nil
end

function req.get_post_args(max)
    may_change_request()
    if not host.body_is_read() then
        error("no request body found; maybe you should turn on lua_need_request_body?", 2)
    end
    return decode(host.body(), max)
end

function req.discard_body()
    may_have_body()
    return
end

function req.set_body_data(data)
    may_have_body()
    if type(data) ~= "string" then
        error("bad argument #1 to 'set_body_data' (string expected, got " .. type(data) .. ")", 2)
    end
    needs_body(2)
    raise(host.set_body(data))
end

function req.init_body()
    local request = may_have_body()
    needs_body(2)
    request.body = {}
end

function req.append_body(data)
    local request = may_have_body()
    if not request.body then
        error("request_body not initialized", 2)
    end
    request.body[#request.body + 1] = tostring(data)
end

function req.finish_body()
    local request = may_have_body()
    if not request.body then
        error("request_body not initialized", 2)
    end
    raise(host.set_body(concat(request.body)))
    request.body = false
end

-- The process -----------------------------------------------------------------------------------------------------------

ngx.config = {
    debug = false, subsystem = "http", nginx_version = 1027001, ngx_lua_version = 10028, is_console = false,
    prefix = function() return "" end,
    nginx_configure = function() return "" end,
}

-- Modules -----------------------------------------------------------------------------------------------------------------

local loaded, preload = package.loaded, package.preload
-- Not a table: `module` would take that for the module.
local function loading() end

-- Replaces `require`: modules were read with the configuration, see the globals of the VM and not those of the request that
-- happens to be the first to want them, and may wait for what they need.
function base.require(name)
    if type(name) ~= "string" then
        error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2)
    end
    local present = loaded[name]
    if present ~= nil and present ~= loading then
        return present
    end
    if present == loading then
        error("loop or previous error loading module '" .. name .. "'", 2)
    end
    local chunk, file, message = preload[name], nil, nil
    if not chunk then
        chunk, file, message = host.module(name)
        if message then
            error("error loading module '" .. name .. "':\n\t" .. message, 2)
        end
        if chunk then
            setfenv(chunk, base)
        elseif host.trusted then
            chunk, message = core.native(name)
        end
    end
    if not chunk then
        error("module '" .. name .. "' not found:\n\tno field package.preload['" .. name .. "']\n\tno such file below `path` of ["
            .. "lua." .. host.lua_name .. "] when the configuration was read" .. (message or ""), 2)
    end
    loaded[name] = loading
    local ok, result = pcall(chunk, name, file)
    if not ok then
        loaded[name] = nil
        error(result, 0)
    end
    if result ~= nil then
        loaded[name] = result
    elseif loaded[name] == loading then
        loaded[name] = true
    end
    return loaded[name]
end

loaded.ngx = ngx
package.path, package.cpath = host.package_path, host.package_cpath

if host.trusted then
    -- What Lua itself looks in `package.cpath` with: for `a.b` in `a/b.so`, and in `a.so`.
    local whole, root = package.loaders[3], package.loaders[4]
    function core.native(name)
        local message = ""
        for _, look in ipairs({ whole, root }) do
            local found = look(name)
            if type(found) == "function" then
                return found
            end
            message = message .. tostring(found or "")
        end
        return nil, message
    end
end
