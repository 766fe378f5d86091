//! Headlines of the steps, with the time since the task began.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Progress {
    started: Instant,
}

impl Progress {
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Announces what happens next. On standard error, where cargo shows its own progress.
    pub fn step(&self, headline: &str) {
        eprintln!("\n==> [{}] {headline}", minutes(self.started.elapsed()));
    }
}

/// `m:ss`.
fn minutes(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_time_reads_as_minutes_and_seconds() {
        assert_eq!(minutes(Duration::from_millis(5_999)), "0:05");
        assert_eq!(minutes(Duration::from_secs(725)), "12:05");
    }
}
