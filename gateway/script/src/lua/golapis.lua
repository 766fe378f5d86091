-- The names of golapis: the same things as in `ngx`, and `go` for what waits.
local ngx, base = ...

local error, setmetatable = error, setmetatable

-- Keys without a dictionary's name live in the one that is called `golapis`.
local function of_own(method)
    return function(...)
        local dict = ngx.shared.golapis
        if not dict then
            error("golapis.shared." .. method .. " needs the shared dictionary `golapis`: add [shared_dicts.golapis] and grant "
                .. "\"shared:golapis\"", 2)
        end
        return dict[method](dict, ...)
    end
end

local shared = { get = of_own("get"), set = of_own("set"), incr = of_own("incr") }

base.golapis = setmetatable({ shared = setmetatable(shared, { __index = ngx.shared }) }, {
    __index = ngx,
    __newindex = ngx,
})

local socket = {
    read = function(sock, ...)
        return sock:receive(...)
    end,
    write = function(sock, ...)
        return sock:send(...)
    end,
    close = function(sock)
        return sock:close()
    end,
}

base.go = {
    sleep = ngx.sleep,
    socket = setmetatable(socket, {
        __index = ngx.socket,
        __call = function()
            return ngx.socket.tcp()
        end,
    }),
}
