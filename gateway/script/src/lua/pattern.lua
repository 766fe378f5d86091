-- The functions of `string` that match patterns.
local string, host = ...
local find, sub = string.find, string.sub
local host_find, host_next, host_gsub = host.find, host.next, host.gsub
local type, error, select, concat, tostring, tonumber = type, error, select, table.concat, tostring, tonumber

-- LuaJIT's own function is compiled away where it looks for a text as it is. It may take the product of both lengths.
local WORK = 100000000
local KNOWN = 500
local literal, known = {}, 0

local function is_literal(pattern)
    local is = not find(pattern, "[%^%$%*%+%?%.%(%[%%%-]")
    if #pattern <= 64 then
        if known == KNOWN then
            literal, known = {}, 0
        end
        literal[pattern] = is
        known = known + 1
    end
    return is
end

function string.find(subject, pattern, from, plain)
    if type(subject) == "string" and type(pattern) == "string" and #subject * #pattern <= WORK then
        if plain then
            return find(subject, pattern, from, true)
        end
        local is = literal[pattern]
        if is == nil then
            is = is_literal(pattern)
        end
        if is then
            return find(subject, pattern, from, true)
        end
    end
    return host_find(subject, pattern, from, plain)
end

string.match = host.match

local function text(value, index, name)
    if type(value) == "string" then
        return value
    elseif type(value) == "number" then
        return tostring(value)
    end
    local got = value == nil and "no value" or type(value)
    error("bad argument #" .. index .. " to '" .. name .. "' (string expected, got " .. got .. ")", 3)
end

function string.gmatch(subject, pattern)
    subject, pattern = text(subject, 1, "gmatch"), text(pattern, 2, "gmatch")
    local from, len = 0, #subject
    local function advance(first, last, ...)
        if not first then
            from = len + 1
            return
        end
        from = last > first and last or last + 1
        return ...
    end
    return function()
        if from <= len then
            return advance(host_next(subject, pattern, from))
        end
    end
end

function string.gsub(subject, pattern, replacement, ...)
    local kind = type(replacement)
    if kind == "string" or kind == "number" then
        return host_gsub(subject, pattern, replacement, ...)
    end
    subject, pattern = text(subject, 1, "gsub"), text(pattern, 2, "gsub")
    local most = ...
    if most ~= nil then
        most = tonumber(most)
        if not most then
            error("bad argument #4 to 'gsub' (number expected, got " .. type((...)) .. ")", 2)
        end
    end
    if kind ~= "function" and kind ~= "table" then
        local got = replacement == nil and "no value" or kind
        error("bad argument #3 to 'gsub' (string/function/table expected, got " .. got .. ")", 2)
    end
    local len = #subject
    most = most or len + 1
    local anchored = sub(pattern, 1, 1) == "^"
    if anchored then
        pattern = sub(pattern, 2)
    end
    local parts, n, count, from, copied = {}, 0, 0, 0, 0
    local function replace(first, last, ...)
        if not first then
            return false
        end
        count = count + 1
        local value
        if kind == "function" then
            value = replacement(...)
        else
            value = replacement[(...)]
        end
        if not value then
            value = sub(subject, first + 1, last)
        elseif type(value) ~= "string" and type(value) ~= "number" then
            error("invalid replacement value (a " .. type(value) .. ")", 3)
        end
        parts[n + 1], parts[n + 2] = sub(subject, copied + 1, first), value
        n, copied = n + 2, last
        from = last > first and last or last + 1
        return not anchored and from <= len
    end
    while count < most and replace(host_next(subject, pattern, from, anchored, kind == "table")) do
    end
    if count == 0 then
        return subject, 0
    end
    parts[n + 1] = sub(subject, copied + 1)
    return concat(parts), count
end
