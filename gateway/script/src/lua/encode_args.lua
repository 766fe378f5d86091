-- ngx.encode_args: the arguments of a query from a table.
local escape = ...
local type, next, error, select, concat = type, next, error, select, table.concat

return function(...)
    if select("#", ...) ~= 1 then
        error("expecting 1 argument but seen " .. select("#", ...), 2)
    end
    local args = ...
    if type(args) ~= "table" then
        error("bad argument #1 to '?' (table expected, got " .. type(args) .. ")", 2)
    end
    local parts, n = {}, 0
    local function add(key, value)
        local kind = type(value)
        if kind == "string" or kind == "number" then
            n = n + 1
            parts[n] = key .. "=" .. escape(value)
        elseif kind == "boolean" then
            if value then
                n = n + 1
                parts[n] = key
            end
        else
            error("attempt to use " .. kind .. " as query arg value", 3)
        end
    end
    for key, value in next, args do
        if type(key) ~= "string" then
            error('attempt to use a non-string key in the "args" option table', 2)
        end
        key = escape(key)
        if type(value) == "table" then
            for _, each in next, value do
                add(key, each)
            end
        else
            add(key, value)
        end
    end
    return concat(parts, "&")
end
