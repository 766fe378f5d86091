-- `ngx.socket`: objects around the gateway's sockets. Arguments: host functions, the dispatcher, the table `ngx`.
--
-- An object is a table that keeps the number of its socket, which changes when it is connected anew, and what the script has
-- set for the next operations. The gateway refuses a number that belongs to another request.
local host, core, ngx = ...

local type, tostring, tonumber, select, error, setmetatable = type, tostring, tonumber, select, error, setmetatable
local pairs, floor, concat = pairs, math.floor, table.concat
local getinfo, upper = debug.getinfo, string.upper
local wait, log = core.wait, host.log
local socket = host.socket
local connect, receive, receive_until, send = socket.connect, socket.receive, socket["until"], socket.send
local keepalive, handshake, close = socket.keepalive, socket.handshake, socket.close

local DEFAULT_TIMEOUT = host.socket_timeout
local may_wait = core.only_in("rewrite access content timer")

-- Keys of an object.
local NUMBER, CONNECT_TIMEOUT, SEND_TIMEOUT, READ_TIMEOUT, POOL, FROM, FROM_PORT = 1, 2, 3, 4, 5, 6, 7

-- A new object: with room for all of them, so that its table never grows.
local function object(meta)
    return setmetatable({ false, false, false, false, false, false, false }, meta)
end

-- How deeply tables to be sent may be nested: the depth at which a table that contains itself is found out.
local DEPTH = 64

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

-- The levels of `ngx.ERR`, for nginx logs what goes wrong with sockets, too, and of `ngx.DEBUG`.
local ERROR, DEBUG = 4, 8

