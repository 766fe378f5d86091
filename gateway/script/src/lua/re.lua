-- ngx.re and the module "ngx.re", over functions that find one match each.
local host = ...
local host_match, host_find, host_next, host_sub = host.match, host.find, host.next, host.sub
local type, error, tostring, sub, concat = type, error, tostring, string.sub, table.concat

local re = {}

-- From `context.pos`, which is set to where the next match may begin.
local function start(context, name)
    if type(context) ~= "table" then
        error("bad argument #4 to '" .. name .. "' (table expected, got " .. type(context) .. ")", 3)
    end
    return context.pos
end

function re.match(subject, regex, flags, context, result)
    local from
    if context then
        from = start(context, "match")
    end
    if subject == nil then
        subject = "nil"
    end
    local captures, problem, after = host_match(subject, regex, flags, from, result)
    if captures then
        if context then
            context.pos = after
        end
        return captures
    end
    if problem then
        return nil, problem
    end
    return nil
end

function re.find(subject, regex, flags, context, group)
    local from
    if context then
        from = start(context, "find")
    end
    local first, last, problem, after = host_find(subject, regex, flags, from, group)
    if after and context then
        context.pos = after
    end
    if first then
        return first, last
    end
    if problem then
        return nil, nil, problem
    end
    if after then
        return nil, nil
    end
    return nil
end

function re.gmatch(subject, regex, flags)
    subject = tostring(subject)
    -- Looks at the pattern alone, so that one that is bad is told at once.
    local _, _, problem = host_find("", regex, flags)
    if problem and sub(problem, 1, 5) ~= "pcre_" then
        return nil, problem
    end
    local from, len = 0, #subject
    return function()
        if not from then
            return nil
        end
        local first, last, captures, after = host_next(subject, regex, flags, from + 1, from > 0, true)
        if not first then
            from = nil
            if captures then
                return nil, captures
            end
            return nil
        end
        from = after <= len and after or nil
        return captures
    end
end

local function replace_by_function(subject, regex, replace, flags, all)
    subject = tostring(subject)
    local from, copied, count, len = 0, 0, 0, #subject
    local parts, n = {}, 0
    while true do
        local first, last, captures, after = host_next(subject, regex, flags, from + 1, count > 0, true)
        if not first then
            if captures then
                return nil, nil, captures
            end
            break
        end
        count = count + 1
        parts[n + 1] = sub(subject, copied + 1, first)
        n = n + 2
        parts[n] = tostring((replace(captures)))
        copied, from = last, after
        if not all or from > len then
            break
        end
    end
    if count == 0 then
        return subject, 0
    end
    parts[n + 1] = sub(subject, copied + 1)
    return concat(parts), count
end

function re.sub(subject, regex, replace, flags)
    if type(replace) == "function" then
        return replace_by_function(subject, regex, replace, flags, false)
    end
    return host_sub(subject, regex, flags, tostring(replace), false)
end

function re.gsub(subject, regex, replace, flags)
    if type(replace) == "function" then
        return replace_by_function(subject, regex, replace, flags, true)
    end
    return host_sub(subject, regex, flags, tostring(replace), true)
end

local module = { version = "0.1.27" }

-- The parts of `subject` between matches, and what the first group captured of each match. At most `most` parts; without
-- that, empty ones at the end are left out.
function module.split(subject, regex, flags, context, most, result)
    subject = tostring(subject)
    most = most or 0
    if not result then
        result = {}
    elseif type(result) ~= "table" then
        error("res is not a table", 2)
    end
    local len, n = #subject, 0
    local begin = context and context.pos or 1
    if begin > len then
        result[1] = nil
        return result
    end
    local from, parts, checked = begin - 1, 1, false
    while most <= 0 or parts < most do
        local first, last, captured, after = host_next(subject, regex, flags, from + 1, checked, false)
        if not first then
            if captured then
                return nil, captured
            end
            break
        end
        checked, from = true, after
        if context then
            context.pos = after
        end
        -- A match that is empty separates only what is not.
        if last > first or first + 1 > begin and first < len then
            parts, n = parts + 1, n + 1
            result[n] = sub(subject, begin, first)
            if captured then
                n = n + 1
                result[n] = captured
            end
            begin = last + 1
        end
        if begin > len or from > len then
            break
        end
    end
    if most <= 0 and begin > len then
        while n > 0 and result[n] == "" do
            result[n] = nil
            n = n - 1
        end
    else
        n = n + 1
        result[n] = sub(subject, begin)
    end
    result[n + 1] = nil
    return result
end

function module.opt(option, value)
    if option ~= "jit_stack_size" then
        error("unrecognized option name", 2)
    end
    -- The stack has the size that is needed.
end

return re, module
