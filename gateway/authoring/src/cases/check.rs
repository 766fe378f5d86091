//! Holds what came of a case against what was expected.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use super::content::{Content, FieldName, Fields};
use super::drive::Observed;
use super::expect::{Call, Client, Expect, Metric};
use super::file::Source;
use super::glob::fits;
use super::metrics::{Recorded, series};
use super::upstreams::{Calls, Made};
use super::world::World;
use crate::units::{show_size, show_time};
use crate::{CommandError, diff};

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Of the expectation, below `expect`.
    pub(crate) path: String,
    pub(crate) expected: String,
    pub(crate) got: String,
}

const ABSENT: &str = "(absent)";

pub(crate) struct Check<'a> {
    pub(crate) world: &'a World,
    pub(crate) source: &'a Source,
    /// Of the case's request.
    pub(crate) route: &'a str,
    /// Golden files are written instead of compared.
    pub(crate) bless: bool,
    pub(crate) differences: Vec<Difference>,
}

impl Check<'_> {
    pub(crate) fn run(
        &mut self,
        expect: &Expect,
        observed: &Observed,
        (calls, log): (&Calls, &[String]),
    ) -> Result<(), CommandError> {
        self.decision(expect, observed);
        self.upstream(expect, observed)?;
        self.client(expect, observed)?;
        for (key, wanted) in &expect.attributes {
            self.kept(&format!("attributes.{key}"), wanted, observed.attributes.get(key))?;
        }
        self.kv(expect)?;
        #[cfg(feature = "lua")]
        self.dicts(expect)?;
        self.buckets(expect)?;
        self.calls(expect, calls)?;
        self.metrics(expect)?;
        if let Some(wanted) = &expect.log {
            let same = wanted.len() == log.len() && wanted.iter().zip(log).all(|(wanted, line)| fits(wanted, line));
            self.check("log", same, || (wanted.join("\n"), log.join("\n")));
        }
        if let Some(most) = expect.max_time {
            let fits = observed.time <= most.0;
            self.check("max_time", fits, || (format!("at most {}", show_time(most.0)), show_time(observed.time)));
        }
        if let Some(most) = expect.max_memory {
            let peak = self.world.memory_peak().unwrap_or(observed.memory);
            self.check("max_memory", peak <= most.0, || (format!("at most {}", show_size(most.0)), show_size(peak)));
        }
        Ok(())
    }

    fn check(&mut self, path: &str, holds: bool, words: impl FnOnce() -> (String, String)) {
        if !holds {
            let (expected, got) = words();
            self.differences.push(Difference { path: path.to_owned(), expected, got });
        }
    }

    /// A text with `*`, of something that may not be there.
    fn text(&mut self, path: &str, wanted: Option<&str>, got: Option<&str>) {
        if let Some(wanted) = wanted {
            let same = got.is_some_and(|got| fits(wanted, got));
            self.check(path, same, || (wanted.to_owned(), got.unwrap_or(ABSENT).to_owned()));
        }
    }

    fn decision(&mut self, expect: &Expect, observed: &Observed) {
        let words = || {
            let told =
                [observed.failure, observed.code.map(witgate_stage::ErrorCode::label), observed.message.as_deref()];
            let told: Vec<_> = told.into_iter().flatten().collect();
            let told = if told.is_empty() { String::new() } else { format!(" ({})", told.join(": ")) };
            (expect.verdict.label().to_owned(), format!("{}{told}", observed.verdict.label()))
        };
        self.check("verdict", expect.verdict == observed.verdict, words);
        self.text("hook", expect.hook.map(|hook| hook.0.label()), observed.hook.map(witgate_stage::Hook::label));
        self.text("code", expect.code.map(|code| code.0.label()), observed.code.map(witgate_stage::ErrorCode::label));
        self.text("message", expect.message.as_deref(), observed.message.as_deref());
        self.text("failure", expect.failure.map(|failure| failure.0.label()), observed.failure);
    }

    fn upstream(&mut self, expect: &Expect, observed: &Observed) -> Result<(), CommandError> {
        let Some(wanted) = &expect.upstream else { return Ok(()) };
        let Some((before, after, body)) = &observed.upstream else {
            self.check("upstream", false, || ("the request gets there".into(), "it does not".into()));
            return Ok(());
        };
        self.text("upstream.path", wanted.path.as_deref(), Some(after.path.as_str()));
        self.fields("upstream", (&wanted.headers, &wanted.absent), &after.headers);
        self.changes("upstream.changes", wanted.changes.as_ref(), (&before.headers, &after.headers));
        wanted.body.as_ref().map_or(Ok(()), |wanted| self.content("upstream.body", wanted, body))
    }

    fn client(&mut self, expect: &Expect, observed: &Observed) -> Result<(), CommandError> {
        let Some(wanted) = &expect.client else { return Ok(()) };
        let Some((before, after, body)) = &observed.client else {
            self.response_to_come(wanted, &observed.response_to_come);
            return Ok(());
        };
        if let Some(status) = wanted.status {
            let got = after.status.as_u16();
            self.check("client.status", status == got, || (status.to_string(), got.to_string()));
        }
        self.fields("client", (&wanted.headers, &wanted.absent), &after.headers);
        let nothing = HeaderMap::new();
        let before = before.as_ref().map_or(&nothing, |head| &head.headers);
        self.changes("client.changes", wanted.changes.as_ref(), (before, &after.headers));
        wanted.body.as_ref().map_or(Ok(()), |wanted| self.content("client.body", wanted, body))
    }

    /// No upstream answers, so that of a response there is only what the plugin has set for it.
    fn response_to_come(&mut self, wanted: &Client, got: &HeaderMap) {
        if wanted.status.is_some() || wanted.body.is_some() {
            let got = "there is none: the case has no `response`, and the plugin gave none".to_owned();
            self.check("client", false, || ("a response".into(), got));
        }
        self.fields("client", (&wanted.headers, &wanted.absent), got);
        self.changes("client.changes", wanted.changes.as_ref(), (&HeaderMap::new(), got));
    }

    fn fields(&mut self, side: &str, (wanted, absent): (&Fields, &[FieldName]), got: &HeaderMap) {
        for (name, wanted) in &wanted.0 {
            let got = values(got, name);
            let same = wanted.len() == got.len() && wanted.iter().zip(&got).all(|(wanted, got)| fits(wanted, got));
            let words = || (wanted.join("\n"), if got.is_empty() { ABSENT.to_owned() } else { got.join("\n") });
            self.check(&format!("{side}.headers.{name}"), same, words);
        }
        for FieldName(name) in absent {
            let got = values(got, name);
            self.check(&format!("{side}.absent"), got.is_empty(), || {
                (format!("no {name}"), format!("{name}: {}", got.join(", ")))
            });
        }
    }

    fn changes(&mut self, path: &str, wanted: Option<&Vec<String>>, (before, after): (&HeaderMap, &HeaderMap)) {
        let Some(wanted) = wanted else { return };
        let (mut wanted, got) = (wanted.clone(), changes(before, after));
        wanted.sort();
        let same = wanted.len() == got.len() && wanted.iter().zip(&got).all(|(wanted, got)| fits(wanted, got));
        self.check(path, same, || (wanted.join("\n"), got.join("\n")));
    }

    fn kv(&mut self, expect: &Expect) -> Result<(), CommandError> {
        if expect.kv.is_empty() && expect.kv_absent.is_empty() {
            return Ok(());
        }
        let kv = self.world.kv()?;
        for (key, wanted) in &expect.kv {
            self.kept(&format!("kv.{key}"), wanted, kv.get(key).as_deref())?;
        }
        for key in &expect.kv_absent {
            let got = kv.get(key);
            let shown = || shown(got.as_deref().unwrap_or_default());
            self.check("kv_absent", got.is_none(), || (format!("no `{key}`"), format!("`{key}`: {}", shown())));
        }
        Ok(())
    }

    /// What went wrong with conversations fails the case, whatever it expects.
    #[cfg(feature = "lua")]
    pub(crate) fn sockets(&mut self, complaints: &[String]) {
        let expected = "the conversations below `sockets`, to their end";
        self.check("sockets", complaints.is_empty(), || (expected.to_owned(), complaints.join("\n")));
    }

    #[cfg(feature = "lua")]
    fn dicts(&mut self, expect: &Expect) -> Result<(), CommandError> {
        for (dict, entries) in &expect.dicts {
            for (key, wanted) in entries {
                let got = self.world.script()?.value(dict, key)?;
                self.kept(&format!("dicts.{dict}.{key}"), wanted, got.as_deref())?;
            }
        }
        for (dict, keys) in &expect.dicts_absent {
            for key in keys {
                let got = self.world.script()?.value(dict, key)?;
                let shown = || shown(got.as_deref().unwrap_or_default());
                let path = format!("dicts_absent.{dict}");
                self.check(&path, got.is_none(), || (format!("no `{key}`"), format!("`{key}`: {}", shown())));
            }
        }
        Ok(())
    }

    fn buckets(&mut self, expect: &Expect) -> Result<(), CommandError> {
        for tokens in &expect.buckets {
            let name = tokens.bucket.get_ref();
            let Some(bucket) = self.world.buckets.get(name) else {
                return Err(self.source.unknown_name(&tokens.bucket, "[buckets.NAME]"));
            };
            let key = tokens.key.load(&self.source.folder())?;
            // Taking nothing changes nothing, and tells what is left.
            let left = bucket.take(&key, 0).remaining;
            let path = format!("buckets: {name} of {}", shown(&key));
            self.check(&path, left == tokens.remaining, || {
                (format!("{} tokens left", tokens.remaining), format!("{left}"))
            });
        }
        Ok(())
    }

    /// What no answer is for fails the case, whatever it expects: the file is incomplete then.
    fn calls(&mut self, expect: &Expect, calls: &Calls) -> Result<(), CommandError> {
        let expected = "an answer in `upstreams` for each call";
        self.check("calls", calls.unanswered.is_empty(), || (expected.to_owned(), calls.unanswered.join("\n")));
        let Some(wanted) = &expect.calls else { return Ok(()) };
        if wanted.len() != calls.made.len() {
            let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
            let made: Vec<_> = calls.made.iter().map(Made::shown).collect();
            let words = |calls: &[String]| format!("{} calls\n{}", calls.len(), calls.join("\n"));
            self.check("calls", false, || (words(&wanted), words(&made)));
            return Ok(());
        }
        wanted.iter().zip(&calls.made).enumerate().try_for_each(|(at, (wanted, made))| self.call(at, wanted, made))
    }

    fn call(&mut self, at: usize, wanted: &Call, made: &Made) -> Result<(), CommandError> {
        let path = |key: &str| format!("calls[{at}].{key}");
        self.text(&path("upstream"), Some(wanted.upstream.get_ref()), Some(&made.upstream));
        self.text(&path("method"), wanted.method.as_deref(), Some(&made.method));
        self.text(&path("path"), wanted.path.as_deref(), Some(&made.path));
        self.fields(&format!("calls[{at}]"), (&wanted.headers, &wanted.absent), &made.headers);
        wanted.body.as_ref().map_or(Ok(()), |wanted| self.content(&path("body"), wanted, &made.body))
    }

    fn metrics(&mut self, expect: &Expect) -> Result<(), CommandError> {
        let metrics = &self.world.metrics;
        for Metric { name, labels, value, count } in &expect.metrics {
            let got = metrics.get(self.route, name.get_ref(), labels);
            let (expected, same) = match (*value, *count) {
                (Some(value), None) => {
                    let same = match got {
                        Some(Recorded::Counter(got)) => value == got as f64,
                        Some(Recorded::Gauge(got)) => value == got,
                        Some(Recorded::Histogram(_)) | None => false,
                    };
                    (format!("a counter or gauge of {value}"), same)
                }
                (None, Some(count)) => {
                    (Recorded::Histogram(count).to_string(), got == Some(Recorded::Histogram(count)))
                }
                _ => {
                    let message = "expected one of `value` (of a counter or gauge) and `count` (of a histogram)";
                    return Err(self.source.problem(name.span().start, message, "write what the metric has"));
                }
            };
            let path = format!("metrics: {}", series(name.get_ref(), labels));
            self.check(&path, same, || (expected, got.map_or(ABSENT.to_owned(), |got| got.to_string())));
        }
        for name in &expect.metrics_absent {
            let got = metrics.all(self.route, name);
            self.check("metrics_absent", got.is_empty(), || (format!("no `{name}`"), got.join("\n")));
        }
        Ok(())
    }

    /// A small value of the plugin's: texts may have a `*`.
    fn kept(&mut self, path: &str, wanted: &Content, got: Option<&[u8]>) -> Result<(), CommandError> {
        match (wanted, got) {
            (Content::Text(wanted), Some(got)) => self.text(path, Some(wanted), Some(&shown(got))),
            (wanted, Some(got)) => self.content(path, wanted, &Bytes::copy_from_slice(got))?,
            (_, None) => self.check(path, false, || ("a value".to_owned(), ABSENT.to_owned())),
        }
        Ok(())
    }

    /// Bytes, exactly; those of a golden file are written if asked for.
    fn content(&mut self, path: &str, wanted: &Content, got: &Bytes) -> Result<(), CommandError> {
        if let (Content::File(name), true) = (wanted, self.bless) {
            return write(&self.source.folder().join(name), got);
        }
        let wanted = match (wanted.load(&self.source.folder()), wanted) {
            (Ok(wanted), _) => wanted,
            (Err(_), Content::File(name)) => {
                let expected = format!("what {} holds; it cannot be read, and --bless writes it", name.display());
                self.check(path, false, || (expected, shown(got)));
                return Ok(());
            }
            (Err(error), _) => return Err(error),
        };
        self.check(path, wanted == got, || (shown(&wanted), shown(got)));
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    folder
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(|source| CommandError::Write { path: path.to_owned(), source })
}

