//! How long work takes.

use std::time::Duration;

/// What this thread has used of processors: how long something takes on a busy machine says nothing about it.
pub(crate) fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
