//! Tests of time limits on machines that are slow, shared or busy.

/// Tries what has to come *within* a limit, with limits that are so many times longer until it does: a machine that is held up for
/// longer than a short limit is no fault of the gateway's, and what fails at every pace is.
#[track_caller]
pub fn at_some_pace(what: &str, attempt: impl Fn(u32) -> bool) {
    const PACES: [u32; 3] = [1, 5, 25];
    assert!(PACES.into_iter().any(attempt), "at no pace: {what}");
}
