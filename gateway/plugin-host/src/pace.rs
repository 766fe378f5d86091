//! Whether a plugin's hooks are quick enough to run on their thread's stack.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::Grants;

/// Hooks that run on fibers after one that overran its slice. Beginning again costs a new instance and up to two epochs: few
/// enough that a hook which the scheduler held up does not matter, and so many that beginning again is cheap for a plugin
/// whose hooks all compute for long.
const HOOKS_ON_FIBER: u32 = 256;

/// Remembers how long the hooks of one plugin take.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Whether a hook can be begun again: what it does outside its instance can be undone, or is known and not done twice.
    repeatable: bool,
    on_fiber: AtomicU32,
}

impl Pace {
    pub(crate) fn new(grants: &Grants) -> Self {
        let repeatable =
            !grants.kv && grants.metrics.is_none() && grants.outbound.is_empty() && grants.models.is_empty();
        Self { repeatable, on_fiber: AtomicU32::new(0) }
    }

    /// Whether the next hook runs on its thread's stack.
    pub(crate) fn on_thread(&self) -> bool {
        let quick = self.on_fiber.load(Ordering::Relaxed) == 0;
        if !quick {
            // None: another thread was first.
            let _ = self.on_fiber.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        }
        self.repeatable && quick
    }

    /// A hook overran its slice.
    pub(crate) fn slow_down(&self) {
        self.on_fiber.store(HOOKS_ON_FIBER, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_overrun_so_many_hooks_run_on_fibers() {
        let pace = Pace::new(&Grants::default());
        assert!(pace.on_thread());
        pace.slow_down();
        assert!((0..HOOKS_ON_FIBER).all(|_| !pace.on_thread()));
        assert!(pace.on_thread());
    }

    #[test]
    fn a_plugin_whose_effects_cannot_be_undone_stays_on_fibers() {
        assert!(!Pace::new(&Grants { kv: true, ..Grants::default() }).on_thread());
    }
}
