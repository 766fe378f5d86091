//! Sleeping, timers, semaphores and locks of scripts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

mod rig;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rig::{Rig, get};
use witgate_script::{AppSpec, Chunk, Limits, Phase};
use witgate_stage::Hook;

fn with_dict(code: &str, limits: Limits) -> Rig {
    let dicts = BTreeMap::from([("d".to_owned(), 1 << 20), ("golapis".to_owned(), 1 << 20)]);
    Rig::of(&[(Phase::Content, code)], AppSpec { name: "test".into(), dicts, limits, ..AppSpec::default() })
}

#[test]
fn sleeping_lets_others_go_on() {
    let begun = Instant::now();
    let code = "
        local order = {}
        local slow = ngx.thread.spawn(function() ngx.sleep(0.05) order[#order + 1] = 'slow' end)
        local quick = ngx.thread.spawn(function() ngx.sleep(0) order[#order + 1] = 'quick' end)
        order[#order + 1] = 'main'
        ngx.thread.wait(slow)
        ngx.say(table.concat(order, ' '))
        ngx.say(pcall(ngx.sleep, -1)) ngx.say(pcall(ngx.sleep)) ngx.say(pcall(ngx.sleep, 'x'))
    ";
    let expected = "main quick slow\nfalseinvalid sleep duration \"-1000\"\nfalseattempt to pass 0 arguments, but accepted 1\n\
        falsebad argument #1 to 'sleep' (number expected, got string)\n";
    assert_eq!(Rig::say(code), expected);
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[test]
fn timers_run_by_themselves_with_their_arguments() {
    let code = "
        local semaphore = require('ngx.semaphore').new()
        ngx.say(ngx.timer.at(0, function(premature, a, b, c)
            ngx.ctx.own = true
            semaphore.told = tostring(premature) .. a .. tostring(b) .. c .. ngx.get_phase() .. tostring(pcall(ngx.say, 'x'))
            semaphore:post()
        end, 1, nil, 'x'))
        ngx.say(ngx.timer.pending_count(), ngx.timer.running_count())
        semaphore:wait(5)
        ngx.say(semaphore.told, ' ', ngx.ctx.own)
        ngx.sleep(0)
        ngx.say(ngx.timer.pending_count(), ngx.timer.running_count())
        ngx.say(pcall(ngx.timer.at, 0)) ngx.say(pcall(ngx.timer.every, 0, print)) ngx.say(pcall(ngx.timer.at, 0, 1))
    ";
    let expected = "1\n10\nfalse1nilxtimerfalse nil\n00\nfalsecontent:13: expecting at least 2 arguments but got 1\n\
        falsecontent:13: delay cannot be zero\nfalsecontent:13: bad argument #2 to 'at' (Lua function expected)\n";
    assert_eq!(Rig::say(code), expected);
}

#[test]
fn timers_that_repeat_go_on_until_their_generation_ends() {
    let code = "
        local semaphore = require('ngx.semaphore').new()
        local d = ngx.shared.d
        ngx.timer.every(0.005, function(premature, by)
            if premature then return d:incr('premature', by, 0) end
            d:incr('times', by, 0) semaphore:post()
        end, 2)
        for i = 1, 3 do semaphore:wait(5) end
        ngx.timer.at(3600, function(premature) if premature then d:incr('late', 1, 0) end end)
        ngx.timer.at(3600, function(premature)
            d:set('refused', select(2, ngx.timer.at(1, print)))
            ngx.timer.at(0, function(again) d:set('last', tostring(again)) end)
            d:set('exiting', tostring(ngx.worker.exiting()))
        end)
        ngx.say(d:get('times') >= 6, ngx.timer.pending_count(), ngx.worker.exiting())
    ";
    let mut rig = with_dict(code, Limits::default());
    assert_eq!(rig.told(), "true3false\n");
    rig.replace(
        "local d = ngx.shared.d
        for i = 1, 1000 do if d:get('last') then break end ngx.sleep(0.001) end
        ngx.say(d:get('premature'), d:get('late'), d:get('refused'), d:get('last'), d:get('exiting'))",
    );
    assert_eq!(rig.told(), "21process exitingfalsetrue\n");
}

#[test]
fn init_worker_starts_timers() {
    let source =
        Bytes::from_static(b"local d = ngx.shared.d ngx.timer.at(0, function() d:set('ran', ngx.get_phase()) end)");
    let dicts = BTreeMap::from([("d".to_owned(), 1 << 20)]);
    let init_worker = Some(Chunk { name: "=init_worker".to_owned(), source });
    let app = AppSpec { name: "test".into(), dicts, init_worker, ..AppSpec::default() };
    let code = "for i = 1, 1000 do if ngx.shared.d:get('ran') then break end ngx.sleep(0) end ngx.say(ngx.shared.d:get('ran'))";
    assert_eq!(Rig::of(&[(Phase::Content, code)], app).told(), "timer\n");
}

#[test]
fn timers_are_limited_in_number_and_run_time() {
    let limits = Limits { timers: 3, cpu: Duration::from_millis(30), ..Limits::default() };
    let code = "
        local list = {}
        for i = 1, 5 do local _, err = ngx.timer.at(3600, print) list[i] = tostring(err) end
        ngx.say(table.concat(list, ' '))
    ";
    assert_eq!(with_dict(code, limits.clone()).told(), "nil nil nil too many pending timers too many pending timers\n");
    let code = "
        local semaphore, ran = require('ngx.semaphore').new(), 0
        for i = 1, 3 do assert(ngx.timer.at(0, function() ran = ran + 1 semaphore:wait(5) end)) end
        ngx.sleep(0.01)
        ngx.timer.at(0, function() ran = ran + 100 end)
        ngx.sleep(0.01)
        ngx.say(ran, ' ', ngx.timer.running_count(), ' ', ngx.timer.pending_count())
        semaphore:post(3)
    ";
    assert_eq!(with_dict(code, limits.clone()).told(), "3 3 0\n", "a fourth one is left out");
    let code = "
        local d = ngx.shared.d
        if d:get('begun') then return ngx.say(d:get('after'), d:get('other')) end
        d:set('begun', 1)
        ngx.timer.at(3600, function(premature) d:set('other', premature) end)
        ngx.timer.at(0, function() while true do end d:set('after', 1) end)
        for i = 1, 100 do if ngx.timer.running_count() + ngx.timer.pending_count() == 0 then break end ngx.sleep(0.01) end
        ngx.say(ngx.timer.running_count(), ngx.timer.pending_count(), ngx.worker.exiting())
    ";
    let rig = with_dict(code, limits);
    assert_eq!(rig.told(), "00true\n", "the VM is replaced, which ends its timers");
    assert_eq!(rig.told(), "niltrue\n");
}

#[test]
fn a_busy_timer_gets_a_part_of_its_thread() {
    // On a machine that is busy it takes longer, and never less.
    let limits = Limits { cpu: Duration::from_millis(50), wall: Duration::from_secs(60), ..Limits::default() };
    let code = "
        local function now() ngx.update_time() return ngx.now() end
        local semaphore = require('ngx.semaphore').new()
        ngx.timer.at(0, function()
            for i = 1, 40 do
                -- More than two milliseconds, on a clock of whole ones.
                local begun = now()
                while now() - begun < 0.003 do end
                ngx.sleep(0)
            end
            semaphore:post()
        end)
        local begun = now()
        ngx.say((semaphore:wait(50)))
        -- 80 ms at least. It has 50 of them, and the rest for ten times as long.
        local took = now() - begun
        ngx.say(took >= 0.29 or took)
    ";
    assert_eq!(with_dict(code, limits).told(), "true\ntrue\n");
}

#[test]
fn a_timer_that_waits_for_long_keeps_its_run_time() {
    let limits = Limits { cpu: Duration::from_millis(50), wall: Duration::from_secs(60), ..Limits::default() };
    let code = "
        local semaphore = require('ngx.semaphore').new()
        ngx.timer.at(0, function()
            -- In all more than the limit, but never much at once, and with pauses.
            for i = 1, 30 do
                local begun = os.clock()
                while os.clock() - begun < 0.003 do end
                ngx.sleep(0.04)
            end
            semaphore.done = true
            semaphore:post()
        end)
        semaphore:wait(50)
        ngx.say(semaphore.done)
    ";
    assert_eq!(with_dict(code, limits).told(), "true\n");
}

#[test]
fn errors_of_timers_end_them_alone() {
    let code = "
        local semaphore = require('ngx.semaphore').new()
        ngx.timer.at(0, function() semaphore:post() error('oops') end)
        ngx.timer.at(0, function() ngx.exit(0) end)
        ngx.timer.at(0, function() ngx.thread.spawn(function() ngx.sleep(0.001) semaphore:post() end) end)
        ngx.say(semaphore:wait(5), semaphore:wait(5))
        for i = 1, 100 do if ngx.timer.running_count() == 0 then break end ngx.sleep(0) end
        ngx.say(ngx.timer.running_count())
    ";
    assert_eq!(Rig::say(code), "truetruenil\n0\n");
}

#[test]
fn semaphores_count_and_wake_in_turn() {
    let code = "
        local new = require('ngx.semaphore').new
        local s = new(1)
        ngx.say(s:count(), s:wait(0), s:count(), s:wait(0))
        ngx.say(s:wait(0.01))
        local order = {}
        local threads = {}
        for i = 1, 3 do threads[i] = ngx.thread.spawn(function() s:wait(5) order[#order + 1] = i end) end
        ngx.say(s:count())
        ngx.thread.kill(threads[2])
        ngx.say(s:count())
        s:post(2)
        ngx.thread.wait(threads[1]) ngx.thread.wait(threads[3])
        ngx.say(table.concat(order, ' '), ' ', s:count())
        s:post() ngx.say(s:count(), s:wait(1))
        ngx.say(pcall(new, -1)) ngx.say(pcall(s.post, s, 0)) ngx.say(pcall(s.wait, s, -1)) ngx.say(pcall(s.wait, {}, 1))
    ";
    let expected = "1true0niltimeout\nfalsetimeout\n-3\n-2\n1 3 0\n1true\nfalseno negative number\n\
        falsepositive number required\nfalseno negative number\nfalsenot a semaphore instance\n";
    assert_eq!(Rig::say(code), expected);
}

#[test]
fn locks_exclude_each_other() {
    let code = "
        local lock = require 'resty.lock'
        ngx.say(lock:new('nowhere'))
        local one, other = lock:new('d'), lock:new('d', {timeout = 0.02, exptime = 10})
        ngx.say(one:lock('key'), one:lock('key'))
        ngx.say(other:lock('key'))
        ngx.say(one:expire(5), one:unlock(), one:unlock())
        local waiter = ngx.thread.spawn(function() return lock:new('d', {timeout = 5}):lock('key') end)
        local held = lock:new('d', {exptime = 0.01})
        ngx.say(held:lock('short'))
        ngx.sleep(0.03)
        ngx.say(held:unlock())
        ngx.say(ngx.thread.wait(waiter))
        ngx.say(lock:new('d'):lock(nil))
    ";
    let expected =
        "nildictionary not found\n0nillocked\nniltimeout\ntrue1nilunlocked\n0\nnilunlocked\ntrue0\nnilnil key\n";
    assert_eq!(with_dict(code, Limits::default()).told(), expected);
}

#[test]
fn names_of_golapis_are_there() {
    let code = "
        golapis.status = 201 golapis.ctx.a = ngx.status golapis.say(ngx.ctx.a)
        go.sleep(0)
        ngx.say(golapis.shared.set('k', 5), golapis.shared.incr('k', 2), golapis.shared.get('k'), golapis.shared.d:get('k'))
        ngx.say(type(go.socket()), type(go.socket.tcp()))
    ";
    assert_eq!(with_dict(code, Limits::default()).told(), "201\ntrue77nil\ntabletable\n");
    let missing = Rig::new(&[(Phase::Content, "golapis.shared.get('k')")]).told();
    assert!(missing.contains("needs the shared dictionary `golapis`"), "{missing}");
}

#[test]
fn workers_and_modules_about_processes_answer() {
    let code = "
        ngx.say(ngx.worker.pid() == ngx.worker.pids()[1], ngx.worker.count(), ngx.worker.id(), ngx.worker.exiting())
        ngx.say(require('ngx.process').type(), pcall(require, 'ngx.pipe'))
        ngx.say(ngx.on_abort(function() end)) ngx.say(ngx.run_worker_thread())
        require('ngx.errlog').raw_log(ngx.ERR, 'text')
        ngx.say(require('ngx.errlog').set_filter_level(ngx.WARN))
    ";
    let told = Rig::say(code);
    assert!(told.starts_with("true10false\nworkerfalsethe module ngx.pipe is not supported"), "{told}");
    assert!(told.contains("nillua_check_client_abort is off\nnilworker threads are not supported\n"), "{told}");
}

#[test]
fn a_phase_that_cannot_wait_may_start_timers() {
    let rig = Rig::new(&[(Phase::Log, "assert(ngx.timer.at(0, function() end)) ngx.sleep(0)")]);
    let error = rig.run(Hook::Log, rig::answered(get("/"))).1.unwrap_err().source.to_string();
    assert!(error.contains("API disabled in the context of log_by_lua*"), "{error}");
}
