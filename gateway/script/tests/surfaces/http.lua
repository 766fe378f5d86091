-- A client for HTTP/1.1 over cosockets, in the manner of lua-resty-http: pools, TLS, bodies as iterators, pipelines.
local co_yield, co_running = coroutine.yield, coroutine.running
local concat, insert = table.concat, table.insert
local lower, upper, find, sub, format, match = string.lower, string.upper, string.find, string.sub, string.format, string.match
local tonumber, tostring, type, pairs, setmetatable, rawset, rawget = tonumber, tostring, type, pairs, setmetatable, rawset, rawget
local re_match, re_find, encode_args, socket = ngx.re.match, ngx.re.find, ngx.encode_args, ngx.socket.tcp

local _M = { _VERSION = "1.0", SIZE_LIMIT = 1024 * 1024 }
local mt = { __index = _M }

-- Field names are found in any case; those that are written keep theirs.
local headers_mt = {
    __index = function(self, name)
        local proper = rawget(self, 1)[lower(name)]
        return proper and rawget(self, proper)
    end,
    __newindex = function(self, name, value)
        local known = rawget(self, 1)
        local proper = known[lower(name)]
        if proper then
            local before = rawget(self, proper)
            if type(before) == "table" then
                insert(before, value)
            else
                rawset(self, proper, { before, value })
            end
        else
            known[lower(name)] = name
            rawset(self, name, value)
        end
    end,
}

local function new_headers()
    return setmetatable({ {} }, headers_mt)
end

function _M.new()
    local sock, err = socket()
    if not sock then
        return nil, err
    end
    return setmetatable({ sock = sock, keepalive = true }, mt)
end

function _M.set_timeouts(self, connect, send, read)
    return self.sock:settimeouts(connect, send, read)
end

