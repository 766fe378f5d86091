//! Instances that are made before they are needed, off the request path.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;

use crate::{HostError, LoadedPlugin};

/// Most instances of one plugin that stand by. Making one takes some ten microseconds, so these cover a burst of some
/// hundred requests a millisecond while new ones are made; each takes the memory of an idle instance.
pub(crate) const STANDBY_LIMIT: usize = 16;

/// Has instances made: one thread for all plugins, which ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct Maker(Sender<Weak<LoadedPlugin>>);

impl Maker {
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start() -> Result<Self, HostError> {
        let (sender, orders) = channel();
        thread::Builder::new()
            .name("witgate-standby".into())
            .spawn(move || make(&orders))
            .map_err(HostError::Thread)?;
        Ok(Self(sender))
    }

    /// Has a plugin's instances made up to its number. Each plugin orders once at a time, so the queue is short.
    pub(crate) fn order(&self, plugin: &Weak<LoadedPlugin>) {
        // Without the thread instances are made when they are needed.
        let _ = self.0.send(Weak::clone(plugin));
    }
}

fn make(orders: &Receiver<Weak<LoadedPlugin>>) {
    for plugin in orders {
        if let Some(plugin) = plugin.upgrade().as_ref().map(Arc::as_ref) {
            plugin.fill_standby();
        }
    }
}
