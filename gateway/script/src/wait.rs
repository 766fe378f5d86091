//! Waiting for something that another request or timer of the same VM does.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::oneshot;

/// Those who wait, each with a number by which it can be woken.
#[derive(Default)]
pub(crate) struct Bells {
    numbers: Cell<u64>,
    waiting: RefCell<HashMap<u64, oneshot::Sender<()>>>,
}

/// One who waits.
pub(crate) struct Listener {
    bells: Rc<Bells>,
    pub number: u64,
    receiver: oneshot::Receiver<()>,
}

impl Bells {
    pub fn listen(self: &Rc<Self>) -> Listener {
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(number, sender);
        Listener { bells: Rc::clone(self), number, receiver }
    }

    pub fn is_waiting(&self, number: u64) -> bool {
        self.waiting.borrow().contains_key(&number)
    }

    /// Wakes one; whether it was still there.
    pub fn ring(&self, number: u64) -> bool {
        let sender = self.waiting.borrow_mut().remove(&number);
        sender.is_some_and(|sender| sender.send(()).is_ok())
    }
}

impl Listener {
    /// Whether it was woken.
    pub async fn heard(&mut self) -> bool {
        (&mut self.receiver).await.is_ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.bells.waiting.borrow_mut().remove(&self.number);
    }
}
