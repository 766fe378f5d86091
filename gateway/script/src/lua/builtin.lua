-- Trims the libraries of LuaJIT. Loaded last into a VM, by when what is part of the gateway has what it needs of them.
--
-- What stays must not reach the functions of the gateway from inside, must not run for long without a moment at which the
-- script can be stopped, and must not give one script a hold on what others share.
local trusted, symbols = ...

local type, error, select, next, tostring, tonumber = type, error, select, next, tostring, tonumber
local rawget, rawset, setmetatable, getmetatable = rawget, rawset, setmetatable, getmetatable
local sub, concat = string.sub, table.concat
local globals = _G

-- Functions that are gone, and what to do instead: `witgate lua check` tells it.
local refused = {}

local function refuse(name, instead)
    refused[name] = instead
    return function()
        error(name .. " is not available to scripts" .. (trusted and "" or ' with trust = "sandbox"') .. ": " .. instead, 2)
    end
end

-- Code ----------------------------------------------------------------------------------------------------------------

-- Parsing cannot be stopped; this takes some 10 ms.
local SOURCE_LIMIT = 1024 * 1024

local parse, environment, set_environment = load, getfenv, setfenv
local getinfo, traceback = debug.getinfo, debug.traceback

local function collect(reader)
    local parts, n, size = {}, 0, 0
    while true do
        local part = reader()
        if part == nil or part == "" then
            return concat(parts)
        elseif type(part) ~= "string" then
            return nil, "reader function must return a string"
        end
        n, size = n + 1, size + #part
        if size > SOURCE_LIMIT then
            return nil, "the source is longer than " .. SOURCE_LIMIT .. " bytes"
        end
        parts[n] = part
    end
end

-- Only text, because bytecode is not checked and can break the VM. Chunks get the environment of who loads them: that of
-- the coroutine is what all requests share.
local function compile(source, name, mode, env)
    if type(source) == "function" then
        local problem
        source, problem = collect(source)
        if not source then
            return nil, problem
        end
        name = name or "=(load)"
    elseif type(source) ~= "string" then
        error("bad argument #1 to 'load' (string or function expected, got " .. type(source) .. ")", 3)
    end
    if #source > SOURCE_LIMIT then
        return nil, "the source is longer than " .. SOURCE_LIMIT .. " bytes"
    end
    if not trusted and (sub(source, 1, 1) == "\27" or mode == "b") then
        return nil, "attempt to load chunk with wrong mode: bytecode is refused"
    end
    if not trusted then
        mode = "t"
    end
    return parse(source, name or source, mode, env)
end

function globals.load(source, name, mode, ...)
    local env = environment(2)
    if select("#", ...) > 0 then
        env = ...
    end
    return compile(source, name, mode, env)
end

function globals.loadstring(source, name)
    if type(source) == "number" then
        source = tostring(source)
    end
    return compile(source, name, nil, environment(2))
end

if not trusted then
    globals.loadfile = refuse("loadfile", "name the directory in `path` and use require")
    globals.dofile = refuse("dofile", "name the directory in `path` and use require")
    globals.newproxy = nil
    string.dump = refuse("string.dump", "bytecode cannot be loaded again")
end

-- Environments: those of the gateway's functions are out of reach.

local function is_host(f)
    local info = getinfo(f, "S")
    return info.what == "C" or sub(info.source, 1, 9) == "=witgate/"
end

local function resolve(f, name)
    if f == nil then
        f = 1
    end
    if type(f) == "string" and tonumber(f) then
        f = tonumber(f)
    end
    if type(f) == "number" then
        local info = f >= 0 and getinfo(f + 2, "f")
        if not info then
            error("bad argument #1 to '" .. name .. "' (invalid level)", 3)
        end
        return info.func
    elseif type(f) ~= "function" then
        error("bad argument #1 to '" .. name .. "' (number expected, got " .. type(f) .. ")", 3)
    end
    return f
end

function globals.getfenv(f)
    if f == 0 then
        return (environment(2))
    end
    f = resolve(f, "getfenv")
    if is_host(f) then
        return (environment(2))
    end
    return environment(f)
end

function globals.setfenv(f, env)
    if type(env) ~= "table" then
        error("bad argument #2 to 'setfenv' (table expected, got " .. (env == nil and "no value" or type(env)) .. ")", 2)
    end
    if f == 0 then
        error("'setfenv' cannot change the environment of the coroutine: its threads serve other requests, too", 2)
    end
    f = resolve(f, "setfenv")
    if is_host(f) then
        error("'setfenv' cannot change environment of given object", 2)
    end
    return set_environment(f, env)
end

-- Memory --------------------------------------------------------------------------------------------------------------

local gc = collectgarbage
-- A heap that is larger is gone through in steps, between which a script can be stopped. In KiB.
local AT_ONCE = 4096
-- A step of that many units of LuaJIT's takes some 1 ms.
local STEP = 1024

function globals.collectgarbage(what, argument)
    if what == nil or what == "collect" then
        if gc("count") <= AT_ONCE then
            gc("collect")
        else
            -- What became garbage during one round is found in the next.
            for _ = 1, 2 do
                while not gc("step", STEP) do
                end
            end
        end
        return 0
    elseif what == "count" then
        return gc("count")
    elseif what == "step" then
        local size = tonumber(argument) or 0
        return gc("step", size < STEP and size or STEP)
    elseif what == "isrunning" then
        return true
    elseif what == "setpause" or what == "setstepmul" then
        -- The pace is the VM's, which is shared.
        return 200
    elseif what == "stop" or what == "restart" then
        return 0
    end
    error("bad argument #1 to 'collectgarbage' (invalid option '" .. tostring(what) .. "')", 2)
