-- In place of lua-resty-core, which binds to the inside of nginx: modules of the same names with what other libraries take
-- from them. What they add to `ngx` is there anyway.
local ngx, version = ...
local modules = {}

local type, error, select, pcall = type, error, select, pcall
local getmetatable, setmetatable, rawset = getmetatable, setmetatable, rawset
local find, sub, concat = string.find, string.sub, table.concat
local new_tab, clear_tab = require("table.new"), require("table.clear")
local require = require

local function needs_ffi()
    local ok, ffi = pcall(require, "ffi")
    if not ok then
        error('this function of resty.core.base needs ffi: set trust = "full"', 3)
    end
    return ffi
end

modules["resty.core.base"] = function()
    local base = {
        version = version,
        new_tab = new_tab,
        clear_tab = clear_tab,
        FFI_OK = 0,
        FFI_NO_REQ_CTX = -100,
        FFI_BAD_CONTEXT = -101,
        FFI_ERROR = -1,
        FFI_AGAIN = -2,
        FFI_BUSY = -3,
        FFI_DONE = -4,
        FFI_DECLINED = -5,
    }
    local size, buffer, size_pointer, message_pointer = 4096, nil, nil, nil

    function base.set_string_buf_size(bytes)
        if bytes > 0 then
            size, buffer = bytes, nil
        end
    end

    function base.get_string_buf_size()
        return size
    end

    function base.get_string_buf(bytes, fresh)
        local ffi = needs_ffi()
        if fresh or bytes > size then
            return ffi.new("char[?]", bytes)
        end
        buffer = buffer or ffi.new("char[?]", size)
        return buffer
    end

    function base.get_size_ptr()
        size_pointer = size_pointer or needs_ffi().new("size_t[1]")
        return size_pointer
    end

    function base.get_errmsg_ptr()
        message_pointer = message_pointer or needs_ffi().new("char *[1]")
        return message_pointer
    end

    -- Places of `list` that are free are chained: 0 has the first, each has the next.
    function base.ref_in_table(list, value)
        if value == nil then
            return -1
        end
        local place = list[0]
        if place and place ~= 0 then
            list[0] = list[place]
        else
            place = #list + 1
        end
        list[place] = value
        return place
    end

    function base.allows_subsystem(...)
        for i = 1, select("#", ...) do
            if select(i, ...) == "http" then
                return
            end
        end
        error("unsupported subsystem: http", 2)
    end

    -- Something that is true where there is a request; what it is only nginx could use.
    function base.get_request()
        local ok, phase = pcall(ngx.get_phase)
        if ok and phase ~= "init" and phase ~= "init_worker" then
            return true
        end
    end

    return base
end

modules["resty.core.regex"] = function()
    return {
        version = version,
        set_buf_grow_ratio = function() end,
        is_regex_cache_empty = function()
            return false
        end,
    }
end

modules["resty.core.ctx"] = function()
    return {
        version = version,
        get_ctx_table = function()
            return ngx.ctx
        end,
    }
end

modules["resty.core.utils"] = function()
    local utils = { version = version }

    function utils.str_replace_char(text, char, replacement)
        if type(char) ~= "string" or #char ~= 1 then
            error("bad argument #2 to 'str_replace_char' (one character expected)", 2)
        end
        local parts, n, from = {}, 0, 1
        while true do
            local place = find(text, char, from, true)
            if not place then
                break
            end
            parts[n + 1], parts[n + 2] = sub(text, from, place - 1), sub(replacement, 1, 1)
            n, from = n + 2, place + 1
        end
        if n == 0 then
            return text
        end
        parts[n + 1] = sub(text, from)
        return concat(parts)
    end

    return utils
end

-- Lets libraries add fields to `ngx` that are computed when they are read or written.
modules["resty.core.misc"] = function()
    local getters, setters, hooked = {}, {}, false

    local function hook()
        if hooked then
            return
        end
        hooked = true
        local meta = getmetatable(ngx) or {}
        local index, newindex = meta.__index, meta.__newindex
        meta.__index = function(self, key)
            local getter = getters[key]
            if getter then
                return getter()
            elseif type(index) == "function" then
                return index(self, key)
            elseif index then
                return index[key]
            end
        end
        meta.__newindex = function(self, key, value)
            local setter = setters[key]
            if setter then
                return setter(value)
            elseif type(newindex) == "function" then
                return newindex(self, key, value)
            elseif newindex then
                newindex[key] = value
            else
                rawset(self, key, value)
            end
        end
        setmetatable(ngx, meta)
    end

    return {
        _VERSION = version,
        register_ngx_magic_key_getter = function(key, getter)
            hook()
            getters[key] = getter
        end,
        register_ngx_magic_key_setter = function(key, setter)
            hook()
            setters[key] = setter
        end,
    }
end

return function(name)
    local make = modules[name]
    return make and make() or { version = version }
end
