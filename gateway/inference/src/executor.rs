//! The threads that run models, so that those of the proxy do not.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tracing::warn;

use crate::Model;

/// Threads that take turns at models. Models that want one queue up, so a busy one does not keep the others waiting for
/// more than a run.
#[derive(Debug)]
pub struct Executor {
    crew: Arc<Crew>,
}

/// What threads and models share.
#[derive(Default)]
pub(crate) struct Crew {
    ready: Mutex<Ready>,
    wake: Condvar,
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Ready {
    turns: VecDeque<Turn>,
    stopped: bool,
}

/// Something for a thread to do.
pub(crate) enum Turn {
    /// One run of a model, whose queue has something in it.
    Run(Arc<Model>),
    /// Gives the memory of sessions back, which takes milliseconds for large ones.
    Drop(Box<dyn Any + Send>),
}

impl Executor {
    /// Starts threads. `nice`, 0 to 19: how far they stand back behind other threads when processors are scarce
    /// (setpriority(2)).
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(threads: usize, nice: i32) -> io::Result<Self> {
        let crew = Arc::new(Crew::default());
        for at in 0..threads.max(1) {
            let crew = Arc::clone(&crew);
            let name = format!("inference-{at}");
            std::thread::Builder::new().name(name).spawn(move || {
                // Of the calling thread, on Linux.
                if nice != 0 && rustix::process::setpriority_process(None, nice).is_err() {
                    warn!(nice, "the priority of an inference thread cannot be lowered");
                }
                crew.work();
            })?;
        }
        Ok(Self { crew })
    }

    pub(crate) fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let mut ready = self.crew.ready.lock();
        ready.stopped = true;
        // A model in here holds its crew.
        let left = std::mem::take(&mut ready.turns);
        drop(ready);
        drop(left);
        self.crew.wake.notify_all();
    }
}

impl Crew {
    /// Has a thread take the turn; drops it if there are none any more.
    pub(crate) fn push(&self, turn: Turn) {
        let mut ready = self.ready.lock();
        if ready.stopped {
            drop(ready);
            drop(turn);
            return;
        }
        ready.turns.push_back(turn);
        drop(ready);
        self.wake.notify_one();
    }

    fn work(&self) {
        loop {
            let mut ready = self.ready.lock();
            let turn = loop {
                if ready.stopped {
                    return;
                }
                match ready.turns.pop_front() {
                    Some(turn) => break turn,
                    None => self.wake.wait(&mut ready),
                }
            };
            drop(ready);
            match turn {
                Turn::Run(model) => model.take_turn(),
                Turn::Drop(parts) => drop(parts),
            }
        }
    }
}
