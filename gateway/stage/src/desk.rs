//! The request's body, for stages that find out while they look at its head that they want it.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

#[derive(Debug, Default)]
enum Desk {
    /// On its way, and nobody has asked for it.
    #[default]
    Untouched,
    Asked(Option<Waker>),
    /// All of it, as the client sent it or as a stage has changed it.
    Held(Bytes),
}

/// Where a stage asks for the whole body, and the proxy puts it.
///
/// The proxy reads it while the stage waits. What is on the desk when the hook has ended is sent upstream in the place of the
/// client's bytes.
#[derive(Debug, Default)]
pub struct BodyDesk(Mutex<Desk>);

impl BodyDesk {
    /// Ready with the body. The first call asks for it.
    pub fn poll_body(&self, context: &mut Context<'_>) -> Poll<Bytes> {
        let mut desk = self.0.lock();
        if let Desk::Held(body) = &*desk {
            return Poll::Ready(body.clone());
        }
        *desk = Desk::Asked(Some(context.waker().clone()));
        Poll::Pending
    }

    /// What is there of the body, without asking for it.
    pub fn body(&self) -> Option<Bytes> {
        match &*self.0.lock() {
            Desk::Held(body) => Some(body.clone()),
            Desk::Untouched | Desk::Asked(_) => None,
        }
    }

    /// Whether a stage waits for the body.
    pub fn is_asked(&self) -> bool {
        matches!(&*self.0.lock(), Desk::Asked(_))
    }

    /// Puts the body there, and wakes the stage that waits for it.
    pub fn give(&self, body: Bytes) {
        if let Desk::Asked(Some(waker)) = std::mem::replace(&mut *self.0.lock(), Desk::Held(body)) {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_only_when_it_is_asked_for() {
        let (desk, mut context) = (BodyDesk::default(), Context::from_waker(Waker::noop()));
        assert!(!desk.is_asked() && desk.body().is_none());
        assert!(desk.poll_body(&mut context).is_pending());
        assert!(desk.is_asked());
        desk.give(Bytes::from_static(b"body"));
        assert!(!desk.is_asked());
        assert_eq!(desk.poll_body(&mut context), Poll::Ready(Bytes::from_static(b"body")));
        desk.give(Bytes::from_static(b"changed"));
        assert_eq!(desk.body().as_deref(), Some(&b"changed"[..]));
    }
}