end

-- Tables --------------------------------------------------------------------------------------------------------------

local insert, sort = table.insert, table.sort
-- Moving so many values takes some 10 ms.
local MOVES = 4000000
-- LuaJIT's own function takes quadratic time for some orders, and sees no one who wants to stop it.
local SORTED_AT_ONCE = 400

function table.insert(list, ...)
    if select("#", ...) == 1 then
        return insert(list, (...))
    end
    local place = tonumber((...))
    if place and type(list) == "table" and #list - place > MOVES then
        error("bad argument #2 to 'insert' (position out of bounds)", 2)
    end
    return insert(list, ...)
end

-- Sorts by merging runs that get longer: stable, and never worse than n log n.
local function merge_sort(list, n, before)
    local from, to = list, {}
    local width = 1
    while width < n do
        for left = 1, n, 2 * width do
            local middle, last = left + width, left + 2 * width - 1
            if last > n then
                last = n
            end
            local a, b = left, middle
            for place = left, last do
                if b > last or a < middle and not before(rawget(from, b), rawget(from, a)) then
                    rawset(to, place, rawget(from, a))
                    a = a + 1
                else
                    rawset(to, place, rawget(from, b))
                    b = b + 1
                end
            end
        end
        from, to = to, from
        width = 2 * width
    end
    if from ~= list then
        for place = 1, n do
            rawset(list, place, from[place])
        end
    end
end

local function less(a, b)
    return a < b
end

function table.sort(list, before)
    if type(list) ~= "table" or #list <= SORTED_AT_ONCE then
        return sort(list, before)
    end
    if before ~= nil and type(before) ~= "function" then
        error("bad argument #2 to 'sort' (function expected, got " .. type(before) .. ")", 2)
    end
    merge_sort(list, #list, before or less)
end

-- What OpenResty's branch of LuaJIT has besides.

local function expect_table(value, name)
    if type(value) ~= "table" then
        error("bad argument #1 to '" .. name .. "' (table expected, got " .. (value == nil and "no value" or type(value)) .. ")", 3)
    end
end

local function nkeys(map)
    expect_table(map, "nkeys")
    local count = 0
    for _ in next, map do
        count = count + 1
    end
    return count
end

local function isarray(map)
    expect_table(map, "isarray")
    for key in next, map do
        if type(key) ~= "number" or key < 1 or key % 1 ~= 0 then
            return false
        end
    end
    return true
end

local function isempty(map)
    expect_table(map, "isempty")
    return next(map) == nil
end

local function clone(map)
    expect_table(map, "clone")
    local copy = {}
    for key, value in next, map do
        copy[key] = value
    end
    return copy
end

local preload = package.preload
table.new, table.clear = require("table.new"), require("table.clear")
for name, f in next, { nkeys = nkeys, isarray = isarray, isempty = isempty, clone = clone } do
    table[name] = f
    preload["table." .. name] = function()
        return f
    end
end

-- The metatable of strings cannot be had: what is written into it would be there for everyone.
getmetatable("").__metatable = { __index = string }

-- The machine and the VM ------------------------------------------------------------------------------------------------

if trusted then
    local ok, ffi = pcall(require, "ffi")
    if ok then
        -- Functions of nginx that libraries call.
        local C = ffi.C
        local known = {}
        for name, symbol in next, symbols do
            known[name] = ffi.cast(symbol.type, symbol.address)
        end
        ffi.C = setmetatable({}, {
            __index = function(_, name)
                return known[name] or C[name]
            end,
            __newindex = function(_, name, value)
                C[name] = value
            end,
        })
    end
    return refused
end

local os = os
globals.os = {
    time = os.time,
    clock = os.clock,
    date = os.date,
    difftime = os.difftime,
    getenv = function() end,
    execute = refuse("os.execute", "it would block every other request"),
    exit = refuse("os.exit", "end a request with ngx.exit"),
    remove = refuse("os.remove", "scripts have no files"),
    rename = refuse("os.rename", "scripts have no files"),
    tmpname = refuse("os.tmpname", "scripts have no files"),
    setlocale = refuse("os.setlocale", "the locale is the process's"),
}
globals.io = nil
globals.ffi = nil

-- `WHAT` as `getinfo` takes it, without what gives functions away.
local ABOUT = { n = "n", S = "S", l = "l", u = "u" }

local function about(what)
    if what == nil then
        return "nSlu"
    end
    local kept = ""
    for i = 1, #what do
        kept = kept .. (ABOUT[sub(what, i, i)] or "")
    end
    return kept
end

globals.debug = {
    traceback = traceback,
    getinfo = function(first, second, third)
        if type(first) == "thread" then
            return (getinfo(first, second, about(third)))
        elseif type(first) == "number" then
            return (getinfo(first + 1, about(second)))
        end
        return (getinfo(first, about(second)))
    end,
}

-- Whether code is compiled to machine code is the gateway's to say.
local function nothing()
end

local compiler = jit
globals.jit = {
    version = compiler.version,
    version_num = compiler.version_num,
    os = compiler.os,
    arch = compiler.arch,
    on = nothing,
    off = nothing,
    flush = nothing,
    status = function()
        return (compiler.status())
    end,
    opt = { start = nothing },
}

local loaded = package.loaded
for _, name in next, { "io", "ffi", "jit.util", "jit.opt", "jit.profile", "string.buffer" } do
    loaded[name], preload[name] = nil, nil
end
for _, name in next, { "os", "debug", "jit" } do
    loaded[name] = globals[name]
end
package.loadlib = refuse("package.loadlib", 'modules in C need trust = "full"')
package.cpath = ""
return refused
