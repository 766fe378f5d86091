//! `log`: lines in the gateway's log.

use std::fmt::Write;

use super::{HostCall, HostState};
use crate::bindings::witgate::plugin::log::{Host, Level};

/// Most lines of one call of a hook.
pub(super) const LINES_LIMIT: u32 = 32;
/// Longest line, in bytes, before escaping.
const LINE_LIMIT: usize = 4096;

impl Host for HostCall<'_> {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.passed(message.len());
        self.log_line(level, &message);
        Ok(())
    }
}

impl HostState {
    /// Writes a guest's line, cut and escaped, or counts it as dropped.
    pub(super) fn log_line(&mut self, level: Level, message: &str) {
        let Some(left) = self.call.lines_left.checked_sub(1) else {
            self.call.lines_dropped += 1;
            return;
        };
        self.call.lines_left = left;
        if let Some(written) = self.call.lines_written.checked_sub(1) {
            self.call.lines_written = written;
            return;
        }
        let (kept, cut) = truncated(message);
        if cut {
            self.call.lines_dropped += 1;
        }
        let text = Escaped(kept);
        let plugin = &*self.binding.name;
        let exchange = self.call.exchange.as_deref();
        let route = exchange.map(|exchange| &*exchange.route);
        let request_id = exchange.map(|exchange| &*exchange.id);
        match level {
            Level::Debug => tracing::debug!(target: "witgate::plugin", plugin, route, request_id, "{text}"),
            Level::Info => tracing::info!(target: "witgate::plugin", plugin, route, request_id, "{text}"),
            Level::Warn => tracing::warn!(target: "witgate::plugin", plugin, route, request_id, "{text}"),
            Level::Error => tracing::error!(target: "witgate::plugin", plugin, route, request_id, "{text}"),
        }
    }
}

/// As much of a line as is kept, and whether that is less than all.
fn truncated(message: &str) -> (&str, bool) {
    let end = message.floor_char_boundary(LINE_LIMIT);
    (message.get(..end).unwrap_or_default(), end < message.len())
}

/// Text without anything that could forge a line or drive a terminal.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                write!(f, "{}", character.escape_unicode())
            }
            character if character.is_control() => write!(f, "{}", character.escape_default()),
            character => f.write_char(character),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_forge_another_or_drive_a_terminal() {
        assert_eq!(Escaped("a\nb\r\u{1b}[31m\u{202e}ü").to_string(), "a\\nb\\r\\u{1b}[31m\\u{202e}ü");
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        assert_eq!(truncated("short"), ("short", false));
        let long = "ü".repeat(LINE_LIMIT);
        assert_eq!(truncated(&long).0.len(), LINE_LIMIT);
        let odd = format!("a{long}");
        assert_eq!(truncated(&odd).0.len(), LINE_LIMIT - 1);
        assert!(truncated(&odd).1);
    }
}
