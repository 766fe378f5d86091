//! The file with the cases. Every key of it is a field here, and every other key is an error.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::Value;
use toml::Spanned;
use witgate_config::{Diagnostic, Spot};
use witgate_stage::{ErrorCode, FailureKind, Hook};

use super::content::{Content, FieldName, Fields, Rate, Size, Time};
use crate::CommandError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseFile {
    /// The component; below the folder of this file.
    pub(crate) plugin: Option<PathBuf>,
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
    /// Requests in flight of each scope, besides this one.
    #[serde(default)]
    pub(crate) in_flight: BTreeMap<String, u32>,
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
}

impl Default for Response {
    fn default() -> Self {
        Self { status: 200, headers: Fields::default(), body: None }
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

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "kv-quota" => Ok(Self::KvQuota),
            "trap" => Ok(Self::Hook(FailureKind::Trap)),
            "deadline" => Ok(Self::Hook(FailureKind::Deadline)),
            "unavailable" => Ok(Self::Hook(FailureKind::Unavailable)),
            other => Err(de::Error::custom(format!(
                "expected one of \"kv-quota\", \"trap\", \"deadline\", \"unavailable\", got {other:?}"
            ))),
        }
    }
}

/// What has to come of a case. What is left out does not matter, but for the verdict.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    #[serde(default)]
    pub(crate) verdict: Verdict,
    /// The hook that decided, if not to continue.
    pub(crate) hook: Option<HookName>,
    /// Of a refusal.
    pub(crate) code: Option<Code>,
    /// Of a refusal, or of a failure; `*` stands for any text.
    pub(crate) message: Option<String>,
    /// Kind of a failure: `trap`, `deadline`, …
    pub(crate) failure: Option<String>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) client: Option<Client>,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, Content>,
    #[serde(default)]
    pub(crate) kv: BTreeMap<String, Content>,
    #[serde(default)]
    pub(crate) kv_absent: Vec<String>,
    #[serde(default)]
    pub(crate) buckets: Vec<Tokens>,
    pub(crate) log: Option<Vec<String>>,
    pub(crate) max_time: Option<Time>,
    pub(crate) max_memory: Option<Size>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    #[default]
    Continue,
    Respond,
    Refuse,
    Fail,
}

impl Verdict {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Respond => "respond",
            Self::Refuse => "refuse",
            Self::Fail => "fail",
        }
    }
}

/// The one of `all` that goes by this label.
fn labelled<'de, T: Copy, D: Deserializer<'de>>(
    deserializer: D,
    all: &[T],
    label: impl Fn(&T) -> &'static str,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    all.iter().copied().find(|one| label(one) == text).ok_or_else(|| {
        let labels: Vec<_> = all.iter().map(|one| format!("\"{}\"", label(one))).collect();
        de::Error::custom(format!("expected one of {}, got {text:?}", labels.join(", ")))
    })
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct HookName(pub(crate) Hook);

impl<'de> Deserialize<'de> for HookName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        labelled(deserializer, &Hook::ALL, |hook| hook.label()).map(Self)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Code(pub(crate) ErrorCode);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        labelled(deserializer, &ErrorCode::ALL, |code| code.label()).map(Self)
    }
}

/// What the upstream gets.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    pub(crate) path: Option<String>,
    #[serde(default)]
    pub(crate) headers: Fields,
    #[serde(default)]
    pub(crate) absent: Vec<FieldName>,
    /// Every change of a field, and no other: `set NAME: VALUE`, `remove NAME`.
    pub(crate) changes: Option<Vec<String>>,
    pub(crate) body: Option<Content>,
}

/// What the client gets.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) headers: Fields,
    #[serde(default)]
    pub(crate) absent: Vec<FieldName>,
    /// As of the upstream, held against the upstream's response.
    pub(crate) changes: Option<Vec<String>>,
    pub(crate) body: Option<Content>,
}

/// What a bucket has left for a key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokens {
    pub(crate) bucket: Spanned<String>,
    pub(crate) key: Content,
    pub(crate) remaining: u32,
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
