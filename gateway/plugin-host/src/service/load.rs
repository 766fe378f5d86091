//! Admission by load.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::CpuMeter;

/// When requests of a scope are shed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoadLimits {
    /// 0 counts as 1.
    pub in_flight: u32,
    /// Thousandths of the processor time that the process may use. 0 counts as 1.
    pub cpu_permille: u32,
}

/// How many requests of a scope are running. Kept across generations, whose limits may differ.
#[derive(Debug)]
pub(crate) struct InFlight {
    id: u64,
    count: AtomicU32,
}

impl Default for InFlight {
    fn default() -> Self {
        static IDS: AtomicU64 = AtomicU64::new(0);
        Self { id: IDS.fetch_add(1, Ordering::Relaxed), count: AtomicU32::new(0) }
    }
}

/// A named group of requests that are shed together, with one generation's limits.
#[derive(Debug)]
pub struct LoadScope {
    limits: LoadLimits,
    in_flight: Arc<InFlight>,
    cpu: Arc<CpuMeter>,
}

/// How busy a scope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadSignal {
    pub in_flight: u32,
    pub in_flight_limit: u32,
    /// 1000 is all that the process may use; smoothed over about a second.
    pub cpu_permille: u32,
    pub cpu_limit_permille: u32,
}

/// The answer to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    /// Another try makes sense after this time.
    Refused(Duration),
}

/// The processor figure is smoothed over about a second: an earlier try would see the same.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Utilisation, in thousandths, from which the lowest priority is shed. The highest is shed from 1000 on.
const SHED_FROM: u64 = 700;

