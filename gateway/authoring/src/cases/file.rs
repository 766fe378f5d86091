//! The file with the cases. Every key of it is a field here, and every other key is an error.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use http::StatusCode;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::Value;
use toml::Spanned;
use witgate_config::{Diagnostic, Spot};
use witgate_plugin_host::OutboundError;
use witgate_stage::FailureKind;

use super::content::{Content, Fields, Moment, Rate, Size, Time, labelled};
use super::expect::Expect;
use super::models::Model;
#[cfg(feature = "lua")]
use super::script::Subject;
#[cfg(feature = "lua")]
use super::sockets::Exchange;
use crate::CommandError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseFile {
    /// The component; below the folder of this file.
    pub(crate) plugin: Option<PathBuf>,
    /// In the place of a component.
    #[cfg(feature = "lua")]
    pub(crate) script: Option<Spanned<Subject>>,
    /// The configuration that has the script; below the folder of this file.
    #[cfg(feature = "lua")]
    pub(crate) gateway: Option<PathBuf>,
    /// What shared dictionaries hold before the first case.
    #[cfg(feature = "lua")]
    #[serde(default)]
    pub(crate) dicts: BTreeMap<String, toml::Table>,
    /// Servers that a script's sockets reach.
    #[cfg(feature = "lua")]
    #[serde(default)]
    pub(crate) sockets: BTreeMap<String, Vec<Exchange>>,
    #[serde(default = "empty")]
    pub(crate) config: Value,
    #[serde(default)]
    pub(crate) grants: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) failure: Policy,
    #[serde(default)]
    pub(crate) buckets: BTreeMap<String, Bucket>,
    #[serde(default)]
    pub(crate) keys: BTreeMap<String, Content>,
    /// Credentials and the identities that they stand for.
    #[serde(default)]
    pub(crate) key_sets: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    pub(crate) load: BTreeMap<String, Load>,
    /// What the plugin's namespace holds before the first case.
    #[serde(default)]
    pub(crate) kv: BTreeMap<String, Content>,
    /// Upstreams that plugins call, and what they answer.
    #[serde(default)]
    pub(crate) upstreams: BTreeMap<String, Vec<Answer>>,
    /// Models that plugins ask, and what they say.
    #[serde(default)]
    pub(crate) models: BTreeMap<String, Model>,
    /// Time of day at which the first case begins; none: now.
    pub(crate) now: Option<Moment>,
    #[serde(default)]
    pub(crate) pieces: Pieces,
    #[serde(default)]
    pub(crate) cases: Vec<Case>,
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

/// How a body is cut for a plugin that wants it in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pieces {
    #[default]
    Random,
    Whole,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) memory: Option<Size>,
    pub(crate) hook_timeout: Option<Time>,
}

#[cfg(feature = "lua")]
impl Limits {
    pub(crate) fn is_given(&self) -> bool {
        self.memory.is_some() || self.hook_timeout.is_some()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    #[serde(default)]
    pub(crate) on_trap: Disposition,
    #[serde(default)]
    pub(crate) on_timeout: Disposition,
    #[serde(default)]
    pub(crate) on_overload: Disposition,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Disposition {
    #[default]
    Deny,
    Skip,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bucket {
    pub(crate) rate: Rate,
    pub(crate) burst: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Load {
    pub(crate) in_flight_limit: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: Spanned<String>,
    /// Runs; each has to come out as expected.
    #[serde(default = "once")]
    pub(crate) repeat: u32,
    #[serde(default)]
    pub(crate) request: Request,
    /// Without it no upstream answers, and no response hook runs.
    pub(crate) response: Option<Response>,
    /// Time of day at which it begins; none: that of the end of the case before.
    pub(crate) now: Option<Moment>,
    /// Time that passes before each run.
    #[serde(default)]
    pub(crate) advance: Option<Time>,
    /// The random bytes that the plugin gets first in each run.
    pub(crate) random: Option<Content>,
    /// Requests in flight of each scope, besides this one.
    #[serde(default)]
    pub(crate) in_flight: BTreeMap<Spanned<String>, u32>,
    /// Answers that go before those of the file.
    #[serde(default)]
    pub(crate) upstreams: BTreeMap<Spanned<String>, Vec<Answer>>,
    /// Conversations in the place of those that the file has for a server.
    #[cfg(feature = "lua")]
    #[serde(default)]
    pub(crate) sockets: BTreeMap<Spanned<String>, Vec<Exchange>>,
    pub(crate) fault: Option<Fault>,
    #[serde(default)]
    pub(crate) expect: Expect,
}

fn once() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authority: String,
    pub(crate) headers: Fields,
    pub(crate) client: ClientAddress,
    pub(crate) tls: bool,
    pub(crate) route: String,
    pub(crate) id: String,
    pub(crate) body: Option<Content>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            path: "/".into(),
            authority: "example.com".into(),
            headers: Fields::default(),
            client: ClientAddress(([192, 0, 2, 1], 40_000).into()),
            tls: false,
            route: "test".into(),
            id: "test".into(),
            body: None,
        }
    }
}

/// `192.0.2.1`, `192.0.2.1:4000`, `2001:db8::1` or `[2001:db8::1]:4000`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddress(pub(crate) SocketAddr);

impl<'de> Deserialize<'de> for ClientAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 40_000));
        let address = address.or_else(|_| text.parse());
        address.map(Self).map_err(|_| {
            de::Error::custom(format!(
                "expected an address such as \"192.0.2.1\" or \"[2001:db8::1]:4000\", got {text:?}"
            ))
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Fields,
    pub(crate) body: Option<Content>,
    /// How long the upstream takes.
    pub(crate) after: Option<Time>,
}

impl Default for Response {
    fn default() -> Self {
        Self { status: 200, headers: Fields::default(), body: None, after: None }
    }
}

/// What goes wrong while a case runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The namespace is full.
    KvQuota,
    /// The first hook fails in this way before it does anything.
    Hook(FailureKind),
}

