-- What waits for time or for others: `ngx.sleep`, `ngx.timer`, `ngx.semaphore`, and `ngx.worker`, which is about what runs at
-- the same time. Arguments: host functions, the dispatcher, the table `ngx`, `package.preload`.
local host, core, ngx, preload = ...

local type, tonumber, select, error, unpack, setmetatable, pairs =
    type, tonumber, select, error, unpack, setmetatable, pairs
local wait = core.wait

local may_wait = core.only_in("rewrite access content timer")

function ngx.sleep(...)
    local n = select("#", ...)
    if n ~= 1 then
        error("attempt to pass " .. n .. " arguments, but accepted 1", 2)
    end
    local time = tonumber((...))
    if not time then
        error("bad argument #1 to 'sleep' (number expected, got " .. type((...)) .. ")", 2)
    end
    if not (time >= 0) then
        error("invalid sleep duration \"" .. ("%d"):format(time * 1000) .. "\"", 2)
    end
    may_wait()
    wait(host.sleep(time * 1000))
end

-- Timers ----------------------------------------------------------------------------------------------------------------

local may_start = core.only_in("init_worker rewrite access content header_filter body_filter log timer balancer")
local jobs, last_job = {}, 0

host.set_fire(function(number, premature)
    local job = jobs[number]
    if premature == nil then
        -- It was left out.
        if not job.again then
            jobs[number] = nil
        end
        return
    end
    if premature or not job.again then
        jobs[number] = nil
    end
    return job.f(premature, unpack(job, 1, job.n))
end)

local function start(again, ...)
    local n = select("#", ...)
    if n < 2 then
        error("expecting at least 2 arguments but got " .. n, 3)
    end
    local delay, f = ...
    local time = tonumber(delay)
    if not time then
        error("bad argument #1 to '" .. (again and "every" or "at") .. "' (number expected, got " .. type(delay) .. ")", 3)
    end
    if again and time < 0.001 then
        error("delay cannot be zero", 3)
    end
    if type(f) ~= "function" then
        error("bad argument #2 to '" .. (again and "every" or "at") .. "' (Lua function expected)", 3)
    end
    may_start(2)
    last_job = last_job + 1
    local job = { f = f, again = again, n = n - 2, select(3, ...) }
    jobs[last_job] = job
    local message = host.start_timer(last_job, time > 0 and time * 1000 or 0, again)
    if message then
        jobs[last_job] = nil
        return nil, message
    end
    return 1
end

ngx.timer = {
    at = function(...)
        return start(false, ...)
    end,
    every = function(...)
        return start(true, ...)
    end,
    running_count = function()
        local _, running = host.timer_counts()
        return running
    end,
    pending_count = function()
        return (host.timer_counts())
    end,
}

function ngx.run_worker_thread()
    return nil, "worker threads are not supported"
end

-- A client that goes away cancels its request, and what that waits for; no callback runs then. This is what scripts get where
-- nginx does not look for it, as by default.
function ngx.on_abort(callback)
    core.only_in("rewrite access content")()
    if type(callback) ~= "function" then
        error("bad argument #1 to 'on_abort' (function expected, got " .. type(callback) .. ")", 2)
    end
    return nil, "lua_check_client_abort is off"
end

-- Workers ---------------------------------------------------------------------------------------------------------------

local worker = {}
ngx.worker = worker

function worker.pid()
    return host.pid
end

function worker.pids()
    return { host.pid }
end

function worker.count()
    return host.workers
end

function worker.id()
    local request = core.request()
    if not request or request.phase == "init" then
        return nil
    end
    return host.worker_id()
end

worker.exiting = host.is_exiting

-- Modules ---------------------------------------------------------------------------------------------------------------

local semaphore = { version = "0.1.27" }

preload["ngx.semaphore"] = function()
    return semaphore
end

local semaphore_meta = { __index = semaphore }

local function is_semaphore(self)
    return type(self) == "table" and type(self.waiting) == "table"
end

-- Requests that were cancelled wait no more, and cannot say so.
local function is_waiting(number)
    return number and host.is_listening(number)
end

function semaphore.new(count)
    count = tonumber(count) or 0
    if count < 0 then
        error("no negative number", 2)
    end
    -- Who waits is in `waiting`, from `first` to `last`, by the number to be rung.
    return setmetatable({ resources = count, waiting = {}, first = 1, last = 0 }, semaphore_meta)
end

function semaphore:count()
    if not is_semaphore(self) then
        error("not a semaphore instance", 2)
    end
    local waiters = 0
    for i = self.first, self.last do
        if is_waiting(self.waiting[i]) then
            waiters = waiters + 1
        end
    end
    return self.resources - waiters
end

function semaphore:post(count)
    if not is_semaphore(self) then
        error("not a semaphore instance", 2)
    end
    count = count and tonumber(count) or 1
    if not count or count < 1 then
        error("positive number required", 2)
    end
    self.resources = self.resources + count
    local waiting = self.waiting
    while self.resources > 0 and self.first <= self.last do
        local number = waiting[self.first]
        waiting[self.first] = nil
        self.first = self.first + 1
        -- One that has given up meanwhile does not take it.
        if number and host.ring(number) then
            self.resources = self.resources - 1
        end
    end
    if self.first > self.last then
        self.first, self.last = 1, 0
    end
    return true
end

function semaphore:wait(seconds)
    if not is_semaphore(self) then
        error("not a semaphore instance", 2)
    end
    local time = tonumber(seconds)
    if not time then
        error("bad argument #1 to 'wait' (number expected, got " .. type(seconds) .. ")", 2)
    end
    if time < 0 then
        error("no negative number", 2)
    end
    may_wait()
    if self.resources > 0 and self.first > self.last then
        self.resources = self.resources - 1
        return true
    end
    if time == 0 then
        return nil, "timeout"
    end
    while self.first <= self.last and not is_waiting(self.waiting[self.first]) do
        self.waiting[self.first] = nil
        self.first = self.first + 1
    end
    local number, operation = host.listen(time * 1000)
    local last = self.last + 1
    self.last, self.waiting[last] = last, number
    -- Who has waited is told so with one value more, or with false: as in nginx.
    local heard = wait(operation)
    if heard then
        return true, nil
    end
    if self.waiting[last] == number then
        self.waiting[last] = false
    end
    return false, "timeout"
end

preload["ngx.pipe"] = function()
    error("the module ngx.pipe is not supported: scripts cannot start processes", 0)
end

preload["ngx.process"] = function()
    return {
        version = "0.1.27",
        type = function()
            return "worker"
        end,
        get_master_pid = function()
            return host.pid
        end,
        enable_privileged_agent = function()
            return nil, "there is no privileged agent"
        end,
        signal_graceful_exit = function()
            error("signal_graceful_exit is not supported: stop the gateway itself", 2)
        end,
    }
end

preload["ngx.errlog"] = function()
    local errlog = { version = "0.1.27" }

    function errlog.raw_log(level, text)
        if type(level) ~= "number" or level < 0 or level > 8 then
            error("bad log level", 2)
        end
        if type(text) ~= "string" then
            error("bad argument #2 to 'raw_log' (must be a string)", 2)
        end
        host.log(level, text)
    end

    function errlog.get_sys_filter_level()
        return ngx.INFO
    end

    for _, name in pairs({ "set_filter_level", "get_logs" }) do
        errlog[name] = function()
            return nil, "the gateway's log is filtered by its own settings"
        end
    end

    return errlog
end
