//! Times by which what scripts wait for has to end.
//!
//! Nearly all of it ends long before, so a timer of the runtime for each would be set and taken away for nothing. Here one task
//! of the VM sleeps until the first time that was given, looks who still waits, and sleeps on until the first of theirs.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use send_wrapper::SendWrapper;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Those of one VM.
#[derive(Default)]
pub(crate) struct Deadlines {
    places: RefCell<Places>,
    /// When the task looks next; none: there is no task.
    next: Cell<Option<Instant>>,
    /// Tells the task that it has to look sooner, or that the VM is gone.
    news: Rc<Notify>,
}

#[derive(Default)]
struct Places {
    list: Vec<Place>,
    free: Vec<usize>,
}

enum Place {
    Free,
    Waits(Instant, Waker),
    Over,
}

impl Deadlines {
    /// What the future comes to; none: not within the time.
    pub async fn within<T>(self: &Rc<Self>, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut ticket: Option<Ticket> = None;
        poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            match &ticket {
                Some(ticket) if ticket.is_over(context) => return Poll::Ready(None),
                Some(_) => {}
                // A time beyond what the clock can count is no limit.
                None => ticket = Instant::now().checked_add(limit).map(|at| self.enter(at, context)),
            }
            Poll::Pending
        })
        .await
    }

    fn enter(self: &Rc<Self>, at: Instant, context: &Context<'_>) -> Ticket {
        let place = Place::Waits(at, context.waker().clone());
        let mut places = self.places.borrow_mut();
        let index = match places.free.pop() {
            Some(index) => index,
            None => {
                places.list.push(Place::Free);
                places.list.len() - 1
            }
        };
        if let Some(free) = places.list.get_mut(index) {
            *free = place;
        }
        drop(places);
        match self.next.get() {
            Some(next) if next <= at => {}
            Some(_) => {
                self.next.set(Some(at));
                self.news.notify_one();
            }
            None => {
                self.next.set(Some(at));
                tokio::spawn(SendWrapper::new(keep(Watch(Rc::downgrade(self)), Rc::clone(&self.news))));
            }
        }
        Ticket { deadlines: Rc::clone(self), index }
    }

    /// Wakes those whose time is over; when to look again.
    fn look(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut over = Vec::new();
        for place in &mut self.places.borrow_mut().list {
            match place {
                Place::Waits(at, _) if *at <= now => {
                    if let Place::Waits(_, waker) = std::mem::replace(place, Place::Over) {
                        over.push(waker);
                    }
                }
                Place::Waits(at, _) => next = Some(next.map_or(*at, |next| next.min(*at))),
                Place::Free | Place::Over => {}
            }
        }
        self.next.set(next);
        over.into_iter().for_each(Waker::wake);
        next
    }
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        self.news.notify_one();
    }
}

/// Lets another task be begun when this one has ended, however it did.
struct Watch(Weak<Deadlines>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(deadlines) = self.0.upgrade() {
            deadlines.next.set(None);
        }
    }
}

async fn keep(watch: Watch, news: Rc<Notify>) {
    while let Some(next) = watch.0.upgrade().and_then(|deadlines| deadlines.next.get()) {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                let Some(deadlines) = watch.0.upgrade() else { return };
                deadlines.look();
            }
            () = news.notified() => {}
        }
    }
}

/// A place among those who wait.
struct Ticket {
    deadlines: Rc<Deadlines>,
    index: usize,
}

impl Ticket {
    /// Whether its time is over; if not, whoever asks is woken then.
    fn is_over(&self, context: &Context<'_>) -> bool {
        match self.deadlines.places.borrow_mut().list.get_mut(self.index) {
            Some(Place::Waits(_, waker)) => {
                waker.clone_from(context.waker());
                false
            }
            _ => true,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut places = self.deadlines.places.borrow_mut();
        let place = places.list.get_mut(self.index).map(|place| std::mem::replace(place, Place::Free));
        places.free.push(self.index);
        drop(places);
        drop(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_thread<T>(run: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(run)
    }

    const fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn each_ends_at_its_own_time_however_they_come() {
        on_a_thread(async {
            let deadlines = Rc::new(Deadlines::default());
            let order = RefCell::new(Vec::new());
            let one = async |limit: u64| {
                let begun = Instant::now();
                assert_eq!(deadlines.within(ms(limit), std::future::pending::<()>()).await, None);
                assert!(begun.elapsed() >= ms(limit), "{limit}: {:?}", begun.elapsed());
                order.borrow_mut().push(limit);
            };
            // A later one may have to end sooner.
            tokio::join!(one(160), one(20), one(80), one(0), one(20));
            assert_eq!(*order.borrow(), [0, 20, 20, 80, 160]);
            // After the task had nobody left to look for.
            one(5).await;
        });
    }

    #[test]
    fn what_ends_in_time_leaves_nothing() {
        on_a_thread(async {
            let deadlines = Rc::new(Deadlines::default());
            for _ in 0..100 {
                assert_eq!(deadlines.within(ms(60_000), async { 1 }).await, Some(1));
                assert_eq!(deadlines.within(ms(60_000), tokio::task::yield_now()).await, Some(()));
            }
            assert_eq!(deadlines.places.borrow().list.len(), 1, "places are used again");
            drop(deadlines.within(ms(5), std::future::pending::<()>()));
            assert_eq!(deadlines.within(Duration::MAX, tokio::task::yield_now()).await, Some(()));
        });
    }

    #[test]
    fn the_task_ends_with_the_vm_and_another_runtime_gets_its_own() {
        let deadlines = Rc::new(Deadlines::default());
        for _ in 0..2 {
            on_a_thread(async {
                assert_eq!(deadlines.within(ms(1), std::future::pending::<()>()).await, None);
                let waiting = deadlines.within(ms(60_000), std::future::pending::<()>());
                assert!(tokio::time::timeout(ms(1), waiting).await.is_err());
            });
            assert_eq!(deadlines.next.get(), None);
        }
        let news = Rc::clone(&deadlines.news);
        on_a_thread(async move {
            let waiting = deadlines.within(ms(60_000), std::future::pending::<()>());
            assert!(tokio::time::timeout(ms(1), waiting).await.is_err());
            drop(deadlines);
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            assert_eq!(Rc::strong_count(&news), 1, "the task is gone");
        });
    }
}
