//! A host call that runs: what it takes is the guest's to answer for.

use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::time::Duration;

use wasmtime::component::HasData;
use witgate_stage::Stopwatch;

use super::HostState;
use crate::bindings::witgate::plugin::http::{Field, FieldOp};

/// The host's state for one call of a guest; when it is dropped, the call's time has been noted.
pub(crate) struct HostCall<'a> {
    state: &'a mut HostState,
    /// None while the call waits: it may be dropped then.
    stopwatch: Option<Stopwatch>,
}

impl HostState {
    pub(super) fn host_call(&mut self) -> HostCall<'_> {
        HostCall { state: self, stopwatch: Some(Stopwatch::start()) }
    }
}

impl HostCall<'_> {
    /// Notes bytes that the guest passed.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.state.call.usage.bytes_out += bytes as u64;
    }

    /// Hands an answer to the guest.
    pub(super) fn give<T: Weight>(&mut self, answer: T) -> T {
        self.state.call.usage.bytes_in += answer.weight() as u64;
        answer
    }

    /// Runs a future to its end. The time in which it only waits is left out.
    pub(super) async fn wait_for<F: Future>(&mut self, future: F) -> F::Output {
        self.note_time();
        let output = timed(future, &mut self.state.call.usage.host).await;
        self.stopwatch = Some(Stopwatch::start());
        output
    }

    fn note_time(&mut self) {
        if let Some(mut stopwatch) = self.stopwatch.take() {
            self.state.call.usage.host += stopwatch.lap();
        }
    }
}

impl Deref for HostCall<'_> {
    type Target = HostState;

    fn deref(&self) -> &HostState {
        self.state
    }
}

impl DerefMut for HostCall<'_> {
    fn deref_mut(&mut self) -> &mut HostState {
        self.state
    }
}

impl Drop for HostCall<'_> {
    fn drop(&mut self) {
        self.note_time();
    }
}

/// Has the contract's functions called on [`HostCall`].
pub(super) enum Timed {}

impl HasData for Timed {
    type Data<'a> = HostCall<'a>;
}

/// Runs a future to its end and adds to `took` what that took: the time in which it was polled.
pub(crate) async fn timed<F: Future>(future: F, took: &mut Duration) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let mut stopwatch = Stopwatch::start();
        let polled = future.as_mut().poll(context);
        *took += stopwatch.lap();
        polled
    })
    .await
}

/// Bytes of text and lists in a value: what is copied when it passes between host and guest.
pub(crate) trait Weight {
    fn weight(&self) -> usize;
}

impl Weight for String {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Weight for Vec<u8> {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Weight for Field {
    fn weight(&self) -> usize {
        self.name.len() + self.value.len()
    }
}

impl Weight for FieldOp {
    fn weight(&self) -> usize {
        match self {
            Self::Set(field) | Self::Append(field) => field.weight(),
            Self::Remove(name) => name.len(),
        }
    }
}

impl<T: Weight> Weight for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, Weight::weight)
    }
}

impl<T: Weight> Weight for [T] {
    fn weight(&self) -> usize {
        self.iter().map(Weight::weight).sum()
    }
}

macro_rules! weigh_lists {
    ($($item:ty),+) => {
        $(impl Weight for Vec<$item> {
            fn weight(&self) -> usize {
                self.as_slice().weight()
            }
        })+
    };
}

weigh_lists!(String, Vec<u8>, Option<Vec<u8>>, Field, FieldOp);

impl<T: Weight, E> Weight for Result<T, E> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, Weight::weight)
    }
}
