//! How the two ends of a request know of each other: client and upstream meet here under the request's id, so that what happens in
//! its middle happens because of what has been received, and not after some time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Header fields, names in lower case, in the order in which they came.
pub type Fields = Vec<(String, String)>;

/// A request as the upstream got it.
#[derive(Debug, Clone, Default)]
pub struct Received {
    pub method: String,
    pub host: Option<String>,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Bytes of the request's body that the client has sent, and that the upstream has got.
    pub sent: usize,
    pub arrived: usize,
    /// Bytes of the response's body that the client has got.
    pub received: usize,
    /// Whoever answers stands in the middle of it, and waits.
    pub at_gate: bool,
    /// They may go on: the client with its body, or whoever answers.
    pub open: bool,
    /// What is to happen in the middle has happened, to all that it happens to.
    pub happened: bool,
    /// Whoever answers has seen that nobody waits for it any more.
    pub released: bool,
    /// The client is done with it.
    pub ended: bool,
}

/// The meeting point of a request.
#[derive(Debug)]
pub struct Gate {
    state: watch::Sender<State>,
    /// What the upstream got under the request's id, whole.
    seen: Mutex<Vec<Received>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::default()), seen: Mutex::default() }
    }
}

impl Gate {
    pub fn tell(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(change);
    }

    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Waits, for ever if need be.
    pub async fn until(&self, holds: impl Fn(&State) -> bool) {
        // The gate itself holds the sender: this cannot fail.
        let _ = self.state.subscribe().wait_for(holds).await;
    }

    /// Waits for what has to come soon. False: it did not.
    pub async fn soon(&self, holds: impl Fn(&State) -> bool) -> bool {
        patiently(self.until(holds)).await.is_some()
    }

    pub fn saw(&self, request: Received) {
        locked(&self.seen).push(request);
    }

    pub fn seen(&self) -> Vec<Received> {
        locked(&self.seen).clone()
    }
}

/// All gates, by the ids of requests.
#[derive(Debug, Default)]
pub struct Gates(Mutex<HashMap<String, Arc<Gate>>>);

impl Gates {
    pub fn of(&self, id: &str) -> Arc<Gate> {
        Arc::clone(locked(&self.0).entry(id.to_owned()).or_default())
    }

    pub fn forget(&self, id: &str) {
        locked(&self.0).remove(id);
    }
}

/// Longest wait for what should happen at once. Shorter than the harness's own: many requests may wait, and none for a compiler.
pub const LONGEST: Duration = Duration::from_secs(60);

/// What comes of it, or none if it takes longer than anything should on the slowest machine.
pub async fn patiently<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LONGEST, future).await.ok()
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Value of a field, by its name in lower case; several are joined.
pub fn field(fields: &Fields, name: &str) -> Option<String> {
    let values: Vec<&str> = fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}