function _M.parse_uri(uri)
    local m, err = re_match(uri, [[^(?:(?<scheme>https?):)?//(?<host>\[[0-9a-f:]+\]|[^:/?]+)(?::(?<port>\d+))?(?<path>/[^?]*)?(?:\?(?<query>.*))?$]], "ijo")
    if not m then
        return nil, err or "not a URI: " .. tostring(uri)
    end
    local scheme = lower(m.scheme or "http")
    return {
        scheme = scheme,
        host = m.host,
        port = tonumber(m.port) or (scheme == "https" and 443 or 80),
        path = m.path or "/",
        query = m.query or "",
    }
end

-- `options`: scheme, host, port, server_name, verify, pool, pool_size, session.
function _M.connect(self, options)
    local pool = options.pool
        or concat({ options.scheme, options.host, options.port, options.server_name or "", tostring(options.verify) }, ":")
    local ok, err = self.sock:connect(options.host, options.port, { pool = pool, pool_size = options.pool_size or 10 })
    if not ok then
        return nil, err
    end
    self.host, self.port, self.scheme = options.host, options.port, options.scheme
    if options.scheme == "https" and self.sock:getreusedtimes() == 0 then
        local session, problem = self.sock:sslhandshake(options.session, options.server_name or options.host, options.verify ~= false)
        if not session then
            self.sock:close()
            return nil, problem
        end
        self.session = session
    end
    return true
end

function _M.get_reused_times(self)
    return self.sock:getreusedtimes()
end

local function send_body(sock, body)
    if type(body) ~= "function" then
        return sock:send(body)
    end
    for chunk in body do
        local ok, err = sock:send({ format("%x\r\n", #chunk), chunk, "\r\n" })
        if not ok then
            return nil, err
        end
    end
    return sock:send("0\r\n\r\n")
end

function _M.send_request(self, params)
    local lines = {
        upper(params.method or "GET"), " ", params.path or "/",
        params.query and "?" .. (type(params.query) == "table" and encode_args(params.query) or params.query) or "",
        " HTTP/1.1\r\n",
    }
    local headers = new_headers()
    for name, value in pairs(params.headers or {}) do
        headers[name] = value
    end
    if not headers.Host then
        headers.Host = self.host .. ":" .. self.port
    end
    local body = params.body
    if type(body) == "function" then
        headers["Transfer-Encoding"] = "chunked"
    elseif body then
        headers["Content-Length"] = #body
    end
    for name, value in pairs(headers) do
        if name ~= 1 then
            for _, each in ipairs(type(value) == "table" and value or { value }) do
                lines[#lines + 1] = name .. ": " .. tostring(each) .. "\r\n"
            end
        end
    end
    lines[#lines + 1] = "\r\n"
    local sent, err = self.sock:send(lines)
    if not sent then
        return nil, err
    end
    if body and lower(headers.Expect or "") ~= "100-continue" then
        return send_body(self.sock, body)
    end
    return true
end

local function receive_status(sock)
    local line, err = sock:receive("*l")
    if not line then
        return nil, err
    end
    local version, status, reason = match(line, "^HTTP/(%d%.%d) (%d%d%d) ?(.*)$")
    if not version then
        return nil, "no status line: " .. sub(line, 1, 40)
    end
    return tonumber(status), tonumber(version), reason
end

local function receive_headers(sock)
    local headers = new_headers()
    while true do
        local line, err = sock:receive("*l")
        if not line then
            return nil, err
        elseif re_find(line, [[^\s*$]], "jo") then
            return headers
        end
        local m = re_match(line, [[^([^:\s]+):\s*(.*?)\s*$]], "jo")
        if m then
            headers[m[1]] = m[2]
        end
    end
end

-- Readers are coroutines: what they wait for goes past whoever resumes them, what they yield goes to it.
local function chunked_reader(sock, response)
    return coroutine.wrap(function(size_limit)
        local left, size = 0, nil
        repeat
            if left == 0 then
                local line, err = sock:receive("*l")
                if not line then
                    co_yield(nil, err)
                    return
                end
                size = tonumber(match(line, "^%x+") or "", 16)
                if not size then
                    co_yield(nil, "no size of a chunk: " .. line)
                    return
                end
                left = size
            end
            if left > 0 then
                local piece = size_limit and size_limit < left and size_limit or left
                local data, err = sock:receive(piece)
                if not data then
                    co_yield(nil, err)
                    return
                end
                left = left - piece
                size_limit = co_yield(data) or size_limit
                if left == 0 then
                    sock:receive(2)
                end
            end
        until size == 0
        response.trailers = receive_headers(sock)
    end)
end

local function length_reader(sock, length)
    return coroutine.wrap(function(size_limit)
        local left = length
        while left > 0 do
            local piece = size_limit and size_limit < left and size_limit or left
            local data, err, partial = sock:receive(piece)
            if not data then
                co_yield(nil, err, partial)
                return
            end
            left = left - piece
            size_limit = co_yield(data) or size_limit
        end
    end)
end

local function closing_reader(sock)
    return coroutine.wrap(function(size_limit)
        while true do
            local data, err = sock:receiveany(size_limit or 65536)
            if not data then
                if err ~= "closed" then
                    co_yield(nil, err)
                end
                return
            end
            size_limit = co_yield(data) or size_limit
        end
    end)
end

local response_mt = {}
response_mt.__index = response_mt

function response_mt.read_body(self)
    local chunks = {}
    repeat
        local chunk, err = self.body_reader(_M.SIZE_LIMIT)
        if err then
            return nil, err, concat(chunks)
        end
        chunks[#chunks + 1] = chunk
    until not chunk
    return concat(chunks)
end

function _M.read_response(self, params)
    local sock, status, version, reason = self.sock, nil, nil, nil
    local headers
    repeat
        status, version, reason = receive_status(sock)
        if not status then
            return nil, version
        end
        local err
        headers, err = receive_headers(sock)
        if not headers then
            return nil, err
        end
        if status == 100 and params.body and params.headers and params.headers.Expect then
            local ok, problem = send_body(sock, params.body)
            if not ok then
                return nil, problem
            end
        end
    until status ~= 100
    local response = setmetatable({ status = status, reason = reason, headers = headers }, response_mt)
    local connection = lower(headers.Connection or "")
    if find(connection, "close", 1, true) or version == 1.0 and not find(connection, "keep-alive", 1, true) then
        self.keepalive = false
    end
    local none = params.method == "HEAD" or status == 204 or status == 304
    local length = tonumber(headers["Content-Length"])
    if none then
        response.body_reader = function() end
    elseif lower(headers["Transfer-Encoding"] or "") == "chunked" then
        response.body_reader = chunked_reader(sock, response)
    elseif length then
        response.body_reader = length_reader(sock, length)
    else
        self.keepalive = false
        response.body_reader = closing_reader(sock)
    end
    response.has_body = not none
    return response
end

function _M.request(self, params)
    local ok, err = self:send_request(params)
    if not ok then
        return nil, err
    end
    return self:read_response(params)
end

-- Sends all requests, then gives responses that are read when somebody looks at them.
function _M.request_pipeline(self, requests)
    for _, params in ipairs(requests) do
        local ok, err = self:send_request(params)
        if not ok then
            return nil, err
        end
    end
    local responses = {}
    for i, params in ipairs(requests) do
        responses[i] = setmetatable({}, {
            __index = function(self_, key)
                local response, err = self:read_response(params)
                if not response then
                    return nil, err
                end
                setmetatable(self_, response_mt)
                for name, value in pairs(response) do
                    rawset(self_, name, value)
                end
                return self_[key]
            end,
        })
    end
    return responses
end

function _M.set_keepalive(self, ...)
    if self.keepalive then
        return self.sock:setkeepalive(...)
    end
    local ok, err = self.sock:close()
    if not ok then
        return nil, err
    end
    return 2, "the connection must be closed"
end

function _M.close(self)
    return self.sock:close()
end

-- Connects, asks, reads the whole body and gives the connection back.
function _M.request_uri(self, uri, params)
    local parts, err = _M.parse_uri(uri)
    if not parts then
        return nil, err
    end
    params = setmetatable({ path = parts.path, query = parts.query ~= "" and parts.query or nil }, { __index = params })
    local ok, problem = self:connect {
        scheme = parts.scheme, host = parts.host, port = parts.port, server_name = params.server_name, verify = params.verify,
    }
    if not ok then
        return nil, problem
    end
    local response
    response, problem = self:request(params)
    if not response then
        self:close()
        return nil, problem
    end
    local body
    body, problem = response:read_body()
    if not body then
        self:close()
        return nil, problem
    end
    response.body = body
    local kept
    kept, problem = self:set_keepalive()
    if not kept then
        ngx.log(ngx.ERR, problem)
    end
    return response
end

-- Gives a response to the client, piece by piece.
local HOP_BY_HOP = { connection = true, ["transfer-encoding"] = true, ["content-length"] = true }

function _M.proxy_response(response, piece)
    ngx.status = response.status
    for name, value in pairs(response.headers) do
        if name ~= 1 and not HOP_BY_HOP[lower(name)] then
            ngx.header[name] = value
        end
    end
    repeat
        local chunk, err = response.body_reader(piece)
        if err then
            return nil, err
        end
        if chunk then
            local ok, problem = ngx.print(chunk)
            if not ok then
                return nil, problem
            end
            ngx.flush(true)
        end
    until not chunk
    return true
end

-- Whether somebody who reads could be in a coroutine of its own.
function _M.in_coroutine()
    return co_running() ~= nil
end

return _M
