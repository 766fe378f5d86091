-- For all snippets, in both servers.

local function text(value, depth)
    local kind = type(value)
    if kind == "string" then
        return (("%q"):format(value):gsub("\\\n", "\\n"):gsub("[%z\1-\31\127-\255]", function(byte)
            return ("\\x%02x"):format(byte:byte())
        end))
    elseif kind == "number" or kind == "boolean" or kind == "nil" then
        return tostring(value)
    elseif value == ngx.null then
        return "null"
    elseif kind ~= "table" then
        return kind
    elseif depth > 5 then
        return "..."
    end
    local keys, parts = {}, {}
    for key in pairs(value) do
        keys[#keys + 1] = key
    end
    table.sort(keys, function(a, b)
        if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then
            return a < b
        end
        return type(a) < type(b)
    end)
    for i, key in ipairs(keys) do
        parts[i] = (type(key) == "string" and key or "[" .. text(key, 0) .. "]") .. "=" .. text(value[key], depth + 1)
    end
    return "{" .. table.concat(parts, ",") .. "}"
end

-- All arguments as text, so that types, bytes and tables can be told apart.
function told(...)
    local parts = {}
    for i = 1, select("#", ...) do
        parts[i] = text((select(i, ...)), 0)
    end
    return table.concat(parts, " ")
end

function show(...)
    ngx.say(told(...))
end

-- Waits until something is so, for as long as a busy machine may take.
function eventually(is_so)
    for _ = 1, 1000 do
        if is_so() then return true end
        ngx.sleep(0.01)
    end
    return false
end

-- A dictionary that is empty.
function dict()
    local d = ngx.shared.d
    d:flush_all()
    d:flush_expired()
    return d
end

local function without_place(ok, message, ...)
    if not ok and type(message) == "string" then
        message = message:gsub("^%S+:%d+: ", ""):gsub(" to '[^']*'", "")
    end
    return ok, message, ...
end

-- Shows what a function comes to, or its error; where that was thrown, and the name of the function, differ.
function try(f, ...)
    show(without_place(pcall(f, ...)))
end
