//! `witgate top`: what a running gateway does, seen through its metrics.
//!
//! [`source`] asks for them, [`exposition`] reads the text, [`view`] compares two readings, [`render`] makes lines of
//! that, and [`screen`] shows them live.

mod exposition;
mod figures;
mod render;
mod screen;
mod source;
mod table;
mod view;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use super::Format;
use source::{Address, ReadError, Reading};
use view::View;

/// Below, reading would be what the gateway does; above, nobody waits.
const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The gateway's admin listener: `address` of `[admin]`.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9901")]
    admin: Address,
    /// Between two readings, from 100ms to 1h.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// Print one view, after one interval, and exit.
    #[arg(long)]
    once: bool,
    /// `human` for people; `json` for tools, one object a line for each interval: {"interval_s", "restarted",
    /// "generation", "in_flight", "requests_per_s", "failures_per_s", "heads_refused_per_s", "routes": [{"route",
    /// "requests_per_s", "share_4xx", "share_5xx", "mean_s", "p99_s", "p99_exceeded", "time_per_s"}], "stages":
    /// [{"route", "plugin", "hook", "calls_per_s", "mean_s", "guest_s", "host_s", "queue_s", "bytes_in", "bytes_out",
    /// "verdicts_per_s": {VERDICT}, "failures_per_s": {KIND}, "recycled_per_s", "memory_peak_bytes", "time_per_s"}],
    /// "plugins": [{"plugin", "live", "idle", "waiting", "breaker"}], "endpoints": [{"upstream", "endpoint", "down",
    /// "in_flight", "failures_per_s": {CAUSE}}]}. Means are null where nothing was counted.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

impl Options {
    fn title(&self) -> String {
        format!("witgate top of {}, every {:?}", self.admin, self.interval)
    }
}

/// Whole milliseconds, seconds, minutes or hours, as in the configuration.
fn interval(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time from 100ms to 1h, such as 500ms, 2s or 1m".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(milliseconds));
    let interval = number.map(Duration::from_millis).filter(|interval| INTERVALS.contains(interval));
    interval.ok_or_else(expected)
}

/// Why it ended before it was told to.
#[derive(Debug, thiserror::Error)]
enum TopError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the terminal or standard output: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let live = !options.once && matches!(options.format, Format::Human) && io::stdout().is_terminal();
    let ended = if live { screen::run(options).map_err(TopError::from) } else { print(options) };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has had enough.
        Err(TopError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("witgate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One view for people, or one for tools after another.
fn print(options: &Options) -> Result<(), TopError> {
    let mut before = source::read(&options.admin)?;
    loop {
        std::thread::sleep(options.interval);
        let after = source::read(&options.admin)?;
        let text = printed(options, &before, &after)?;
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if options.once || matches!(options.format, Format::Human) {
            return Ok(());
        }
        before = after;
    }
}

fn printed(options: &Options, before: &Reading, after: &Reading) -> io::Result<String> {
    let view = View::between(&before.metrics, &after.metrics, after.at.saturating_duration_since(before.at));
    match options.format {
        Format::Human => {
            let lines = render::render(&options.title(), None, Some(&view), page());
            Ok(lines.into_iter().map(|line| line.text + "\n").collect())
        }
        Format::Json => Ok(serde_json::to_string(&view)? + "\n"),
    }
}

/// Where standard output is a terminal, lines are no wider than it; there may be as many as there are.
fn page() -> Option<render::Size> {
    let (width, _) = io::stdout().is_terminal().then(crossterm::terminal::size)?.ok()?;
    (width > 0).then(|| render::Size { width: usize::from(width), height: usize::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_a_unit_and_bounds() {
        let read = ["100ms", "2s", "1m", "1h"].map(|text| interval(text).map(|interval| interval.as_millis()));
        assert_eq!(read, [Ok(100), Ok(2_000), Ok(60_000), Ok(3_600_000)]);
        for text in ["", "2", "s", "99ms", "2h", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(interval(text).is_err_and(|error| error.contains("100ms to 1h")), "{text}");
        }
    }
}
