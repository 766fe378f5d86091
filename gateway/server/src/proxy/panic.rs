//! Keeps a panic to the request in whose path it happened: its connection, its thread and all other requests go on.
//!
//! What a panic leaves half done is dropped with the future it happened in. So what has to outlive it, above all the request's
//! context, whose access record says how the request ended, belongs outside the guarded future and is lent to it.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// A panic that was caught: a fault of the gateway.
#[derive(Debug)]
pub struct Panic {
    message: String,
}

impl Panic {
    fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self { message: text.unwrap_or("it said nothing").to_owned() }
    }
}

/// For the log: a client is told nothing of it.
impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a fault of the gateway, please report it: {}", self.message)
    }
}

/// Runs `work`, and gives the panic if it panics. Cancel-safe if `work` is. Large work is given pinned (`pin!(work)`): futures are
/// copied when they are handed on, and those of requests have kilobytes.
///
/// # Errors
/// The panic; `work` is not polled again.
pub async fn guard<F: Future>(work: F) -> Result<F::Output, Panic> {
    let mut work = pin!(work);
    poll_fn(|context| {
        // What `work` was lent is seen afterwards by whoever answers the request: sockets and the facts of its record, none of
        // which a panic leaves in a state that would be unsafe to read.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(Panic::new(&*payload))),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_panic_is_untouched() {
        let work = async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(guard(work).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_panic_is_given_with_its_message_and_what_was_lent_is_still_there() {
        let mut lent = vec![1];
        let work = async {
            lent.push(2);
            tokio::task::yield_now().await;
            panic!("broken {}", 7)
        };
        let panic = guard(work).await.unwrap_err();
        assert_eq!(panic.to_string(), "a fault of the gateway, please report it: broken 7");
        assert_eq!(lent, [1, 2]);
        assert!(guard(async { panic!("at once") }).await.unwrap_err().to_string().ends_with("at once"));
    }

    #[tokio::test]
    async fn what_the_work_held_is_let_go_of() {
        struct Held(std::sync::Arc<std::sync::atomic::AtomicBool>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let dropped = std::sync::Arc::default();
        let held = Held(std::sync::Arc::clone(&dropped));
        let work = async move {
            let _held = held;
            tokio::task::yield_now().await;
            panic!("while it holds something")
        };
        assert!(guard(work).await.is_err());
        assert!(dropped.load(std::sync::atomic::Ordering::Relaxed));
    }
}