impl Fault {
    const ALL: [Self; 4] = [
        Self::KvQuota,
        Self::Hook(FailureKind::Trap),
        Self::Hook(FailureKind::Deadline),
        Self::Hook(FailureKind::Unavailable),
    ];

    fn label(self) -> &'static str {
        match self {
            Self::KvQuota => "kv-quota",
            Self::Hook(kind) => kind.label(),
        }
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        labelled(deserializer, &Self::ALL, |fault| fault.label())
    }
}

/// What an upstream answers to a call of the plugin, or how the call fails.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// Of the calls that it is for; none: all.
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    /// In one run; none: without limit.
    pub(crate) times: Option<NonZeroU32>,
    pub(crate) status: Option<FinalStatus>,
    pub(crate) headers: Option<Fields>,
    pub(crate) body: Option<Content>,
    /// How long it takes.
    pub(crate) after: Option<Time>,
    /// In the place of the four above.
    pub(crate) fault: Option<Spanned<CallFault>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct FinalStatus(pub(crate) StatusCode);

impl<'de> Deserialize<'de> for FinalStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let status = u16::deserialize(deserializer)?;
        let found = StatusCode::from_u16(status).ok().filter(|status| !status.is_informational());
        let wrong = || de::Error::custom(format!("expected a status from 200 to 999, got {status}"));
        found.map(Self).ok_or_else(wrong)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct CallFault(pub(crate) OutboundError);

impl<'de> Deserialize<'de> for CallFault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = [OutboundError::Unavailable, OutboundError::Timeout, OutboundError::TooLarge];
        // As the contract has them.
        let label = |fault: &OutboundError| match fault {
            OutboundError::Unavailable => "unavailable",
            OutboundError::Timeout => "timeout",
            OutboundError::TooLarge => "too-large",
        };
        labelled(deserializer, &all, label).map(Self)
    }
}

