-- Templates that are compiled to Lua, in the manner of lua-resty-template: {{escaped}}, {*raw*}, {%code%}, {(include)},
-- {[expression that names an include]}, {#comment#}, blocks and layouts.
local loadstring, setfenv, load, setmetatable, tostring, type = loadstring, setfenv, load, setmetatable, tostring, type
local concat, find, sub, gsub, byte = table.concat, string.find, string.sub, string.gsub, string.byte
local null = ngx.null

local _M = { cache = {}, compiled = 0 }

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;", ["/"] = "&#47;" }

local function output(value)
    if value == nil or value == null then
        return ""
    elseif type(value) == "function" then
        return output(value())
    end
    return tostring(value)
end

local function escape(value)
    if type(value) == "string" then
        return (gsub(value, "[&<>\"'/]", ENTITIES))
    elseif type(value) == "function" then
        return escape(value())
    end
    return output(value)
end

local ENDS = { ["{"] = "}}", ["*"] = "*}", ["%"] = "%}", ["("] = ")}", ["["] = "]}", ["#"] = "#}", ["-"] = "-}" }

-- The source of a function of a context.
local function parse(view)
    local code, n = { "local context, template = ...\nlocal ___, ___blocks = {}, {}\n" }, 1
    local function add(...)
        for i = 1, select("#", ...) do
            n = n + 1
            code[n] = (select(i, ...))
        end
    end
    local function text(from, to)
        if from <= to then
            add("___[#___+1]=", ("%q"):format(sub(view, from, to)), "\n")
        end
    end
    local from, at = 1, find(view, "{", 1, true)
    while at do
        local kind = sub(view, at + 1, at + 1)
        local close = ENDS[kind]
        local last = close and find(view, close, at + 2, true)
        if last and byte(view, at - 1) == 92 then
            -- An escaped one is text.
            text(from, at - 2)
            from = at
            at = find(view, "{", at + 1, true)
        elseif last then
            text(from, at - 1)
            local inner = sub(view, at + 2, last - 1)
            if kind == "{" then
                add("___[#___+1]=template.escape(", inner, ")\n")
            elseif kind == "*" then
                add("___[#___+1]=template.output(", inner, ")\n")
            elseif kind == "%" then
                add(inner, "\n")
            elseif kind == "(" then
                local name, rest = inner:match("^%s*([^,]-)%s*,(.*)$")
                add("___[#___+1]=template.include(", ("%q"):format(name or inner:match("^%s*(.-)%s*$")), ",", rest or "context", ")\n")
            elseif kind == "[" then
                add("___[#___+1]=template.include(", inner, ",context)\n")
            elseif kind == "-" then
                -- {-name-} until the next {-name-} is a block.
                local open = "{-" .. inner .. "-}"
                local finish = find(view, open, last + 2, true) or error("no end of block " .. inner, 0)
                add("___blocks[", ("%q"):format(inner), "]=template.render_text(", ("%q"):format(sub(view, last + 2, finish - 1)), ",context)\n")
                last = finish + #open - 2
            end
            from = last + 2
            at = find(view, "{", from, true)
        else
            at = find(view, "{", at + 1, true)
        end
    end
    text(from, #view)
    add("local outer=layout context.layout=nil\n",
        "return outer and template.include(outer,setmetatable({view=table.concat(___),blocks=___blocks},{__index=context})) or table.concat(___)")
    return concat(code)
end

_M.parse, _M.escape, _M.output = parse, escape, output

-- Where templates come from; replaced by those who keep them elsewhere.
function _M.load(name)
    error("no template " .. name, 0)
end

-- Names in a view are fields of the context, then globals of whoever asks; what a view sets is set in the context.
local function environment(context, globals)
    return setmetatable({}, {
        __index = function(_, name)
            local value = context[name]
            if value == nil then
                value = globals[name]
            end
            return value
        end,
        __newindex = context,
    })
end

-- A function of a context.
function _M.compile(view, name, by_load)
    local key = name or ngx.md5(view)
    local cached = _M.cache[key]
    if cached then
        return cached
    end
    _M.compiled = _M.compiled + 1
    local source, chunk_name, globals = parse(view), "=" .. (name or "view"), getfenv(2)
    local made
    if by_load then
        made = function(context)
            return assert(load(source, chunk_name, "t", environment(context, globals)))(context, _M)
        end
    else
        local chunk = assert(loadstring(source, chunk_name))
        made = function(context)
            return setfenv(chunk, environment(context, globals))(context, _M)
        end
    end
    _M.cache[key] = made
    return made
end

function _M.render_text(view, context)
    return _M.compile(view)(setmetatable({ layout = false }, { __index = context }))
end

function _M.include(name, context)
    return _M.compile(_M.load(name), name)(setmetatable({ layout = false }, { __index = context }))
end

function _M.process(name, context)
    return _M.compile(_M.load(name), name)(context or {})
end

function _M.render(name, context)
    return ngx.print(_M.process(name, context))
end

return _M
