//! The host's side of the contract: one file for each interface that guests import.
//!
//! A guest-visible error is a WIT value. A call that the contract does not allow, such as touching shared state in
//! `configure`, is a trap, and so is anything outside the granted slice of WASI.

mod clock;
mod crypto;
pub(crate) mod http;
mod kv;
mod limiter;
mod load;
mod log;
pub(crate) mod wasi;

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker};
use witgate_stage::{Attributes, Edits, Exchange};

use crate::bindings::witgate::plugin;
use crate::grants::Grants;
use crate::memory::MemoryGauge;
use crate::service::Namespace;
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
    /// The attributes before the first change of this call, for when it fails.
    pub(crate) attributes_before: Option<Attributes>,
    /// Epochs that the guest may still begin.
    pub(crate) ticks_left: u64,
    /// Log lines that it may still write.
    pub(crate) lines_left: u32,
}

impl HostState {
    pub(crate) fn new(binding: Arc<Binding>, memory_limit: usize) -> Self {
        let call = Call {
            phase: Phase::Setup,
            exchange: None,
            edits: Edits::default(),
            attributes_before: None,
            ticks_left: 0,
            lines_left: log::LINES_LIMIT,
        };
        Self { binding, memory: MemoryGauge::new(memory_limit), call }
    }

    /// Sets up a hook.
    pub(crate) fn begin(&mut self, phase: Phase, exchange: Box<Exchange>, ticks: u64) {
        let Self { memory, call, .. } = self;
        memory.take_denied();
        call.phase = phase;
        call.exchange = Some(exchange);
        call.ticks_left = ticks;
        call.lines_left = log::LINES_LIMIT;
    }

    /// Takes back what was lent for a hook, with the changes that the guest asked for. Of a failed call nothing stays.
    pub(crate) fn end(&mut self, failed: bool) -> (Option<Box<Exchange>>, Edits) {
        let call = &mut self.call;
        call.phase = Phase::Setup;
        let (mut exchange, edits) = (call.exchange.take(), std::mem::take(&mut call.edits));
        if let Some(before) = call.attributes_before.take()
            && failed
            && let Some(exchange) = exchange.as_mut()
        {
            exchange.attributes = before;
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
        "http" => plugin::http::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        "access" => plugin::access::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        "log" => plugin::log::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        "clock" => plugin::clock::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        "kv" => plugin::kv::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        "limiter" => plugin::limiter::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        "load" => plugin::load::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        "crypto" => plugin::crypto::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        _ => Err(wasmtime::Error::msg("no such interface")),
    }
}

/// Interfaces that [`link`] knows.
pub(crate) const INTERFACES: [&str; 8] = ["http", "access", "log", "clock", "kv", "limiter", "load", "crypto"];

impl plugin::access::Host for HostState {}
