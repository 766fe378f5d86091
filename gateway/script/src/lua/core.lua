-- Runs the coroutines of requests: the phases of a script, their light threads, and the coroutines that those make.
--
-- Loaded once in each VM. A phase runs in a coroutine; what takes time is an operation of the gateway, for which the
-- coroutine yields up to here, through the coroutines of the script if there are any between, and goes on when the gateway
-- calls `event`.
local host = ...

local co_create, co_resume, co_yield, co_status = coroutine.create, coroutine.resume, coroutine.yield, coroutine.status
local co_running = coroutine.running
local xpcall, getfenv, setfenv, setmetatable = xpcall, getfenv, setfenv, setmetatable
local type, tostring, error, next, rawequal = type, tostring, error, next, rawequal
local select, unpack = select, unpack
local traceback = debug.traceback
local funcinfo, funck, funcbc = require("jit.util").funcinfo, require("jit.util").funck, require("jit.util").funcbc

-- What a coroutine yields up to the dispatcher, before the rest: it cannot be made by a script. The gateway's functions yield
-- the first, too.
local WAIT, EXIT, DONE, SPAWN = host.wait, {}, {}, {}

-- How a run stands when the gateway gets control back.
local ENDED, WAITS, EXITED, FAILED = 0, 1, 2, 3

-- Coroutines, requests and functions kept for later: enough for what is usually in flight on one thread.
local IDLE_LIMIT = 128

local base = _G
-- Those that wait, or that later hooks go on with, by the slots that the gateway gives them: small numbers that are used again,
-- so that the table does not grow by one key for each. A request is known by its number besides.
local requests = {}
-- The request, and the light thread of it, that run now.
local current, thread
local idle, idle_count = {}, 0
-- Light threads by the coroutine that they run in.
local owners = setmetatable({}, { __mode = "k" })

local core = {}

local function trace(message)
    -- The value itself, for the light thread that waits for this one.
    if thread and not thread.entry then
        thread.thrown = message
    end
    if type(message) ~= "string" then
        message = message == nil and "unknown reason" or tostring(message)
    end
    -- The frames below are the dispatcher's.
    return (traceback(message):gsub("\n%s*%[C%]: in function 'xpcall'\n%s*witgate/core:.*$", ""))
end

local function body(f, ...)
    return body(co_yield(DONE, xpcall(f, trace, ...)))
end

local function coroutine_for()
    if idle_count == 0 then
        return co_create(body)
    end
    local co = idle[idle_count]
    idle[idle_count] = nil
    idle_count = idle_count - 1
    return co
end

local function new_thread(request)
    request.live = request.live + 1
    local co = coroutine_for()
    -- All fields that every thread gets, so that its table never grows.
    local t = { co = co, request = request, nested = 0, entry = false, dead = false, ok = false }
    owners[co] = t
    return t
end

-- The light thread that a phase begins with, and the function that it runs: of a chunk, or a timer's. `own` is the request that it
-- is for unless an earlier phase has left one.
local function new_entry(f, chunk, own)
    local co = coroutine_for()
    local t = {
        co = co, request = own, nested = 0, entry = true, dead = false, ok = false, operation = false, f = f, chunk = chunk,
        own = own,
    }
    owners[co] = t
    return t
end

local function count_coroutine(request)
    local made = request.made + 1
    if made > host.coroutines_limit then
        error("more than " .. host.coroutines_limit .. " coroutines in one hook: raise `coroutines_limit`, or make fewer", 3)
    end
    request.made = made
end

local function make_ready(t, ...)
    local request = t.request
    local last = request.last + 1
    request.last = last
    t.wake = { n = select("#", ...), ... }
    local ready = request.ready
    if not ready then
        ready = {}
        request.ready = ready
    end
    ready[last] = t
end

local run

