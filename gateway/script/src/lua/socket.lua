-- `ngx.socket`: methods that are called seldom; the others are the gateway's own. Arguments: host functions, the dispatcher, the
-- table `ngx`.
local host, core, ngx = ...

local type, tostring, tonumber, select, error = type, tostring, tonumber, select, error
local floor, getinfo = math.floor, debug.getinfo
local wait, log = core.wait, host.log
local socket = host.socket
local receive_until, handshake = socket["until"], socket.handshake

local DEFAULT_TIMEOUT = host.socket_timeout
local may_wait = core.only_in("rewrite access content timer")

-- Elements of an object, as the gateway has them.
local NUMBER, CONNECT_TIMEOUT, SEND_TIMEOUT, READ_TIMEOUT, FROM, FROM_PORT = 1, 2, 3, 4, 5, 6

-- A refusal that is the script's mistake is raised.
local function result(value, message)
    if value then
        return value
    elseif message == "bad request" then
        error("bad request", 3)
    end
    return nil, message
end

-- Of a method: arguments are counted as Lua counts those of its own functions, from the object unless it stands before a colon.
local function bad_argument(index, name, message)
    if getinfo(2, "n").namewhat ~= "method" then
        index, name = index + 1, "?"
    end
    error("bad argument #" .. index .. " to '" .. name .. "' (" .. message .. ")", 3)
end

-- The level of `ngx.ERR`: nginx logs what goes wrong with sockets, too.
local ERROR = 4

local function text_argument(value, index, name)
    local kind = type(value)
    if kind == "number" then
        return tostring(value)
    elseif kind ~= "string" then
        error("bad argument #" .. index .. " to '" .. name .. "' (string expected, got " .. (value == nil and "no value" or kind)
            .. ")", 3)
    end
    return value
end

-- A port, or a message.
local function port_of(value)
    local port = tonumber(value)
    if not port then
        return nil
    end
    port = floor(port)
    if port < 0 or port > 65535 then
        return nil, "bad port number: " .. port
    end
    return port
end

local tcp, udp = socket.tcp, socket.udp

tcp.setpeername = tcp.connect

function tcp:bind(...)
    local n = select("#", ...)
    if n ~= 1 and n ~= 2 then
        error("expecting 2 or 3 arguments, but got " .. n + 1, 2)
    end
    may_wait()
    local address, port = ...
    if n == 2 then
        if not tonumber(port) then
            return nil, "expecting port to be a number but got type: " .. type(port)
        end
        local message
        port, message = port_of(port)
        if message then
            return nil, message
        end
    end
    address = socket.address(text_argument(address, 1, "bind"))
    if not address then
        return nil, "bad address"
    end
    self[FROM], self[FROM_PORT] = address, port or 0
    return true
end

function tcp:receiveuntil(...)
    local n = select("#", ...)
    if n ~= 1 and n ~= 2 then
        error("expecting 2 or 3 arguments (including the object), but got " .. n + 1, 2)
    end
    may_wait()
    local pattern, options = ...
    pattern = text_argument(pattern, 1, "receiveuntil")
    local inclusive = false
    if n == 2 then
        if type(options) ~= "table" then
            bad_argument(2, "receiveuntil", "table expected, got " .. type(options))
        end
        inclusive = options.inclusive
        if inclusive ~= nil and type(inclusive) ~= "boolean" then
            error("bad \"inclusive\" option value type: " .. type(inclusive), 2)
        end
    end
    if pattern == "" then
        return nil, "pattern is empty"
    end
    -- How much of the pattern has come at the end of the last piece; -1: all of it.
    local progress = 0
    local function go_on(now, data, message, partial)
        progress = now
        if data then
            return data
        elseif message == "bad request" then
            error(message, 3)
        elseif partial ~= nil then
            if message == "timeout" then
                log(ERROR, "lua tcp socket read timed out")
            end
            return nil, message, partial
        elseif message == "closed" then
            log(ERROR, "attempt to receive data on a closed socket")
        end
        return nil, message
    end
    return function(...)
        local given = select("#", ...)
        if given > 1 then
            error("expecting 0 or 1 argument, but seen " .. given, 2)
        end
        may_wait()
        local size = 0
        if given == 1 then
            size = tonumber((...))
            if not size then
                error("bad argument #1 to '?' (number expected, got " .. type((...)) .. ")", 2)
            end
            size = size < 0 and 0 or floor(size)
        end
        if progress == -1 then
            progress = 0
            return nil, nil, nil
        end
        local now, data, message, partial = receive_until(self[NUMBER], pattern, inclusive, size, progress,
            self[READ_TIMEOUT] or DEFAULT_TIMEOUT)
        if now == false then
            return go_on(wait(data))
        end
        return go_on(now, data, message, partial)
    end
end

local SWITCHES = { keepalive = true, reuseaddr = true, ["tcp-nodelay"] = true }

function tcp:setoption(...)
    local n = select("#", ...)
    if n < 2 then
        error("ngx.socket setoption: expecting 2 or 3 arguments (including the object) but seen " .. n + 1, 2)
    end
    may_wait()
    local option, value = ...
    option = text_argument(option, 1, "setoption")
    if SWITCHES[option] then
        value = (value == true or (tonumber(value) or 0) ~= 0) and 1 or 0
    else
        value = tonumber(value)
        if not value then
            return nil, "bad value of option " .. option .. ": number expected"
        end
    end
    return result(socket.option(self[NUMBER], option, value))
end

-- A session that a handshake gives. The gateway keeps sessions itself, by the server's name, so all that a script can do with
-- it, handing it to the next handshake, changes nothing.
local session = host.session

function tcp:sslhandshake(...)
    local n = select("#", ...)
    if n > 4 then
        error("expecting 1 to 5 arguments (including the object), but seen " .. n + 1, 2)
    end
    may_wait()
    local reused, name, verify = ...
    if name ~= nil then
        name = text_argument(name, 2, "sslhandshake")
    end
    local done, message = handshake(self[NUMBER], name, verify and true or false, self[CONNECT_TIMEOUT] or DEFAULT_TIMEOUT)
    if done == false then
        done, message = wait(message)
    end
    if not done then
        return result(nil, message)
    end
    if reused == false then
        return true
    end
    return session
end

function tcp:setclientcert(certificate, key)
    may_wait()
    if certificate == nil and key == nil then
        return true
    elseif certificate == nil or key == nil then
        return nil, "client certificate must be supplied with corresponding private key"
    elseif type(certificate) ~= "cdata" then
        return nil, "bad cert arg: cdata expected, got " .. type(certificate)
    elseif type(key) ~= "cdata" then
        return nil, "bad pkey arg: cdata expected, got " .. type(key)
    end
    return nil, "client certificates are not supported: there is no ngx.ssl to make them with"
end

function tcp:getfd()
    may_wait()
    return result(socket.descriptor(self[NUMBER]))
end

-- Datagrams -------------------------------------------------------------------------------------------------------------

function udp:bind(address)
    local ok, message = tcp.bind(self, address)
    return ok, message
end

-- The table -------------------------------------------------------------------------------------------------------------

ngx.socket = {
    tcp = socket.new_tcp,
    stream = socket.new_tcp,
    udp = socket.new_udp,
    connect = function(...)
        local sock = socket.new_tcp()
        local ok, message = sock:connect(...)
        if not ok then
            return nil, message
        end
        return sock
    end,
}

-- The client's own connection belongs to the gateway, which may speak HTTP/2 on it.
function ngx.req.socket()
    may_wait()
    return nil, "request sockets are not supported: read the body with ngx.req.read_body()"
end
