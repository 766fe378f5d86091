-- Limits of rate, number and concurrency over a shared dictionary, in the manner of lua-resty-limit-traffic.
local max, floor = math.max, math.floor
local setmetatable, tonumber, assert = setmetatable, tonumber, assert

-- How the state of a bucket becomes a value: by FFI, as there, or as text where there is no FFI.
local pack, unpack_
local has_ffi, ffi = pcall(require, "ffi")
if has_ffi then
    ffi.cdef [[ struct surfaces_bucket { unsigned long excess; uint64_t last; }; ]]
    local pointer, size = ffi.typeof("const struct surfaces_bucket *"), ffi.sizeof("struct surfaces_bucket")
    local bucket = ffi.new("struct surfaces_bucket")
    function pack(excess, last)
        bucket.excess, bucket.last = excess, last
        return ffi.string(bucket, size)
    end
    function unpack_(value)
        if #value ~= size then
            return nil, "a value of somebody else"
        end
        local found = ffi.cast(pointer, value)
        return tonumber(found.excess), tonumber(found.last)
    end
else
    function pack(excess, last)
        return ("%.0f %.0f"):format(excess, last)
    end
    function unpack_(value)
        local excess, last = value:match("^(%d+) (%d+)$")
        return tonumber(excess), tonumber(last)
    end
end

local function dict_of(name)
    local dict = ngx.shared[name]
    if not dict then
        return nil, "shared dict not found"
    end
    return dict
end

-- A leaky bucket -------------------------------------------------------------------------------------------------------

local rate = {}
rate.__index = rate

function rate.new(name, per_second, burst)
    local dict, err = dict_of(name)
    if not dict then
        return nil, err
    end
    -- In thousandths, so that they are whole.
    return setmetatable({ dict = dict, rate = per_second * 1000, burst = burst * 1000 }, rate)
end

-- Gives the seconds to wait and the excess, or nothing and "rejected".
function rate.incoming(self, key, commit, now)
    now = (now or ngx.now()) * 1000
    local value, err = self.dict:get(key)
    if err and not value then
        return nil, err
    end
    local excess = 0
    if value then
        local before, last = unpack_(value)
        if not before then
            return nil, last or "shdict abused by other users"
        end
        excess = max(before - self.rate * max(now - last, 0) / 1000 + 1000, 0)
        if excess > self.burst then
            return nil, "rejected"
        end
    end
    if commit then
        local ok, problem = self.dict:set(key, pack(floor(excess), now), 60)
        if not ok then
            return nil, problem
        end
    end
    return excess / self.rate, excess / 1000
end

function rate.uncommit(self, key)
    local value = self.dict:get(key)
    if not value then
        return nil, "not found"
    end
    local excess, last = unpack_(value)
    return self.dict:set(key, pack(max(excess - 1000, 0), last), 60)
end

-- A number in a window -------------------------------------------------------------------------------------------------

local count = {}
count.__index = count

function count.new(name, limit, window)
    local dict, err = dict_of(name)
    if not dict then
        return nil, err
    end
    return setmetatable({ dict = dict, limit = limit, window = window }, count)
end

function count.incoming(self, key, commit)
    local left, err
    if commit then
        left, err = self.dict:incr(key, -1, self.limit, self.window)
        if not left then
            return nil, err
        end
    else
        left = (self.dict:get(key) or self.limit) - 1
    end
    if left < 0 then
        return nil, "rejected"
    end
    return 0, left
end

function count.uncommit(self, key)
    return self.dict:incr(key, 1)
end

function count.reset_after(self, key)
    return self.dict:ttl(key)
end

-- Requests at once -----------------------------------------------------------------------------------------------------

local concurrency = {}
concurrency.__index = concurrency

function concurrency.new(name, most, burst, delay)
    local dict, err = dict_of(name)
    if not dict then
        return nil, err
    end
    return setmetatable({ dict = dict, most = most, burst = burst, delay = delay }, concurrency)
end

function concurrency.incoming(self, key, commit)
    local now
    if commit then
        local err
        now, err = self.dict:incr(key, 1, 0)
        if not now then
            return nil, err
        end
        if now > self.most + self.burst then
            assert(self.dict:incr(key, -1))
            return nil, "rejected"
        end
        self.committed = true
    else
        now = (self.dict:get(key) or 0) + 1
        if now > self.most + self.burst then
            return nil, "rejected"
        end
    end
    if now > self.most then
        return self.delay * floor((now - 1) / self.most), now
    end
    return 0, now
end

function concurrency.leaving(self, key, latency)
    local now, err = self.dict:incr(key, -1)
    if not now then
        return nil, err
    end
    self.committed = false
    if latency then
        self.delay = (self.delay + latency) / 2
    end
    return now
end

concurrency.uncommit = concurrency.leaving

function concurrency.is_committed(self)
    return self.committed or false
end

-- Several at once: what was counted by the first is taken back if a later one refuses -------------------------------

local function combine(limiters, keys, states)
    local longest = 0
    for i, limiter in ipairs(limiters) do
        local delay, state = limiter:incoming(keys[i], i == #limiters)
        if not delay then
            return nil, state
        end
        if states then
            states[i] = state
        end
        longest = max(longest, delay)
    end
    for i = 1, #limiters - 1 do
        local limiter = limiters[i]
        local delay, state = limiter:incoming(keys[i], true)
        if not delay then
            for done = 1, i - 1 do
                assert(limiters[done]:uncommit(keys[done]))
            end
            assert(limiters[#limiters]:uncommit(keys[#limiters]))
            return nil, state
        end
    end
    return longest
end

return { rate = rate, count = count, concurrency = concurrency, combine = combine, has_ffi = has_ffi }