local function ended(t, ok, ...)
    local request = t.request
    t.dead, t.ok = true, ok
    request.live = request.live - 1
    if t.entry then
        if not ok and not request.failed then
            request.failed = ... or "unknown error"
        end
        -- Unless light threads that it made know it.
        if t.chunk and request.made == 0 then
            request.left = t
            return
        end
    else
        t.results = { n = select("#", ...), ... }
        if not ok then
            local thrown = t.thrown
            if type(thrown) == "string" then
                -- As nginx tells it: where it was thrown stands in the log.
                thrown = thrown:gsub("^.-:%d+: ", "", 1)
            end
            t.results = { n = 1, thrown }
            host.log_thread("lua user thread aborted: runtime error: " .. tostring((...)))
        end
    end
    if idle_count < IDLE_LIMIT then
        idle_count = idle_count + 1
        idle[idle_count] = t.co
    end
    t.co = nil
    local waiter = t.waiter
    if waiter then
        t.waiter = nil
        if not waiter.dead and not waiter.wake then
            -- At once, before those that are ready: as in OpenResty.
            return run(waiter, t)
        end
    end
end

local function settle(t, ok, tag, ...)
    if tag == DONE then
        return ended(t, ...)
    end
    if not ok then
        -- Stopped from outside, or out of memory, where nothing could catch it.
        t.dead, t.ok = true, false
        t.request.live = t.request.live - 1
        t.request.failed = tostring(tag)
    elseif tag == WAIT then
        local operation = ...
        if operation then
            t.operation = operation
            local request = t.request
            if not request.only then
                request.only = t
                return
            end
            local waiting = request.waiting
            if not waiting then
                waiting = {}
                request.waiting = waiting
            end
            waiting[operation] = t
        end
    elseif tag == EXIT then
        t.request.exit = (...)
    elseif tag == SPAWN then
        -- The new one runs now, and the one that made it when those that are ready have had their turn: as in OpenResty.
        local child = ...
        make_ready(t, child)
        return run(child, select(2, ...))
    else
        -- A yield of the script with nobody to take it: on with it when the others had their turn.
        make_ready(t)
    end
end

function run(t, ...)
    local outer = thread
    thread = t
    settle(t, co_resume(t.co, ...))
    thread = outer
end

local function drive(request)
    -- The ready ones, from `first` to `last`: each may make others ready.
    local first = 1
    while first <= request.last and not request.exit and not request.failed do
        local t = request.ready[first]
        request.ready[first] = nil
        first = first + 1
        if not t.dead then
            local wake = t.wake
            t.wake = nil
            run(t, unpack(wake, 1, wake.n))
        end
    end
    if request.last > 0 then
        request.ready, request.last = false, 0
    end
    local exit, failed = request.exit, request.failed
    if not exit and not failed then
        if request.live == 0 then
            return ENDED
        end
        return WAITS
    end
    request.only, request.waiting, request.live = false, false, 0
    request.exit, request.failed, request.captures = false, false, false
    if failed then
        return FAILED, failed
    end
    return EXITED, exit
end

-- Its table is not for scripts: what they wrote there would be seen by all requests.
local env_meta = { __index = base, __metatable = false }

local function new_request(number)
    -- All fields that requests get, so that its table never grows. `left` is the light thread that its phase began with, once that
    -- has ended; `leaked`: somebody has looked at the globals.
    return {
        number = number, live = 0, made = 0, last = 0, phase = false, only = false, waiting = false, ready = false, ctx = false,
        kept = false, leaked = false, left = false, exit = false, failed = false, arg = false, body = false, captures = false,
    }
end

-- What makes functions of chunks, and the phases that they are for, by the numbers that the gateway has for them; and in the
-- array part light threads that do not run now, some with functions in whose globals nothing was left.
local chunks = {}

-- Names by which a function gets hold of its globals as a table.
local REACHING = { _G = true, getfenv = true, setfenv = true, load = true, loadstring = true, debug = true }

-- What sets a global: the second instruction of a function that does so.
local SETS_GLOBAL = funcbc(function() x = nil end, 2) % 256

-- Whether functions of a chunk can serve several requests, one after the other: they must leave nothing behind that sees their
-- globals, such as other functions.
local function is_reusable(f)
    local info = funcinfo(f)
    if info.children or not info.gcconsts then
        return false
    end
    for i = 1, info.gcconsts do
        local constant = funck(f, -i)
        if type(constant) == "string" and REACHING[constant] then
            return false
        end
    end
    return true
end

