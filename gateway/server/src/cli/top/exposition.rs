//! The text format of Prometheus, read: text becomes series and their values.

use std::collections::BTreeMap;

/// The name of a series and its labels, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    pub name: String,
    labels: Vec<(String, String)>,
}

impl Series {
    /// Value of a label; empty if it has none of this name, which is the same in this format.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }
}

/// All series of one reading.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposition(BTreeMap<Series, f64>);

/// A line that is not of the format.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not in the text format of Prometheus: expected {expected}")]
pub struct ParseError {
    line: usize,
    expected: &'static str,
}

impl Exposition {
    /// # Errors
    /// The first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut all = BTreeMap::new();
        // Not `lines`: a label may end in a carriage return.
        for (at, line) in text.split('\n').enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (series, value) = sample(line).map_err(|expected| ParseError { line: at + 1, expected })?;
            all.insert(series, value);
        }
        Ok(Self(all))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Series, f64)> {
        self.0.iter().map(|(series, value)| (series, *value))
    }

    pub fn get(&self, series: &Series) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// Value of the series of this name that has no labels.
    pub fn plain(&self, name: &str) -> Option<f64> {
        self.get(&Series { name: name.to_owned(), labels: Vec::new() })
    }
}

/// `name{label="value",…} value timestamp`, of which labels and timestamp may be missing.
fn sample(line: &str) -> Result<(Series, f64), &'static str> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace()).ok_or("a value after the name")?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() {
        return Err("a name");
    }
    let (mut labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    labels.sort_unstable();
    let value = rest.split_whitespace().next().ok_or("a value after the name")?;
    let value = value.parse().map_err(|_| "a number as the value")?;
    Ok((Series { name: name.to_owned(), labels }, value))
}

/// Name and value of each label.
type Labels = Vec<(String, String)>;

/// The labels after the opening brace, and what follows the closing one.
fn labels(mut rest: &str) -> Result<(Labels, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"").ok_or("`=\"` after the name of a label, or `}`")?;
        let (value, after) = unquoted(quoted)?;
        labels.push((name.trim().to_owned(), value));
        rest = after.strip_prefix(',').unwrap_or(after);
        if rest.len() == after.len() && !rest.starts_with('}') {
            return Err("`,` or `}` after the value of a label");
        }
    }
}

/// A label's value after its opening quote, and what follows the closing one.
fn unquoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next() {
            Some('"') => return Ok((value, rest.as_str())),
            Some('\\') => match rest.next() {
                Some('n') => value.push('\n'),
                Some(c @ ('\\' | '"')) => value.push(c),
                _ => return Err("`\\\\`, `\\\"` or `\\n` as the only escapes"),
            },
            Some(c) => value.push(c),
            None => return Err("a closing quote after the value of a label"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use http::{Method, StatusCode};
    use proptest::prelude::*;
    use witgate_stage::{Edits, Hook, Usage, Verdict};

    use super::*;
    use crate::telemetry::Metrics;

    fn read(text: &str) -> Exposition {
        Exposition::parse(text).unwrap()
    }

    #[test]
    fn names_labels_values_and_timestamps_are_told_apart() {
        let read = read("# HELP a b\n# TYPE a gauge\na 1\nb{y=\"2\",x=\"1\",} +Inf 1700000000\n\nc{} 1e-3\n");
        let all: Vec<_> = read.iter().map(|(series, value)| (series.name.as_str(), series.label("x"), value)).collect();
        assert_eq!(all, [("a", "", 1.0), ("b", "1", f64::INFINITY), ("c", "", 0.001)]);
        assert_eq!((read.plain("a"), read.plain("b")), (Some(1.0), None));
    }

    #[test]
    fn what_is_not_of_the_format_is_told_by_line() {
        for (text, expected) in [
            ("a", "a value"),
            ("a ", "a value"),
            ("a b", "a number"),
            ("{} 1", "a name"),
            ("a{b} 1", "`=\"`"),
            ("a{b=\"c} 1", "a closing quote"),
            ("a{b=\"c\"d=\"e\"} 1", "`,` or `}`"),
            ("a{b=\"\\t\"} 1", "the only escapes"),
            ("<html>", "a value"),
        ] {
            let error = Exposition::parse(&format!("ok 1\n{text}\n")).expect_err(text).to_string();
            assert!(error.starts_with("line 2 ") && error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_the_gateway_writes_is_read(
            names in proptest::collection::btree_map(".{0,12}", (0_u64..50, 0_u64..50), 1..6),
            memory: u32,
        ) {
            let metrics = Metrics::new().unwrap();
            let mut held = Vec::new();
            for (name, (requests, calls)) in &names {
                let name = name.as_str().into();
                let (route, stage) = (metrics.route(&name), metrics.stage(&name, &name));
                for _ in 0..*requests {
                    route.request_ended(&Method::GET, Some(StatusCode::OK), Duration::from_millis(3));
                }
                let usage = Usage { bytes_in: 7, memory: memory as usize, ..Usage::default() };
                for _ in 0..*calls {
                    let verdict = Ok(Verdict::Continue(Edits::default()));
                    stage.hook_ran(Hook::RequestHeaders, (Duration::from_micros(5), &usage), &verdict);
                }
                held.push((route, stage));
            }
            let read = read(&metrics.render(Vec::new()));
            let find = |name: &str, label: &str, of: &str, also: (&str, &str)| {
                let mut all = read.iter().filter(|(series, _)| series.name == name && series.label(label) == of);
                all.find(|(series, _)| series.label(also.0) == also.1).map(|(_, value)| value)
            };
            for (name, (requests, calls)) in &names {
                let (requests, calls) = (*requests as f64, *calls as f64);
                let counted = find("witgate_requests_total", "route", name, ("status", "2xx"));
                prop_assert_eq!(counted.unwrap_or(0.0), requests);
                let within = find("witgate_request_duration_seconds_bucket", "route", name, ("le", "+Inf"));
                prop_assert_eq!(within, Some(requests));
                let bytes = find("witgate_stage_bytes_total", "plugin", name, ("direction", "in"));
                prop_assert_eq!(bytes.unwrap_or(0.0), 7.0 * calls);
                let peak = find("witgate_stage_memory_peak_bytes", "plugin", name, ("hook", "on-request-headers"));
                prop_assert_eq!(peak, (calls > 0.0).then_some(f64::from(memory)));
            }
            let routes: BTreeSet<_> = read.iter().filter(|(series, _)| series.name == "witgate_request_duration_seconds_count")
                .map(|(series, _)| series.label("route").to_owned()).collect();
            prop_assert_eq!(routes, names.into_keys().collect::<BTreeSet<_>>());
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = Exposition::parse(&text);
        }
    }
}