/// A cases file with its text, which knows the lines of its mistakes.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn read(path: &Path) -> Result<Self, CommandError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| CommandError::Read { what: "cases file", path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// The folder that the file's paths start from.
    pub(crate) fn folder(&self) -> PathBuf {
        self.path.parent().map(Path::to_path_buf).unwrap_or_default()
    }

    pub(crate) fn parse(&self) -> Result<CaseFile, CommandError> {
        let file: CaseFile = toml::from_str(&self.text).map_err(|error| {
            let message = error.message();
            let unknown = message.starts_with("unknown field");
            let message = message.replacen("unknown field", "unknown key", 1).replace(['\n', '\r'], " ");
            let help = if unknown {
                "correct or remove the key; docs/plugins/commands.md lists them all"
            } else {
                "see docs/plugins/commands.md for the form of a cases file"
            };
            self.problem(error.span().map_or(self.text.len(), |span| span.start), &message, help)
        })?;
        if file.cases.is_empty() {
            return Err(self.problem(self.text.len(), "the file has no case", "add `[[cases]]` with a `name`"));
        }
        Ok(file)
    }

    /// Line and column of a byte, from 1.
    pub(crate) fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before.get(start..).unwrap_or_default().chars().count() + 1)
    }

    /// Where a key of the file stands; its beginning if that cannot be told.
    #[cfg(feature = "lua")]
    pub(crate) fn key(&self, key: &str) -> usize {
        let begins = |line: &str| {
            let rest = line.trim_start_matches(['[', ' ', '\t']).strip_prefix(key);
            rest.is_some_and(|rest| rest.starts_with([' ', '=', '.', ']', '\t']))
        };
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            if begins(line) {
                return at;
            }
            at += line.len();
        }
        0
    }

    /// Something that this file does not define.
    pub(crate) fn unknown_name(&self, name: &Spanned<String>, table: &str) -> CommandError {
        let message = format!("expected the name of a `{table}` of this file, got {:?}", name.get_ref());
        let help = format!("define `{}`, or correct the name", table.replace("NAME", name.get_ref()));
        self.problem(name.span().start, &message, &help)
    }

    pub(crate) fn problem(&self, offset: usize, message: &str, help: &str) -> CommandError {
        let (line, column) = self.place(offset);
        let spot = Spot { line, column, path: String::new() };
        let diagnostic = Diagnostic::at(&self.path, &spot, message, help);
        CommandError::Cases { diagnostic: Box::new(diagnostic), text: self.text.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let source = Source { path: "cases.toml".into(), text: text.into() };
        source.parse().expect_err("the file is wrong").to_string()
    }

    #[test]
    fn mistakes_are_shown_with_their_line() {
        for (text, line, part) in [
            ("plugin = \"a\"\nplugni = 1\n", 2, "unknown key `plugni`"),
            ("[[cases]]\nname = \"a\"\n[cases.expect]\nverdct = \"continue\"\n", 4, "unknown key `verdct`"),
            ("[[cases]]\nname = \"a\"\nrequest = { body = { fiel = \"x\" } }\n", 3, "unknown key `fiel`"),
            ("[[cases]]\nname = \"a\"\n[cases.expect]\nverdict = \"reject\"\n", 4, "reject"),
            ("[[cases]]\nname = \"a\"\n\n[cases.expect]\ncode = \"NO\"\n", 5, "\"UNAUTHENTICATED\""),
            ("[[cases]]\nname = \"a\"\nrequest = { client = \"here\" }\n", 3, "expected an address"),
            ("[[cases]]\nname = \"a\"\nrequest = { headers = { \"a b\" = \"x\" } }\n", 3, "the name of a header field"),
            ("[[cases]]\nname = \"a\"\nrequest = { headers = { a = \"x\\n\" } }\n", 3, "without control characters"),
            ("[[cases]]\nname = \"a\"\nfault = \"deadlin\"\n", 3, "\"kv-quota\", \"trap\""),
            ("[[cases]]\nname = \"a\"\n[cases.expect]\nfailure = \"no\"\n", 4, "\"invalid_output\""),
            ("[[cases]]\nname = \"a\"\nnow = \"today\"\n", 3, "got \"today\""),
            ("now = -1\n", 1, "expected a time from 1970 on"),
            ("now = 2026-01-01\n", 1, "expected a time from 1970 on"),
            ("[[cases]]\nname = \"a\"\nadvance = 10\n", 3, "string"),
            ("[[upstreams.u]]\nfault = \"refused\"\n", 2, "\"unavailable\", \"timeout\", \"too-large\""),
            ("[[upstreams.u]]\nbody = \"x\"\nstatus = 199\n", 3, "from 200 to 999, got 199"),
            ("[[upstreams.u]]\ntimes = 0\n", 2, "nonzero"),
            ("[[upstreams.u]]\nmethode = \"GET\"\n", 2, "unknown key `methode`"),
            ("[[cases]]\nname = \"a\"\n[cases.expect]\ncalls = [{ path = \"/\" }]\n", 4, "missing field `upstream`"),
            ("[limits]\nmemory = 5\n", 2, "string"),
            ("[buckets.b]\nrate = \"5\"\n", 2, "expected a rate"),
            ("[[cases]]\n", 1, "missing field `name`"),
            ("plugin = \"a\"\n", 2, "no case"),
            ("plugin = a\n", 1, "quoted"),
        ] {
            let error = error(text);
            assert!(error.contains(&format!("cases.toml:{line}:")) && error.contains(part), "{text}\n{error}");
        }
    }
}