/// A place in the scope: gives it back when the request ends.
struct Place(Arc<InFlight>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LoadScope {
    pub(crate) fn new(limits: LoadLimits, in_flight: Arc<InFlight>, cpu: Arc<CpuMeter>) -> Self {
        let limits = LoadLimits { in_flight: limits.in_flight.max(1), cpu_permille: limits.cpu_permille.max(1) };
        Self { limits, in_flight, cpu }
    }

    /// Asks for a place for one request, which is kept in `holds` until the request ends. A request that has one already is
    /// admitted again without another.
    ///
    /// With `utilisation = max(in flight / limit, cpu / cpu limit)`, a request is admitted if
    /// `utilisation < 0.7 + 0.3 * priority / 255`: the least important requests are shed first, while there is still room
    /// for the others, and nobody is admitted beyond a limit.
    pub fn admit(&self, priority: u8, holds: &mut Vec<Box<dyn Any + Send + Sync>>) -> Admission {
        let held = |hold: &Box<dyn Any + Send + Sync>| {
            (**hold).downcast_ref::<Place>().is_some_and(|place| Arc::ptr_eq(&place.0, &self.in_flight))
        };
        if holds.iter().any(held) {
            return Admission::Admitted;
        }
        let threshold = SHED_FROM + (1000 - SHED_FROM) * u64::from(priority) / 255;
        let below = |used: u32, limit: u32| u64::from(used) * 1000 < threshold * u64::from(limit);
        if !below(self.cpu.permille(), self.limits.cpu_permille) {
            return Admission::Refused(RETRY_AFTER);
        }
        let taken = self.in_flight.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            below(count, self.limits.in_flight).then(|| count.saturating_add(1))
        });
        match taken {
            Ok(_) => {
                holds.push(Box::new(Place(Arc::clone(&self.in_flight))));
                Admission::Admitted
            }
            Err(_) => Admission::Refused(RETRY_AFTER),
        }
    }

    pub fn signal(&self) -> LoadSignal {
        LoadSignal {
            in_flight: self.in_flight.count.load(Ordering::Relaxed),
            in_flight_limit: self.limits.in_flight,
            cpu_permille: self.cpu.permille(),
            cpu_limit_permille: self.limits.cpu_permille,
        }
    }

    /// Equal for scopes that count together under equal limits.
    pub(crate) fn identity(&self) -> (u64, LoadLimits) {
        (self.in_flight.id, self.limits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope(in_flight: u32, cpu_permille: u32) -> (LoadScope, Arc<CpuMeter>) {
        let cpu = Arc::new(CpuMeter::default());
        (LoadScope::new(LoadLimits { in_flight, cpu_permille }, Arc::default(), Arc::clone(&cpu)), cpu)
    }

    #[test]
    fn the_lowest_priority_is_shed_first_and_the_highest_at_the_limit() {
        let (scope, _) = scope(10, 1000);
        let mut places = Vec::new();
        let mut admitted = |priority| {
            let mut holds = Vec::new();
            let admission = scope.admit(priority, &mut holds);
            places.append(&mut holds);
            admission == Admission::Admitted
        };
        assert_eq!((0..20).filter(|_| admitted(0)).count(), 7);
        assert_eq!((0..20).filter(|_| admitted(128)).count(), 2, "8.5 of 10 are open to the middle");
        assert_eq!((0..20).filter(|_| admitted(255)).count(), 1);
        assert_eq!(places.len(), 10);
    }

    #[test]
    fn a_place_is_free_again_when_the_request_ends() {
        let (scope, _) = scope(1, 1000);
        let mut holds = Vec::new();
        assert_eq!(scope.admit(255, &mut holds), Admission::Admitted);
        assert_eq!(scope.admit(255, &mut Vec::new()), Admission::Refused(RETRY_AFTER));
        drop(holds);
        assert_eq!(scope.signal().in_flight, 0);
        assert_eq!(scope.admit(255, &mut Vec::new()), Admission::Admitted);
    }

    #[test]
    fn a_request_counts_once_in_each_scope_however_often_it_asks() {
        let (one, _) = scope(1, 1000);
        let (other, _) = scope(1, 1000);
        let mut holds = Vec::new();
        for _ in 0..3 {
            assert_eq!(one.admit(0, &mut holds), Admission::Admitted);
            assert_eq!(other.admit(0, &mut holds), Admission::Admitted);
        }
        assert_eq!((one.signal().in_flight, other.signal().in_flight, holds.len()), (1, 1, 2));
    }

    #[test]
    fn processor_time_sheds_as_well() {
        let (scope, cpu) = scope(100, 800);
        cpu.set(600);
        assert_eq!(scope.admit(0, &mut Vec::new()), Admission::Refused(RETRY_AFTER), "600 of 800 is over 70 %");
        assert_eq!(scope.admit(255, &mut Vec::new()), Admission::Admitted);
        cpu.set(800);
        assert_eq!(scope.admit(255, &mut Vec::new()), Admission::Refused(RETRY_AFTER));
        assert_eq!(scope.signal().cpu_permille, 800);
    }

    #[test]
    fn generations_with_other_limits_count_together() {
        let (cpu, in_flight) = (Arc::new(CpuMeter::default()), Arc::new(InFlight::default()));
        let limits = |in_flight| LoadLimits { in_flight, cpu_permille: 1000 };
        let old = LoadScope::new(limits(1), Arc::clone(&in_flight), Arc::clone(&cpu));
        let new = LoadScope::new(limits(10), in_flight, cpu);
        let mut holds = Vec::new();
        old.admit(255, &mut holds);
        assert_eq!(new.signal().in_flight, 1);
        assert_ne!(old.identity(), new.identity());
    }

    proptest! {
        #[test]
        fn a_higher_priority_is_admitted_wherever_a_lower_one_is(
            limit in 1_u32..100, busy in 0_u32..120, cpu in 0_u32..=1000, low in 0_u8..=255, high in 0_u8..=255,
        ) {
            let (scope, meter) = scope(limit, 900);
            meter.set(cpu);
            scope.in_flight.count.store(busy, Ordering::Relaxed);
            let (low, high) = (low.min(high), low.max(high));
            let admitted = |priority| scope.admit(priority, &mut Vec::new()) == Admission::Admitted;
            prop_assert!(!admitted(low) || admitted(high));
            prop_assert!(busy < limit || !admitted(high), "nobody is admitted beyond the limit");
        }
    }
}