/// Bytes for people: text, or what of it is none.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("{} bytes: {}", bytes.len(), bytes.escape_ascii()),
    }
}

fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers.get_all(name).iter().map(|value| shown(value.as_bytes())).collect()
}

/// The fields that differ, in the order of their texts.
fn changes(before: &HeaderMap, after: &HeaderMap) -> Vec<String> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).map(HeaderName::as_str).collect();
    let mut changes = Vec::new();
    for name in names {
        let Ok(name) = HeaderName::try_from(name) else { continue };
        let (old, new) = (values(before, &name), values(after, &name));
        if old == new {
        } else if new.is_empty() {
            changes.push(format!("remove {name}"));
        } else {
            changes.extend(new.iter().map(|value| format!("set {name}: {value}")));
        }
    }
    changes.sort();
    changes
}

impl Difference {
    /// For people, in lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { path, expected, got } = self;
        let mut lines = vec![path.clone()];
        if expected.contains('\n') || got.contains('\n') {
            lines.extend(diff::lines(expected, got).into_iter().map(|line| format!("  {line}")));
        } else {
            lines.push(format!("  expected {}", expected.escape_debug()));
            lines.push(format!("  got      {}", got.escape_debug()));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_fields_are_told_by_name() {
        let before: HeaderMap = [("a", "1"), ("b", "2"), ("c", "3")]
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .into_iter()
            .collect();
        let mut after = before.clone();
        after.remove("a");
        after.insert("b", "4".parse().unwrap());
        after.append("b", "5".parse().unwrap());
        assert_eq!(changes(&before, &after), ["remove a", "set b: 4", "set b: 5"]);
        assert!(changes(&before, &before).is_empty());
    }
}
