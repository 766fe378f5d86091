//! One instantiation of a plugin, and calls into it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use wasmtime::component::{InstancePre, Resource, TypedFunc};
use wasmtime::{Engine, Store, UpdateDeadline};
use witgate_stage::{Ended, Exchange, FailureKind, Hook, Stopwatch, Verdict};

use crate::bindings::exports::witgate::plugin::{
    lifecycle, on_log, on_request_body, on_request_headers, on_response_body, on_response_headers,
};
use crate::engine::TICK;
use crate::exports::Exports;
use crate::fault::Fault;
use crate::host::http::{HANDLE, RequestHandle, ResponseHandle};
use crate::host::{Binding, HostState, Past, Phase, Stack, timed};
use crate::spec::PluginLimits;
use crate::stats::{Slot, count};
use crate::verdict::{self, Answer};

/// Run time for starting an instance and for each function of `lifecycle`. More than a hook gets, for a configuration may
/// take some preparation; it yields to other tasks all the same.
const SETUP_TIMEOUT: Duration = Duration::from_secs(1);
/// Most bytes that one host call, or one answer, may carry out of the guest. They are copied before anything can be checked,
/// and lists that overlap in the guest's memory could make that terabytes.
const HOST_CALL_BYTES: usize = 16 << 20;
/// Most handles that an instance can have at once; a guest needs a handful.
const HANDLES: usize = 1024;
/// Calls after which an instance is replaced, give or take a fifth, so that instances of one age do not all go at once.
/// Bounds what a guest can leak or corrupt, at a cost of nanoseconds per call.
const CALLS: u32 = 10_000;

/// Deadline of a hook on the thread's stack, in epochs. The first one is already running, so that a hook has between one and
/// two: with one, each hook that happens to meet the end of an epoch would be begun again.
const SLICE: u64 = 2;

type OnRequest = TypedFunc<(Resource<RequestHandle>, bool), (on_request_headers::Action,)>;
type OnResponse = TypedFunc<(Resource<RequestHandle>, Resource<ResponseHandle>, bool), (on_response_headers::Action,)>;

/// The functions of an instance's hooks.
struct Hooks {
    request: Option<OnRequest>,
    response: Option<OnResponse>,
    request_body: Option<on_request_body::Guest>,
    response_body: Option<on_response_body::Guest>,
    log: Option<on_log::Guest>,
}

/// A started guest. Whoever calls into it owns it: it goes back to the pool only after a call that succeeded. A call that
/// fails, or that is dropped before its end, takes the instance with it, because the guest may be in any state then.
pub(crate) struct Instance {
    store: Store<HostState>,
    lifecycle: lifecycle::Guest,
    hooks: Hooks,
    calls_left: u32,
    /// Bytes of memory at which it is replaced.
    memory_mark: usize,
    memory_peak: usize,
    /// After the store, so that the places are free only when the memory is.
    slots: [Slot; 2],
}

/// What instances are made from.
pub(crate) struct Template {
    pub(crate) engine: Engine,
    pub(crate) pre: InstancePre<HostState>,
    pub(crate) exports: Exports,
    pub(crate) binding: Arc<Binding>,
    pub(crate) limits: PluginLimits,
    /// [`PluginLimits::hook_timeout`] in epochs.
    pub(crate) hook_ticks: u64,
    pub(crate) config_json: String,
}

/// Epochs of a time to run: one more than it has, for the first is already running.
pub(crate) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX).saturating_add(1)
}

/// On a fiber the guest gives way at every epoch to the other tasks of its thread; once its ticks are used up it is stopped.
/// On the thread's stack it cannot give way and is stopped after its slice.
fn next_epoch(state: &mut HostState) -> UpdateDeadline {
    let call = &mut state.call;
    if call.stack != Stack::Fiber {
        call.stack = Stack::Overrun;
        return UpdateDeadline::Interrupt;
    }
    call.ticks_left = call.ticks_left.saturating_sub(1);
    if call.ticks_left == 0 { UpdateDeadline::Interrupt } else { UpdateDeadline::Yield(1) }
}

