-- The module `ngx.balancer`: which endpoint of the upstream a request goes to.
local host, core = ...
local type, tonumber, error = type, tonumber, error

local balancer = {}
local may_balance = core.only_in("balancer")

function balancer.set_current_peer(address, port)
    may_balance()
    if type(address) ~= "string" then
        error("bad argument #1 to 'set_current_peer' (string expected)", 2)
    end
    if not port then
        local name, digits = address:match("^(.*):(%d+)$")
        address, port = name or address, digits
    end
    local message = host.set_peer(address, tonumber(port) or -1)
    if message then
        return nil, message
    end
    return true
end

-- The gateway tries again by its own rules, and never to another endpoint than the chosen one.
function balancer.set_more_tries()
    may_balance()
    return true
end

function balancer.get_last_failure()
    may_balance()
    return nil
end

-- Timeouts are those of the upstream.
function balancer.set_timeouts()
    may_balance()
    return nil, "timeouts are settings of the upstream"
end

return balancer
