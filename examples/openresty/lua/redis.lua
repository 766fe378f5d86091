-- Commands to Redis over a connection that is kept for the next request.
local redis = {}

local function read(socket)
    local line, message = socket:receive()
    if not line then
        return nil, message
    end
    local kind, rest = line:sub(1, 1), line:sub(2)
    if kind == "+" then
        return rest
    elseif kind == "-" then
        return nil, rest
    elseif kind == ":" then
        return tonumber(rest)
    elseif kind == "$" then
        local size = tonumber(rest)
        if size < 0 then
            return ngx.null
        end
        local text
        text, message = socket:receive(size + 2)
        return text and text:sub(1, size), message
    end
    local values = {}
    for i = 1, tonumber(rest) do
        values[i], message = read(socket)
        if values[i] == nil then
            return nil, message
        end
    end
    return values
end

function redis.call(...)
    local socket = ngx.socket.tcp()
    socket:settimeouts(500, 500, 1000)
    local ok, message = socket:connect("redis")
    if not ok then
        return nil, message
    end
    local parts = { "*", select("#", ...), "\r\n" }
    for i = 1, select("#", ...) do
        local text = tostring((select(i, ...)))
        parts[#parts + 1] = "$" .. #text .. "\r\n" .. text .. "\r\n"
    end
    ok, message = socket:send(parts)
    if not ok then
        return nil, message
    end
    local answer
    answer, message = read(socket)
    if answer ~= nil or message ~= "timeout" then
        socket:setkeepalive(30000, 20)
    end
    return answer, message
end

return redis