-- What is sent of a value.
local function flatten(value, into, depth, name)
    if depth > DEPTH then
        error("bad argument #1 to '" .. name .. "' (tables are nested too deeply)", depth + 3)
    end
    local count = 0
    for key in pairs(value) do
        if type(key) ~= "number" or key < 1 or floor(key) ~= key then
            error("bad argument #1 to '" .. name .. "' (non-array table found)", depth + 3)
        end
        if key > count then
            count = key
        end
    end
    for i = 1, count do
        local piece = value[i]
        local kind = type(piece)
        if kind == "string" or kind == "number" then
            into[#into + 1] = piece
        elseif kind == "table" then
            flatten(piece, into, depth + 1, name)
        else
            error("bad argument #1 to '" .. name .. "' (bad data type " .. kind .. " found)", depth + 3)
        end
    end
    return into
end

local function text_of(data, name)
    local kind = type(data)
    if kind == "string" then
        return data
    elseif kind == "table" then
        return concat(flatten(data, {}, 1, name))
    elseif kind == "number" or kind == "boolean" or kind == "nil" then
        return tostring(data)
    end
    error("bad argument #1 to '" .. name .. "' (string, number, boolean, nil, or array table expected, got " .. kind .. ")", 3)
end

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

-- Whatever is no number means the default: libraries hand over all kinds of things.
local function timeout_of(value)
    local time = tonumber(value) or 0
    if time < 0 or time >= 2147483648 then
        error("bad timeout value", 3)
    end
    if time < 1 then
        return nil
    end
    return floor(time)
end

local function settimeout(self, ...)
    local n = select("#", ...)
    if n ~= 1 then
        error("ngx.socket settimeout: expecting 2 arguments (including the object) but seen " .. n + 1, 2)
    end
    local time = timeout_of((...))
    self[CONNECT_TIMEOUT], self[SEND_TIMEOUT], self[READ_TIMEOUT] = time, time, time
end

local function whole(value, option, least, index)
    if type(value) == "string" then
        value = tonumber(value) or value
    end
    if type(value) ~= "number" then
        return nil
    end
    value = floor(value)
    if value < least then
        error("bad argument #" .. index .. " to 'connect' (bad \"" .. option .. "\" option value: " .. value .. ")", 4)
    end
    return value
end

-- The options of `connect`: the size of the pool, how many may wait, and the pool's name.
local function options_of(options, index)
    local size, backlog, pool = options.pool_size, options.backlog, options.pool
    if size ~= nil then
        local count = whole(size, "pool_size", 1, index)
        if not count then
            error("bad argument #" .. index .. " to 'connect' (bad \"pool_size\" option type: " .. type(size) .. ")", 3)
        end
        size = count
    end
    backlog = whole(backlog, "backlog", 0, index)
    if backlog and not size then
        size = host.socket_pool_size
    end
    local kind = type(pool)
    if kind == "number" then
        pool = tostring(pool)
    elseif kind ~= "string" and kind ~= "nil" then
        error("bad argument #" .. index .. " to 'connect' (bad \"pool\" option type: " .. kind .. ")", 3)
    end
    return size, backlog, pool
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

-- The pool of an address that is connected to is usually the one of the last.
local last_name, last_number, last_pool

local function pool_of(name, number)
    if name ~= last_name or number ~= last_number then
        last_name, last_number, last_pool = name, number, number and name .. ":" .. number or name
    end
    return last_pool
end

local tcp = { settimeout = settimeout }
local tcp_meta = { __index = tcp }

function tcp:connect(...)
    local n = select("#", ...)
    if n < 1 or n > 3 then
        error("ngx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen " .. n + 1, 2)
    end
    may_wait()
    local name, port, options = ...
    name = text_argument(name, 1, "connect")
    local size, backlog, pool
    local last = options
    if n == 2 then
        last = port
    end
    if n > 1 and type(last) == "table" then
        size, backlog, pool = options_of(last, n)
        if n == 2 then
            port = nil
        end
    end
    local number, message = port_of(port)
    if message then
        return nil, message
    end
    pool = pool or pool_of(name, number)
    local made, state, waits = connect(self[NUMBER], name, number, pool, size, backlog, self[CONNECT_TIMEOUT] or DEFAULT_TIMEOUT, self[FROM],
        self[FROM_PORT])
    if not made then
        return result(nil, state)
    end
    self[NUMBER], self[POOL] = made, pool
    if state == true then
        return 1
    end
    if waits then
        log(DEBUG, "lua tcp socket queue connect operation for connection pool \"" .. pool .. "\"")
    end
    local ok, why, code = wait(state)
    if ok then
        return 1
    end
    local where = name .. (number and ":" .. number or "")
    if why == "timeout" then
        log(ERROR, "lua tcp socket connect timed out, when connecting to " .. where)
    elseif code then
        log(ERROR, "connect() failed (" .. code .. ": " .. why:gsub("^%l", upper) .. "), when connecting to " .. where)
    end
    return nil, why
end

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

function tcp:send(...)
    local n = select("#", ...)
    if n ~= 1 then
        error("expecting 2 arguments (including the object), but got " .. n + 1, 2)
    end
    may_wait()
    local data = ...
    if type(data) ~= "string" then
        data = text_of(data, "send")
    end
    local sent, message = send(self[NUMBER], data, self[SEND_TIMEOUT] or DEFAULT_TIMEOUT)
    if sent then
        return sent
    elseif sent == false then
        sent, message = wait(message)
        if sent then
            return sent
        elseif message == "timeout" then
            log(ERROR, "lua tcp socket write timed out")
        end
    elseif message == "closed" then
        log(ERROR, "attempt to send data on a closed socket")
    end
    return result(nil, message)
end

local function read(self, kind, size)
    local data, message, partial = receive(self[NUMBER], kind, size, self[READ_TIMEOUT] or DEFAULT_TIMEOUT)
    if data == false then
        data, message, partial = wait(message)
        if message == "timeout" then
            log(ERROR, "lua tcp socket read timed out")
        end
    end
    if data then
        return data
    elseif partial ~= nil then
        return nil, message, partial
    elseif message == "bad request" then
        error(message, 3)
    elseif message == "closed" then
        log(ERROR, "attempt to receive data on a closed socket")
    end
    return nil, message
end

function tcp:receive(...)
    local n = select("#", ...)
    if n > 1 then
        error("expecting 1 or 2 arguments (including the object), but got " .. n + 1, 2)
    end
    may_wait()
    if n == 0 then
        return read(self, "l")
    end
    local what = ...
    local size = tonumber(what)
    if size then
        if size < 0 then
            bad_argument(1, "receive", "bad number argument")
        end
        return read(self, "n", floor(size))
    end
    if what == "*l" then
        return read(self, "l")
    elseif what == "*a" then
        return read(self, "a")
    elseif type(what) ~= "string" then
        bad_argument(1, "receive", "bad argument")
    elseif #what == 2 and what:sub(1, 1) == "*" then
        bad_argument(1, "receive", "bad pattern argument")
    end
    bad_argument(1, "receive", "bad pattern argument: " .. what)
end

function tcp:receiveany(...)
    local n = select("#", ...)
    if n ~= 1 then
        error("expecting 2 arguments (including the object), but got " .. n + 1, 2)
    end
    may_wait()
    local most = tonumber((...))
    if not most or most < 1 then
        bad_argument(1, "receiveany", "bad max argument")
    end
    return read(self, "any", floor(most))
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

function tcp:close(...)
    if select("#", ...) > 0 then
        error("expecting 1 argument (including the object) but seen " .. select("#", ...) + 1, 2)
    end
    may_wait()
    return result(close(self[NUMBER]))
end

function tcp:settimeouts(...)
    local n = select("#", ...)
    if n ~= 3 then
        error("ngx.socket settimeouts: expecting 4 arguments (including the object) but seen " .. n + 1, 2)
    end
    local connecting, sending, reading = ...
    self[CONNECT_TIMEOUT] = timeout_of(connecting)
    self[SEND_TIMEOUT] = timeout_of(sending)
    self[READ_TIMEOUT] = timeout_of(reading)
end

function tcp:setkeepalive(...)
    local n = select("#", ...)
    if n > 2 then
        error("expecting 1 to 3 arguments (including the object), but got " .. n + 1, 2)
    end
    may_wait()
    local time, size = ...
    if time ~= nil and not tonumber(time) then
        bad_argument(1, "setkeepalive", "number expected, got " .. type(time))
    end
    if size ~= nil then
        local count = tonumber(size)
        if not count then
            bad_argument(2, "setkeepalive", "number expected, got " .. type(size))
        elseif count < 1 then
            bad_argument(2, "setkeepalive", "bad \"pool_size\" option value: " .. floor(count))
        end
        size = floor(count)
    end
    return result(keepalive(self[NUMBER], time == nil and host.socket_keepalive or tonumber(time), size or host.socket_pool_size,
        self[POOL]))
end

function tcp:getreusedtimes()
    may_wait()
    return result(socket.reused(self[NUMBER]))
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

local udp = { settimeout = settimeout }
local udp_meta = { __index = udp }

function udp:setpeername(...)
    local n = select("#", ...)
    if n ~= 1 and n ~= 2 then
        error("ngx.socket.udp setpeername: expecting 2 or 3 arguments (including the object), but seen " .. n + 1, 2)
    end
    may_wait()
    local name, port = ...
    name = text_argument(name, 1, "setpeername")
    local number, message = port_of(port)
    if message then
        return nil, message
    end
    number, message = socket.peer(self[NUMBER], name, number, self[FROM], self[CONNECT_TIMEOUT] or DEFAULT_TIMEOUT)
    if number == false then
        number, message = wait(message)
    end
    if not number then
        return result(nil, message)
    end
    self[NUMBER] = number
    return 1
end

function udp:bind(address)
    local ok, message = tcp.bind(self, address)
    return ok, message
end

function udp:send(...)
    local n = select("#", ...)
    if n ~= 1 then
        error("expecting 2 arguments (including the object), but got " .. n + 1, 2)
    end
    may_wait()
    local sent, message = socket.send_datagram(self[NUMBER], text_of((...), "send"), self[SEND_TIMEOUT] or DEFAULT_TIMEOUT)
    if sent == false then
        return wait(message)
    elseif message == "closed" then
        log(ERROR, "attempt to send data on a closed udp socket")
    end
    return result(sent, message)
end

function udp:receive(...)
    local n = select("#", ...)
    if n > 1 then
        error("expecting 1 or 2 arguments (including the object), but got " .. n + 1, 2)
    end
    may_wait()
    local size = 8192
    if n == 1 then
        size = tonumber((...))
        if not size or size < 1 then
            bad_argument(1, "receive", "bad number argument")
        end
    end
    local data, message = socket.receive_datagram(self[NUMBER], size, self[READ_TIMEOUT] or DEFAULT_TIMEOUT)
    if data == false then
        data, message = wait(message)
    end
    if data then
        return data
    elseif message == "timeout" then
        log(ERROR, "lua udp socket read timed out")
    elseif message == "closed" then
        log(ERROR, "attempt to receive data on a closed udp socket")
    else
        log(ERROR, "recv() failed: " .. message)
    end
    return result(nil, message)
end

function udp:close()
    may_wait()
    return result(socket.close_datagrams(self[NUMBER]))
end

-- The table -------------------------------------------------------------------------------------------------------------

local function new_tcp(...)
    if select("#", ...) > 0 then
        error("expecting zero arguments, but got " .. select("#", ...), 2)
    end
    may_wait()
    return object(tcp_meta)
end

local function new_udp(...)
    if select("#", ...) > 0 then
        error("expecting zero arguments, but got " .. select("#", ...), 2)
    end
    may_wait()
    return object(udp_meta)
end

ngx.socket = {
    tcp = new_tcp,
    stream = new_tcp,
    udp = new_udp,
    connect = function(...)
        may_wait()
        local sock = object(tcp_meta)
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
