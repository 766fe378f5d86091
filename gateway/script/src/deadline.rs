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

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::confined::Confined;

/// Those of one VM.
#[derive(Default)]
pub(crate) struct Deadlines {
    places: RefCell<Places>,
    /// When the task looks next; none: there is no task.
    next: Cell<Option<Instant>>,
    /// Tells the task that it has to look sooner, or that the VM is gone.
    news: Rc<Notify>,
    /// Who began to wait last.
    latest: Cell<Option<Entered>>,
}

/// Somebody who has begun to wait.
#[derive(Clone, Copy)]
struct Entered {
    number: u64,
    index: usize,
    now: Instant,
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
    ///
    /// One within another has no place of its own as long as the inner one's time is over first: looking then is enough.
    pub async fn within<T>(self: &Rc<Self>, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut ticket: Option<Ticket> = None;
        let mut until: Option<Option<Instant>> = None;
        poll_fn(|context| {
            let before = self.latest.get();
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            if let Some(ticket) = &ticket {
                return if ticket.is_over(context) { Poll::Ready(None) } else { Poll::Pending };
            }
            let latest = self.latest.get().filter(|latest| before.is_none_or(|before| latest.number != before.number));
            let now = latest.map_or_else(Instant::now, |latest| latest.now);
            // A time beyond what the clock can count is no limit.
            let Some(at) = *until.get_or_insert_with(|| now.checked_add(limit)) else { return Poll::Pending };
            if !latest.is_some_and(|latest| self.wakes(latest.index, at)) {
                ticket = Some(self.enter((now, at), context));
            }
            Poll::Pending
        })
        .await
    }

    /// Whether somebody in this place is woken by then.
    fn wakes(&self, index: usize, by: Instant) -> bool {
        matches!(self.places.borrow().list.get(index), Some(Place::Waits(at, _)) if *at <= by)
    }

    fn enter(self: &Rc<Self>, (now, at): (Instant, Instant), context: &Context<'_>) -> Ticket {
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
        let number = self.latest.get().map_or(0, |latest| latest.number + 1);
        self.latest.set(Some(Entered { number, index, now }));
        match self.next.get() {
            Some(next) if next <= at => {}
            Some(_) => {
                self.next.set(Some(at));
                self.news.notify_one();
            }
            None => {
                self.next.set(Some(at));
                tokio::spawn(Confined::new(keep(Watch(Rc::downgrade(self)), Rc::clone(&self.news))));
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
    fn one_within_another_is_looked_for_where_it_has_to_be() {
        on_a_thread(async {
            let deadlines = Rc::new(Deadlines::default());
            let waiting =
                || deadlines.places.borrow().list.iter().filter(|place| !matches!(place, Place::Free)).count();
            // Both have to look, whichever ends first.
            let never = std::future::pending::<()>;
            assert_eq!(deadlines.within(ms(60_000), deadlines.within(ms(5), never())).await, Some(None));
            assert_eq!(deadlines.within(ms(5), deadlines.within(ms(60_000), never())).await, None);
            // The inner one alone, as long as it waits.
            let mut seen = Vec::new();
            let inner = async {
                for _ in 0..2 {
                    assert_eq!(deadlines.within(ms(1_000), tokio::task::yield_now()).await, Some(()));
                }
                assert_eq!(deadlines.within(ms(5), never()).await, None);
                tokio::task::yield_now().await;
            };
            let mut both = pin!(deadlines.within(ms(60_000), inner));
            poll_fn(|context| {
                let ended = both.as_mut().poll(context);
                seen.push(waiting());
                ended
            })
            .await;
            assert_eq!(seen[..3], [1, 1, 1]);
            assert_eq!(seen.last(), Some(&0));
            assert_eq!(seen[seen.len() - 2], 1, "the outer one has a place when nothing within has: {seen:?}");
            // Many short ones within add up.
            let short = async {
                loop {
                    assert_eq!(deadlines.within(ms(5), never()).await, None);
                }
            };
            let begun = Instant::now();
            assert_eq!(deadlines.within(ms(40), short).await, None::<()>);
            assert!((ms(40)..ms(10_000)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
            // One that is dropped in the turn in which it began wakes nobody.
            let dropped = async {
                let mut inner = Box::pin(deadlines.within(ms(1), never()));
                poll_fn(|context| {
                    assert!(inner.as_mut().poll(context).is_pending());
                    Poll::Ready(())
                })
                .await;
                drop(inner);
                never().await;
            };
            assert_eq!(deadlines.within(ms(20), dropped).await, None);
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