local function sets_globals(f)
    for at = 1, funcinfo(f).bytecodes - 1 do
        if funcbc(f, at) % 256 == SETS_GLOBAL then
            return true
        end
    end
    return false
end

function core.define(number, phase, factory)
    if not factory then
        chunks[number] = nil
        return
    end
    local f = factory()
    chunks[number] = {
        factory = factory, phase = phase, count = 0, shares = phase == "init_worker",
        reusable = phase ~= "init_worker" and is_reusable(f),
        sets_globals = sets_globals(f), ngx = base.ngx,
    }
end

-- A function of a chunk, with globals of its own.
local function function_of(chunk)
    local f = chunk.factory()
    if chunk.shares then
        return f
    end
    local env = setmetatable({ _G = false }, env_meta)
    env._G = env
    if not chunk.sets_globals then
        -- What every function reads, found at once.
        env.ngx = chunk.ngx
    end
    return setfenv(f, env)
end

local function is_clean(f)
    local env = getfenv(f)
    return next(env) == "_G" and next(env, "_G") == nil and rawequal(env._G, env)
end

-- Keeps the light thread that a phase began with, which has ended; its function only if nobody can see what it has left.
local function keep_entry(t, request)
    local chunk = t.chunk
    local count = chunk.count
    if count >= IDLE_LIMIT then
        return
    end
    if not chunk.reusable or request.leaked or chunk.sets_globals and not is_clean(t.f) then
        t.f = false
    end
    if not request.kept then
        request.ctx, request.leaked, request.body, request.captures = false, false, false, false
    else
        -- It is for later phases.
        if request == t.own then
            t.own = new_request(0)
        end
        t.request = t.own
    end
    chunk.count = count + 1
    chunk[count + 1] = t
end

-- After a phase has gone on: forgets what is no longer needed.
local function stand(slot, request, status, value)
    if status == WAITS then
        requests[slot] = request
        return status
    end
    local left = request.left
    if left then
        left.dead, left.ok, request.left = false, false, false
        keep_entry(left, request)
    end
    if not request.kept and requests[slot] == request then
        requests[slot] = nil
    end
    return status, value
end

-- After a light thread has gone on: by itself, nearly always, to its end or to what it waits for.
local function gone_on(slot, t, outer, ok, tag, what, ...)
    thread = outer
    local request = t.request
    if t.chunk and request.made == 0 then
        if tag == DONE and what then
            request.live = 0
            if not request.kept then
                requests[slot] = nil
            end
            keep_entry(t, request)
            return ENDED
        elseif tag == WAIT and what then
            t.operation, request.only = what, t
            requests[slot] = request
            return WAITS
        end
    end
    settle(t, ok, tag, what, ...)
    return stand(slot, request, drive(request))
end

local function find(slot, number)
    local request = requests[slot]
    if request and request.number == number then
        return request
    end
end

-- Begins a phase of a request: `chunk` is the number of its chunk, which makes a fresh function for each request, so that
-- requests which run at once do not share its globals. `keeps` is 1: later hooks go on with the request.
function core.start(slot, number, chunk, keeps)
    chunk = chunks[chunk]
    local count, t = chunk.count, nil
    if chunk.ngx ~= base.ngx then
        -- Somebody has replaced it: functions from now on see the new one.
        count, chunk.count, chunk.ngx = 0, 0, base.ngx
    end
    if count > 0 then
        t = chunk[count]
        chunk[count] = nil
        chunk.count = count - 1
    else
        t = new_entry(false, chunk, new_request(0))
    end
    local request = requests[slot]
    if request and request.number == number then
        t.request = request
    else
        request = t.own
        request.number = number
        if keeps == 1 then
            requests[slot], request.kept = request, true
        end
    end
    request.phase, request.made, request.live = chunk.phase, 0, 1
    local outer = thread
    current, thread = request, t
    local f = t.f
    if not f then
        f = function_of(chunk)
        t.f = f
    end
    return gone_on(slot, t, outer, co_resume(t.co, f))
end

