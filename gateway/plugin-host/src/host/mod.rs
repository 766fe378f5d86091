//! The host's side of the contract: one file for each interface that guests import.
//!
//! A guest-visible error is a WIT value. A call that the contract does not allow, such as touching shared state in
//! `configure`, is a trap, and so is anything outside the granted slice of WASI.

mod call;
mod clock;
mod crypto;
pub(crate) mod http;
mod inference;
mod kv;
mod limiter;
mod load;
mod log;
mod metrics;
mod outbound;
mod random;
pub(crate) mod wasi;

use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wasmtime::component::Linker;
use witgate_stage::{Attributes, Edits, Exchange, Usage};

use call::Timed;
pub(crate) use call::{HostCall, Weight, timed};

use crate::bindings::witgate::plugin;
use crate::grants::Grants;
use crate::guests::{GUESTS, Guest};
use crate::memory::MemoryGauge;
use crate::service::{Bucket, Decision, Namespace};
use crate::stats::Counters;

/// What all instances of a loaded plugin share.
pub(crate) struct Binding {
    /// The plugin's name in the configuration.
    pub(crate) name: Arc<str>,
    pub(crate) grants: Grants,
    /// There if `kv` is granted.
    pub(crate) namespace: Option<Arc<Namespace>>,
    pub(crate) counters: Counters,
}

/// What the store of an instance holds.
pub(crate) struct HostState {
    pub(crate) binding: Arc<Binding>,
    pub(crate) memory: MemoryGauge,
    pub(crate) call: Call,
    _counted: Guest<'static>,
}

/// Which part of the contract the guest is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Start, `describe` and `configure`: pure, no exchange at hand.
    Setup,
    Request,
    Response,
}

/// The state of the call that runs.
pub(crate) struct Call {
    pub(crate) phase: Phase,
    /// There in every phase but [`Phase::Setup`].
    pub(crate) exchange: Option<Box<Exchange>>,
    /// Changes to the head of this phase.
    pub(crate) edits: Edits,
    /// What it took so far.
    pub(crate) usage: Usage,
    /// The attributes before the first change of this call, for when it fails.
    pub(crate) attributes_before: Option<Attributes>,
    /// Where the changes to a response to come ended before the first one of this call, for when it fails.
    response_mark: Option<(usize, usize)>,
    pub(crate) stack: Stack,
    /// Epochs that the guest may still begin.
    pub(crate) ticks_left: u64,
    /// Log lines that it may still write.
    pub(crate) lines_left: u32,
    /// Requests that it may still send.
    fetches_left: u32,
    /// Models that it may still ask.
    scores_left: u32,
    /// Lines beyond that.
    lines_dropped: u64,
    /// How many of its next lines are in the log already, from before it was begun again.
    lines_written: u32,
    /// What it took from buckets so far. Kept between calls for its allocation.
    taken: Vec<Taken>,
    /// What it took before it was begun again, and has not asked for again.
    replay: Peekable<std::vec::IntoIter<Taken>>,
}

/// Where the guest's frames are, and with that what happens to one that computes for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    /// On the thread's own stack, which it has to leave before another task can run: it is stopped after one slice, to be
    /// begun again on a fiber.
    Thread,
    /// As [`Stack::Thread`], but the slice is over.
    Overrun,
    /// On a stack of its own, so that it can give way and go on later.
    Fiber,
}

/// Tokens that the guest of this call has taken.
pub(crate) struct Taken {
    bucket: u64,
    key: Vec<u8>,
    cost: u32,
    decision: Decision,
}

/// Most takings of one call on the thread's stack. They are kept until it ends; real guests have one or two.
const TAKEN_LIMIT: usize = 8;

/// What a hook did outside its instance before it is begun again: it must not do it twice.
#[derive(Default)]
pub(crate) struct Past {
    taken: Vec<Taken>,
    lines_written: u32,
}

/// A call that is cut off leaves no trace in what it was lent, as one that fails.
impl Drop for HostState {
    fn drop(&mut self) {
        let (exchange, _) = self.end(true);
        drop(exchange);
    }
}

impl HostState {
    pub(crate) fn new(binding: Arc<Binding>, memory_limit: usize) -> Self {
        let call = Call {
            phase: Phase::Setup,
            exchange: None,
            edits: Edits::default(),
            usage: Usage::default(),
            attributes_before: None,
            response_mark: None,
            stack: Stack::Fiber,
            ticks_left: 0,
            lines_left: log::LINES_LIMIT,
            fetches_left: 0,
            scores_left: 0,
            lines_dropped: 0,
            lines_written: 0,
            taken: Vec::new(),
            replay: Vec::new().into_iter().peekable(),
        };
        Self { binding, memory: MemoryGauge::new(memory_limit), call, _counted: GUESTS.one_more() }
    }

    /// Sets up a hook on the thread's stack.
    pub(crate) fn begin(&mut self, phase: Phase, exchange: Box<Exchange>) {
        let Self { memory, call, .. } = self;
        memory.take_denied();
        call.phase = phase;
        call.exchange = Some(exchange);
        call.stack = Stack::Thread;
        call.lines_left = log::LINES_LIMIT;
        call.fetches_left = outbound::CALLS_LIMIT;
        call.scores_left = inference::CALLS_LIMIT;
        call.lines_written = 0;
    }

    /// Sets up a hook on a fiber, perhaps one that was begun before.
    pub(crate) fn begin_on_fiber(&mut self, phase: Phase, exchange: Box<Exchange>, ticks: u64, past: Past) {
        self.begin(phase, exchange);
        self.call.stack = Stack::Fiber;
        self.call.ticks_left = ticks;
        self.call.lines_written = past.lines_written;
        self.call.replay = past.taken.into_iter().peekable();
    }

