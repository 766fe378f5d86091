-- The module `resty.lock`: locks between requests, timers and threads, in a shared dictionary.
local ngx = ...

local type, error, setmetatable, tostring, pairs = type, error, setmetatable, tostring, pairs
local min = math.min
local shared, null = ngx.shared, ngx.null

local lock = { _VERSION = "0.09" }
local lock_meta = { __index = lock }

-- Each holder marks its entry, so that nobody deletes or prolongs the lock of another who got it after this one expired.
local last_mark = 0

local function new_mark()
    last_mark = last_mark + 1
    return ngx.worker.id() .. ":" .. last_mark .. ":" .. ngx.now()
end

local NUMBERS = { exptime = 30, timeout = 5, step = 0.001, ratio = 2, max_step = 0.5 }

function lock.new(_, name, options)
    local dict = shared[name]
    if not dict then
        return nil, "dictionary not found"
    end
    local self = { dict = dict }
    for option, default in pairs(NUMBERS) do
        local value = options and options[option]
        if value ~= nil and type(value) ~= "number" then
            error("bad option \"" .. option .. "\": number expected, got " .. type(value), 2)
        end
        self[option] = value or default
    end
    -- Who waits for longer than a lock lives has missed its end.
    self.timeout = min(self.timeout, self.exptime)
    return setmetatable(self, lock_meta)
end

function lock:lock(key)
    if key == nil or key == null then
        return nil, "nil key"
    end
    if self.key then
        return nil, "locked"
    end
    key = tostring(key)
    local mark = new_mark()
    local waited, step = 0, self.step
    while true do
        local ok, message = self.dict:add(key, mark, self.exptime)
        if ok then
            self.key, self.mark = key, mark
            return waited
        end
        if message ~= "exists" then
            return nil, message
        end
        local left = self.timeout - waited
        if left <= 0 then
            return nil, "timeout"
        end
        step = min(step, left, self.max_step)
        ngx.sleep(step)
        waited = waited + step
        step = step * self.ratio
        if step <= 0 then
            step = self.max_step
        end
    end
end

function lock:unlock()
    local key, mark = self.key, self.mark
    if not key then
        return nil, "unlocked"
    end
    self.key, self.mark = nil, nil
    if self.dict:get(key) ~= mark then
        return nil, "unlocked"
    end
    self.dict:delete(key)
    return 1
end

function lock:expire(time)
    if not self.key then
        return nil, "unlocked"
    end
    if time == nil then
        time = self.exptime
    elseif type(time) ~= "number" or time < 0 then
        error("bad argument #1 to 'expire' (a time in seconds expected)", 2)
    end
    if self.dict:get(self.key) ~= self.mark then
        return nil, "unlocked"
    end
    local ok, message = self.dict:expire(self.key, time)
    if not ok then
        return nil, message
    end
    return true
end

return lock