-- As `start`, for a body filter; gives the piece and whether it is the last one, as the filter left them.
function core.start_body(slot, number, chunk, keeps, piece, last)
    local request = find(slot, number)
    if not request then
        request = new_request(number)
        requests[slot], request.kept = request, true
    end
    request.arg = { piece, last }
    local status, message = core.start(slot, number, chunk, 1)
    if not keeps then
        requests[slot] = nil
    end
    local arg = request.arg
    request.arg = false
    return status, message, arg[1], arg[2]
end

-- Begins a function that the script made, in a request of its own: timers.
function core.spawn(slot, number, f, ...)
    local request = new_request(number)
    requests[slot], request.kept = request, true
    request.phase, request.live = "timer", 1
    current = request
    run(new_entry(f, false, request), f, ...)
    return drive(request)
end

-- Goes on with the coroutine that waits for an operation. What follows are its results.
function core.event(slot, number, operation, ...)
    local request = find(slot, number)
    if not request then
        return WAITS
    end
    local t = request.only
    if t and t.operation == operation then
        request.only = false
    else
        local waiting = request.waiting
        t = waiting and waiting[operation]
        if not t then
            return WAITS
        end
        waiting[operation] = nil
    end
    t.operation = false
    local outer = thread
    current, thread = request, t
    return gone_on(slot, t, outer, co_resume(t.co, ...))
end

local event, results = core.event, host.results

-- As `event`, with results that the gateway has ready.
function core.plain_event(slot, number, operation)
    return event(slot, number, operation, results())
end

-- Forgets coroutines of a phase that is given up.
function core.abandon(slot, number)
    local request = find(slot, number)
    if request then
        request.only, request.waiting, request.ready, request.last, request.live = false, false, false, 0, 0
        request.exit, request.failed, request.captures = false, false, false
    end
end

-- Forgets a request.
function core.forget(slot, number)
    if find(slot, number) then
        requests[slot] = nil
    end
end

-- Notices when somebody looks at the globals of a function, which then cannot serve again. For when the library is complete.
function core.watch_globals()
    for _, holder in ipairs { base, base.debug } do
        for _, name in ipairs { "getfenv", "setfenv" } do
            local plain = holder[name]
            if plain then
                holder[name] = function(...)
                    if current then
                        current.leaked = true
                    end
                    return plain(...)
                end
            end
        end
    end
end

-- Runs a function of the gateway's own as if a request did: for `init` and `init_worker`.
function core.alone(phase, factory)
    current = { number = 0, phase = phase, live = 0, made = 0, last = 0 }
    local ok, message = xpcall(factory(), trace)
    current = nil
    if not ok then
        return FAILED, message
    end
    return ENDED
end

-- For the rest of the API ---------------------------------------------------------------------------------------------

-- Yields until the gateway has the results of an operation, and gives them.
function core.wait(operation)
    return co_yield(WAIT, operation)
end

-- Counts subrequests that the current light thread waits for.
function core.pending(change)
    current.captures = (current.captures or 0) + change
    thread.captures = (thread.captures or 0) + change
end

-- Ends the phase; not while another light thread waits for a subrequest, as in OpenResty.
function core.exit(status)
    if current.captures and current.captures > 0 and status ~= -1 and status ~= 408 and status ~= 444 and status ~= 499 then
        error("attempt to abort with pending subrequests", 3)
    end
    return co_yield(EXIT, status)
end

function core.request()
    return current
end

local CONTEXTS = {
    rewrite = "rewrite_by_lua*", access = "access_by_lua*", content = "content_by_lua*",
    header_filter = "header_filter_by_lua*", body_filter = "body_filter_by_lua*", log = "log_by_lua*",
    timer = "ngx.timer", init = "init_by_lua*", init_worker = "init_worker_by_lua*", balancer = "balancer_by_lua*",
}

-- Raises an error unless one of these phases runs (names, separated by spaces). What is `about` a request has other words for
-- it in timers, as in OpenResty.
function core.only_in(names, about)
    local allowed = {}
    for name in names:gmatch("%S+") do
        allowed[name] = true
    end
    return function(level)
        local phase = current and current.phase
        if not allowed[phase] then
            if not phase then
                error("no request found", (level or 1) + 2)
            end
            if about and phase == "timer" then
                error("API disabled in the current context", (level or 1) + 2)
            end
            error("API disabled in the context of " .. (CONTEXTS[phase] or phase), (level or 1) + 2)
        end
        return current
    end