    /// What the next call on a fiber has to know, if the hook that runs is to be begun again.
    pub(crate) fn overrun(&mut self) -> Option<Past> {
        let Call { stack, taken, lines_left, .. } = &mut self.call;
        let past = || Past { taken: std::mem::take(taken), lines_written: log::LINES_LIMIT - *lines_left };
        (*stack == Stack::Overrun).then(past)
    }

    /// Takes tokens, or finds what the same hook took before it was begun again.
    ///
    /// # Errors
    /// A trap that has the hook begun again, on a fiber, if it takes more often than is kept for that.
    fn take(&mut self, bucket: &Bucket, key: Vec<u8>, cost: u32) -> wasmtime::Result<Decision> {
        let call = &mut self.call;
        let same = |past: &Taken| past.bucket == bucket.id() && past.key == key && past.cost == cost;
        if let Some(past) = call.replay.next_if(same) {
            return Ok(past.decision);
        }
        if call.stack == Stack::Fiber {
            return Ok(bucket.take(bounded(&key)?, cost));
        }
        if call.taken.len() >= TAKEN_LIMIT {
            call.stack = Stack::Overrun;
            return Err(wasmtime::Error::msg("a hook on its thread's stack took tokens too often"));
        }
        let decision = bucket.take(bounded(&key)?, cost);
        call.taken.push(Taken { bucket: bucket.id(), key, cost, decision });
        Ok(decision)
    }

    /// Takes back what was lent for a hook, with the changes that the guest asked for. Of a failed call nothing stays.
    pub(crate) fn end(&mut self, failed: bool) -> (Option<Box<Exchange>>, Edits) {
        let Self { call, binding, .. } = self;
        let dropped = std::mem::take(&mut call.lines_dropped);
        // One that is begun again drops them again.
        if dropped > 0 && call.stack != Stack::Overrun {
            binding.counters.log_lines_dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        call.phase = Phase::Setup;
        call.stack = Stack::Fiber;
        call.taken.clear();
        call.replay = Vec::new().into_iter().peekable();
        let (mut exchange, edits) = (call.exchange.take(), std::mem::take(&mut call.edits));
        let (attributes, mark) = (call.attributes_before.take(), call.response_mark.take());
        if let (true, Some(exchange)) = (failed, &mut exchange) {
            if let Some(before) = attributes {
                exchange.attributes = before;
            }
            if let Some(mark) = mark {
                exchange.response_edits.rewind(mark);
            }
        }
        (exchange, edits)
    }

    /// The exchange of the hook that runs.
    fn exchange(&self) -> wasmtime::Result<&Exchange> {
        self.call.exchange.as_deref().ok_or_else(outside_hook)
    }

    /// For host calls with an effect on others: a trap unless a hook runs, for `configure` runs once for each instance.
    fn require_hook(&self) -> wasmtime::Result<()> {
        if self.call.phase == Phase::Setup { Err(outside_hook()) } else { Ok(()) }
    }
}

/// Most bytes that a host call works through. Host calls do not give way to other tasks, and hashing this much takes about a
/// millisecond.
const WORK_LIMIT: usize = 1 << 20;

/// A trap for data that would keep the thread too long.
fn bounded(data: &[u8]) -> wasmtime::Result<&[u8]> {
    if data.len() > WORK_LIMIT {
        return Err(wasmtime::Error::msg(format!("host call with {} bytes, at most {WORK_LIMIT}", data.len())));
    }
    Ok(data)
}

fn outside_hook() -> wasmtime::Error {
    wasmtime::Error::msg("host call that is only allowed while a hook runs")
}

/// Links one interface of the contract. The caller has checked that it is granted and that its version is served.
pub(crate) fn link(linker: &mut Linker<HostState>, interface: &str) -> wasmtime::Result<()> {
    match interface {
        "http" => plugin::http::add_to_linker::<_, Timed>(linker, HostState::host_call),
        "access" => plugin::access::add_to_linker::<_, Timed>(linker, HostState::host_call),
        "log" => plugin::log::add_to_linker::<_, Timed>(linker, HostState::host_call),
        "clock" => plugin::clock::add_to_linker::<_, Timed>(linker, HostState::host_call),
        "kv" => plugin::kv::add_to_linker::<_, Timed>(linker, HostState::host_call),
        "limiter" => plugin::limiter::add_to_linker::<_, Timed>(linker, HostState::host_call),
        "load" => plugin::load::add_to_linker::<_, Timed>(linker, HostState::host_call),
        "crypto" => plugin::crypto::add_to_linker::<_, Timed>(linker, HostState::host_call),
        "metrics" => plugin::metrics::add_to_linker::<_, Timed>(linker, HostState::host_call),
        "random" => plugin::random::add_to_linker::<_, Timed>(linker, HostState::host_call),
        "inference" => plugin::inference::add_to_linker::<_, Timed>(linker, HostState::host_call),
        "outbound" => plugin::outbound::add_to_linker::<_, Timed>(linker, HostState::host_call),
        _ => Err(wasmtime::Error::msg("no such interface")),
    }
}

/// Interfaces that [`link`] knows.
pub(crate) const INTERFACES: [&str; 12] =
    ["http", "access", "log", "clock", "kv", "limiter", "load", "crypto", "metrics", "random", "outbound", "inference"];

impl plugin::access::Host for HostCall<'_> {}