/// How a hook ended that was begun on the thread's stack.
pub(crate) enum Begun {
    Ended(Box<Exchange>, Result<Verdict, Fault>),
    /// It needs a fiber. The instance must be dropped, and the exchange is as it was.
    Overran(Box<Exchange>, Past),
}

impl Instance {
    /// Instantiates, without `configure`.
    pub(crate) async fn start(template: &Template, slots: [Slot; 2]) -> Result<Self, Fault> {
        count(&template.binding.counters.created);
        let state = HostState::new(Arc::clone(&template.binding), template.limits.memory);
        let mut store = Store::new(&template.engine, state);
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|mut store| Ok(next_epoch(store.data_mut())));
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store.set_max_component_handles(HANDLES);
        store.set_epoch_deadline(1);
        store.data_mut().call.ticks_left = ticks(SETUP_TIMEOUT);
        match Self::link(template, &mut store).await {
            Ok((lifecycle, hooks)) => Ok(Self {
                store,
                lifecycle,
                hooks,
                calls_left: fastrand::u32(CALLS - CALLS / 5..=CALLS + CALLS / 5),
                memory_mark: usize::MAX,
                memory_peak: 0,
                slots,
            }),
            Err(error) => Err(Fault::from_engine(&error, store.data_mut().memory.take_denied())),
        }
    }

    async fn link(template: &Template, store: &mut Store<HostState>) -> wasmtime::Result<(lifecycle::Guest, Hooks)> {
        let Exports { lifecycle, request, response, request_body, response_body, log } = &template.exports;
        let instance = template.pre.instantiate_async(&mut *store).await?;
        let lifecycle = lifecycle.load(&mut *store, &instance)?;
        let hooks = Hooks {
            request: request.as_ref().map(|handle| instance.get_typed_func(&mut *store, handle)).transpose()?,
            response: response.as_ref().map(|handle| instance.get_typed_func(&mut *store, handle)).transpose()?,
            request_body: request_body.as_ref().map(|hook| hook.load(&mut *store, &instance)).transpose()?,
            response_body: response_body.as_ref().map(|hook| hook.load(&mut *store, &instance)).transpose()?,
            log: log.as_ref().map(|hook| hook.load(&mut *store, &instance)).transpose()?,
        };
        Ok((lifecycle, hooks))
    }

    fn setup(&mut self) {
        self.store.set_epoch_deadline(1);
        self.store.data_mut().call.ticks_left = ticks(SETUP_TIMEOUT);
    }

    fn fault(&mut self, error: &wasmtime::Error) -> Fault {
        Fault::from_engine(error, self.store.data_mut().memory.take_denied())
    }

    pub(crate) async fn describe(&mut self) -> Result<lifecycle::Description, Fault> {
        self.setup();
        let answer = self.lifecycle.call_describe(&mut self.store).await;
        answer.map_err(|error| self.fault(&error))
    }

    /// Configures; the inner error is the guest's own answer.
    pub(crate) async fn configure(&mut self, config: &str) -> Result<Result<lifecycle::Interest, String>, Fault> {
        self.setup();
        let answer = self.lifecycle.call_configure(&mut self.store, config).await;
        let answer = answer.map_err(|error| self.fault(&error))?;
        let memory = &self.store.data().memory;
        // Measured from here, so that a guest that needs much from the start is not replaced at every call.
        self.memory_mark = memory.bytes() + memory.limit().saturating_sub(memory.bytes()) / 4 * 3;
        self.note_memory();
        Ok(answer)
    }

    /// Configures a replacement: the same configuration was accepted before.
    pub(crate) async fn configure_again(&mut self, config: &str) -> Result<(), Fault> {
        self.configure(config).await?.map(drop).map_err(|message| {
            Fault::new(FailureKind::Trap, format!("`configure` refuses what it accepted before: {message}"))
        })
    }

    /// Runs a hook on the thread's stack. Unless it ends well the instance must be dropped.
    ///
    /// A fiber costs 0.18 us a call and the memory of its stack (2026-11), and nearly every hook ends within its slice. One
    /// that does not is begun again by [`Instance::call`] in another instance: hooks keep nothing in their instance, what
    /// they change in the exchange is undone, and what they did elsewhere is in [`Past`].
    ///
    /// Uses up to 512 KiB of the thread's stack for the guest, and some more for the host's functions.
    pub(crate) fn begin(&mut self, hook: Hook, exchange: Box<Exchange>) -> Begun {
        let end_of_stream = exchange.end_of_stream;
        let mut stopwatch = Stopwatch::start();
        self.store.set_epoch_deadline(SLICE);
        self.store.data_mut().begin(hook.into(), exchange);
        let answer = match (hook, &self.hooks.request, &self.hooks.response) {
            (Hook::RequestHeaders, Some(handle), _) => {
                let answer = handle.call(&mut self.store, (request(), end_of_stream));
                self.judged(answer, |(action,)| verdict::of_request(action))
            }
            (Hook::ResponseHeaders, _, Some(handle)) => {
                let answer = handle.call(&mut self.store, (request(), response(), end_of_stream));
                self.judged(answer, |(action,)| verdict::of_response(action))
            }
            // Body hooks work through more than heads do: they run on fibers.
            _ => Ok(Answer::Continue),
        };
        let past = if answer.is_err() { self.store.data_mut().overrun() } else { None };
        let (exchange, answer) = self.end(answer, stopwatch.lap());
        match past {
            Some(past) => Begun::Overran(exchange, past),
            None => Begun::Ended(exchange, answer),
        }
    }

    /// Runs a hook on a fiber, on which it gives way at every epoch, for at most `wall` in all. On an error the instance
    /// must be dropped.
    pub(crate) async fn call(
        &mut self,
        hook: Hook,
        exchange: Box<Exchange>,
        (ticks, wall): (u64, Duration),
        past: Past,
    ) -> (Box<Exchange>, Result<Verdict, Fault>) {
        let input = Input {
            end_of_stream: exchange.end_of_stream,
            body: exchange.body.clone(),
            answered: exchange.response.is_some(),
            outcome: outcome(exchange.ended.as_ref()),
        };
        self.store.set_epoch_deadline(1);
        let state = self.store.data_mut();
        state.begin_on_fiber(hook.into(), exchange, ticks, past);
        state.call.usage.bytes_in += input.body.len() as u64;
        let mut took = Duration::ZERO;
        let answer = timeout(wall, timed(self.call_guest(hook, &input), &mut took)).await;
        let late = |_| Err(Fault::new(FailureKind::Deadline, format!("took more than {wall:?} in all")));
        self.end(answer.unwrap_or_else(late), took)
    }

    async fn call_guest(&mut self, hook: Hook, input: &Input) -> Result<Answer, Fault> {
        let Input { end_of_stream, ref body, answered, ref outcome } = *input;
        let Self { store, hooks, .. } = self;
        match hook {
            Hook::RequestHeaders => {
                let Some(handle) = &hooks.request else { return Ok(Answer::Continue) };
                let answer = handle.call_async(&mut *store, (request(), end_of_stream)).await;
                self.judged(answer, |(action,)| verdict::of_request(action))
            }
            Hook::ResponseHeaders => {
                let Some(handle) = &hooks.response else { return Ok(Answer::Continue) };
                let answer = handle.call_async(&mut *store, (request(), response(), end_of_stream)).await;
                self.judged(answer, |(action,)| verdict::of_response(action))
            }
            Hook::RequestBody => {
                let Some(guest) = &hooks.request_body else { return Ok(Answer::Continue) };
                let answer = guest.call_handle(&mut *store, request(), body, end_of_stream).await;
                self.judged(answer, verdict::of_request_body)
            }
            Hook::ResponseBody => {
                let Some(guest) = &hooks.response_body else { return Ok(Answer::Continue) };
                let answer = guest.call_handle(&mut *store, request(), response(), body, end_of_stream).await;
                self.judged(answer, verdict::of_response_body)
            }
            Hook::Log => {
                let Some(guest) = &hooks.log else { return Ok(Answer::Continue) };
                let answer = guest.call_handle(&mut *store, request(), answered.then(response), outcome).await;
                self.judged(answer, |()| Ok(Answer::Continue))
            }
        }
    }

    fn judged<A>(
        &mut self,
        answer: wasmtime::Result<A>,
        verdict: impl FnOnce(A) -> Result<Answer, Fault>,
    ) -> Result<Answer, Fault> {
        verdict(answer.map_err(|error| self.fault(&error))?)
    }

    /// Takes back what was lent, and notes what the call took: `took` is the time in which it ran.
    fn end(&mut self, answer: Result<Answer, Fault>, took: Duration) -> (Box<Exchange>, Result<Verdict, Fault>) {
        let state = self.store.data_mut();
        let (exchange, edits) = state.end(answer.is_err());
        let mut usage = std::mem::take(&mut state.call.usage);
        let Some(mut exchange) = exchange else { unreachable!("host calls only borrow the exchange") };
        self.calls_left = self.calls_left.saturating_sub(1);
        self.note_memory();
        usage.guest = took.saturating_sub(usage.host);
        usage.memory = self.store.data().memory.bytes();
        usage.bytes_out += answer.as_ref().map_or(0, Answer::weight);
        exchange.usage = usage;
        let verdict = |answer| match answer {
            Answer::Continue => Verdict::Continue(edits),
            Answer::Replace(bytes) => Verdict::Replace(edits, bytes),
            Answer::Stop(verdict) => verdict,
        };
        (exchange, answer.map(verdict))
    }

    /// Frees the guest's memory, and keeps the places for another instance.
    pub(crate) fn into_slots(self) -> [Slot; 2] {
        let Self { store, slots, .. } = self;
        drop(store);
        slots
    }

    /// Whether it has served enough, or grown so much that a later call might fail.
    pub(crate) fn is_spent(&self) -> bool {
        self.calls_left == 0 || self.store.data().memory.bytes() >= self.memory_mark
    }

    fn note_memory(&mut self) {
        let state = self.store.data();
        if state.memory.bytes() > self.memory_peak {
            self.memory_peak = state.memory.bytes();
            state.binding.counters.memory_peak.fetch_max(self.memory_peak, Ordering::Relaxed);
        }
    }
}

/// What a hook is called with, besides handles.
struct Input {
    end_of_stream: bool,
    body: Bytes,
    /// There is a response to hand over.
    answered: bool,
    outcome: on_log::Outcome,
}

fn request() -> Resource<RequestHandle> {
    Resource::new_borrow(HANDLE)
}

fn response() -> Resource<ResponseHandle> {
    Resource::new_borrow(HANDLE)
}

fn outcome(ended: Option<&Ended>) -> on_log::Outcome {
    let ended = ended.cloned().unwrap_or_default();
    on_log::Outcome {
        status: ended.status.map_or(0, |status| status.as_u16()),
        code: ended.code.map(str::to_owned),
        stage: ended.stage,
        duration_us: u64::try_from(ended.duration.as_micros()).unwrap_or(u64::MAX),
        bytes_in: ended.bytes_in,
        bytes_out: ended.bytes_out,
    }
}

impl From<Hook> for Phase {
    fn from(hook: Hook) -> Self {
        match hook {
            Hook::RequestHeaders | Hook::RequestBody => Self::Request,
            Hook::ResponseHeaders | Hook::ResponseBody | Hook::Log => Self::Response,
        }
    }
}
