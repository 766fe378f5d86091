//! What a connection hears of the gateway's end: first that clients are told to close, then that no request begins any more, and
//! then that what still runs is cut off.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::sync::watch;

/// All signals, as one connection hears them.
pub struct Closing {
    /// The gateway ends, but listeners still accept.
    leave: Signal,
    /// No request begins any more.
    drain: Signal,
    /// Draining took too long: requests end now.
    cut_off: Signal,
}

impl Closing {
    pub fn new(leave: &watch::Receiver<bool>, drain: &watch::Receiver<bool>, cut_off: &watch::Receiver<bool>) -> Self {
        Self { leave: Signal::new(leave), drain: Signal::new(drain), cut_off: Signal::new(cut_off) }
    }

    /// For a request of the gateway to itself: whoever goes down waits for the request that it is within, or cuts that off.
    pub fn never() -> Self {
        Self { leave: Signal::never(), drain: Signal::never(), cut_off: Signal::never() }
    }

    /// Whether the client is to be told to close; nobody is woken when it comes to that.
    pub fn has_begun(&mut self) -> bool {
        self.leave.has_come()
    }

    /// Ready once no request begins any more. Whoever asks first is woken then, and need not ask anew as long as nothing has changed.
    pub fn poll_begun(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.drain.poll_come(context)
    }

    /// Ready once requests are cut off; otherwise as [`Self::poll_begun`].
    pub fn poll_cut_off(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.cut_off.poll_come(context)
    }
}

/// One signal; kept for the life of a connection, for asking is cheaper than beginning to ask.
struct Signal {
    /// None: it never comes.
    told: Option<watch::Receiver<bool>>,
    come: bool,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Who is woken by `waiting`.
    listener: Option<Waker>,
}

impl Signal {
    fn new(told: &watch::Receiver<bool>) -> Self {
        let mut told = told.clone();
        let come = *told.borrow_and_update();
        Self { told: Some(told), come, waiting: None, listener: None }
    }

    fn never() -> Self {
        Self { told: None, come: false, waiting: None, listener: None }
    }

    fn has_come(&mut self) -> bool {
        // Reading what it is takes a lock; that there is nothing new is seen without. An error means that nobody is left who
        // could tell.
        if let Some(told) = &mut self.told
            && told.has_changed().unwrap_or(true)
        {
            self.come = *told.borrow_and_update();
            self.listener = None;
        }
        self.come
    }

    fn poll_come(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.has_come() {
            return Poll::Ready(());
        }
        let Some(told) = &self.told else { return Poll::Pending };
        let waker = context.waker();
        if !self.listener.as_ref().is_some_and(|listener| listener.will_wake(waker)) {
            let waiting = self.waiting.get_or_insert_with(|| {
                let mut told = told.clone();
                Box::pin(async move { drop(told.wait_for(|come| *come).await) })
            });
            if waiting.as_mut().poll(context).is_ready() {
                // It has come, or nobody is left who could tell: so it stays.
                (self.told, self.come) = (None, true);
                return Poll::Ready(());
            }
            self.listener = Some(waker.clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_waits_for_a_request_is_told_that_the_gateway_goes_down() {
        let (sender, shutdown) = watch::channel(false);
        let (_keep, cut_off) = watch::channel(false);
        let mut closing = Closing::new(&shutdown, &shutdown, &cut_off);
        let [first, second] = [(); 2].map(|()| Arc::new(Count::default()));
        let mut ask = |count: &Arc<Count>| {
            let waker = Waker::from(Arc::clone(count));
            closing.poll_begun(&mut Context::from_waker(&waker)).is_ready()
        };
        let woken = |count: &Count| count.0.swap(0, Ordering::Relaxed);
        assert_eq!([ask(&first), ask(&first)], [false, false]);
        // Another task has the connection now.
        assert!(!ask(&second));
        sender.send_replace(false);
        assert_eq!([woken(&first), woken(&second)], [0, 1]);
        // It is not so yet: they ask again, and are told again.
        assert!(!ask(&second));
        sender.send_replace(true);
        assert_eq!(woken(&second), 1);
        assert_eq!([ask(&second), ask(&first)], [true, true]);
        // One that comes later.
        assert!(Closing::new(&shutdown, &shutdown, &cut_off).has_begun());
        drop(sender);
        assert!(Closing::new(&shutdown, &shutdown, &cut_off).has_begun());
        let mut closing = Closing::new(&shutdown, &shutdown, &cut_off);
        assert!(closing.poll_cut_off(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    #[test]
    fn clients_are_told_to_close_while_requests_still_begin() {
        let [leave, drain, cut_off] = [true, false, false].map(watch::Sender::new);
        let mut closing = Closing::new(&leave.subscribe(), &drain.subscribe(), &cut_off.subscribe());
        assert!(closing.has_begun());
        assert!(closing.poll_begun(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    #[test]
    fn it_has_come_if_nobody_is_left_who_could_tell() {
        let (sender, drain) = watch::channel(false);
        let (_keep, cut_off) = watch::channel(false);
        let mut closing = Closing::new(&drain, &drain, &cut_off);
        let mut context = Context::from_waker(Waker::noop());
        assert!(closing.poll_begun(&mut context).is_pending());
        drop(sender);
        assert!([(); 3].map(|()| closing.poll_begun(&mut context).is_ready()).iter().all(|ready| *ready));
    }
}
