-- The methods of dictionaries that visit all entries. They do it in parts, so that a script that visits many can be
-- stopped between them.
local methods, parts = ...
local keys, flush_part = parts.keys, parts.flush_expired
local error, tonumber, select = error, tonumber, select

local KEYS = 1024

local function count_of(value, default)
    if value == nil then
        return default
    end
    local count = tonumber(value)
    if not count then
        error("bad argument #2 (number expected, got " .. type(value) .. ")", 3)
    end
    return count
end

function methods.get_keys(self, ...)
    if select("#", ...) > 1 then
        error("expecting 1 or 2 argument(s), but saw " .. select("#", ...) + 1, 2)
    end
    local most = count_of((...), KEYS)
    if most <= 0 then
        most = 4294967295
    end
    local list, filled, from = {}, 0, 0
    repeat
        local _, after, count = keys(self, list, filled, from, most - filled)
        filled, from = filled + count, after
    until not from or filled >= most
    return list
end

function methods.flush_expired(self, ...)
    if select("#", ...) > 1 then
        error("expecting 1 or 2 argument(s), but saw " .. select("#", ...) + 1, 2)
    end
    local most = count_of((...), 0)
    if most <= 0 then
        most = 4294967295
    end
    local flushed, from = 0, 0
    repeat
        local _, after, count = flush_part(self, from, most - flushed)
        flushed, from = flushed + count, after
    until not from or flushed >= most
    return flushed
end