end

-- Light threads -------------------------------------------------------------------------------------------------------

local threads = {}
core.threads = threads
local may_spawn = core.only_in("rewrite access content timer")

local function thread_of(t, at)
    if type(t) ~= "table" and type(t) ~= "thread" then
        error("bad argument #" .. at .. " to 'wait' (lua thread expected)", 3)
    end
    if type(t) == "thread" then
        t = owners[t]
    end
    local known = type(t) == "table" and t.request
    if not known or (t.co == nil and not t.dead) then
        error("attempt to wait on a coroutine that is not a user thread", 3)
    end
    return t
end

function threads.spawn(f, ...)
    local request = may_spawn()
    if type(f) ~= "function" then
        error("bad argument #1 to 'spawn' (Lua function expected)", 2)
    end
    count_coroutine(request)
    local t = new_thread(request)
    t.parent = thread
    return co_yield(SPAWN, t, f, ...)
end

function threads.wait(...)
    may_spawn()
    local n = select("#", ...)
    if n == 0 then
        error("at least one coroutine should be specified", 2)
    end
    local list = { ... }
    local me = thread
    for i = 1, n do
        local t = thread_of(list[i], i)
        if t.parent ~= me then
            error("only the parent coroutine can wait on the thread", 2)
        end
        if t.killed or t.waited then
            return nil, "already waited or killed"
        end
    end
    for i = 1, n do
        local t = list[i]
        if t.dead then
            t.waited = true
            return t.ok, unpack(t.results, 1, t.results.n)
        end
    end
    for i = 1, n do
        list[i].waiter = me
    end
    local t = co_yield(WAIT)
    for i = 1, n do
        if list[i].waiter == me then
            list[i].waiter = nil
        end
    end
    t.waited = true
    return t.ok, unpack(t.results, 1, t.results.n)
end

function threads.kill(t)
    local request = may_spawn()
    t = thread_of(t, 1)
    if t.parent ~= thread then
        return nil, "killer not parent"
    end
    if t.killed then
        return nil, "already waited or killed"
    end
    if t.captures and t.captures > 0 then
        return nil, "pending subrequests"
    end
    if t.dead then
        return nil, t.waited and "already waited or killed" or "already terminated"
    end
    t.dead, t.killed, t.ok = true, true, false
    t.co = nil
    request.live = request.live - 1
    if t.operation then
        if request.only == t then
            request.only = false
        else
            request.waiting[t.operation] = nil
        end
        host.cancel(t.operation)
        t.operation = false
    end
    return 1
end

-- Coroutines of scripts: what their callees wait for goes through them up to the dispatcher -------------------------------

local function pass(co, ok, ...)
    local tag = ...
    if ok and (tag == WAIT or tag == EXIT or tag == SPAWN) then
        return pass(co, co_resume(co, co_yield(...)))
    end
    return ok, ...
end

local function leave(t, ...)
    if t then
        t.nested = t.nested - 1
    end
    return ...
end

local function resume(co, ...)
    local t = thread
    if t then
        t.nested = t.nested + 1
    end
    return leave(t, pass(co, co_resume(co, ...)))
end

-- Light threads have the states of OpenResty: one that waits for the gateway runs, and one that has ended is a zombie until
-- the one that made it knows.
local function status_of(t)
    if t.dead then
        local parent = t.parent
        return parent and not parent.dead and not t.waited and not t.killed and "zombie" or "dead"
    end
    return t.nested > 0 and "normal" or "running"
end

function coroutine.status(co)
    local t = type(co) == "table" and co.request and co or owners[co]
    if t then
        return status_of(t)
    end
    return co_status(co)
end

local function create(f)
    if type(f) ~= "function" then
        error("bad argument #1 to 'create' (Lua function expected)", 2)
    end
    if current then
        count_coroutine(current)
    end
    return co_create(f)
end

local function unwrap(ok, ...)
    if ok then
        return ...
    end
    error((...), 0)
end

coroutine.create = create
coroutine.resume = resume

function coroutine.wrap(f)
    local co = create(f)
    return function(...)
        return unwrap(resume(co, ...))
    end
end

return core
