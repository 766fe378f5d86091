//! What a case expects: the part of the file below `expect`.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::Deserialize;
use serde::de::Deserializer;
use toml::Spanned;
use witgate_stage::{ErrorCode, FailureKind, Hook};

use super::content::{Content, FieldName, Fields, Size, Time, labelled};

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
    /// Kind of a failure.
    pub(crate) failure: Option<Failure>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) client: Option<Client>,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, Content>,
    #[serde(default)]
    pub(crate) kv: BTreeMap<String, Content>,
    #[serde(default)]
    pub(crate) kv_absent: Vec<String>,
    /// Values in shared dictionaries, as Lua prints them.
    #[cfg(feature = "lua")]
    #[serde(default)]
    pub(crate) dicts: BTreeMap<String, BTreeMap<String, Content>>,
    /// Keys that shared dictionaries do not have.
    #[cfg(feature = "lua")]
    #[serde(default)]
    pub(crate) dicts_absent: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) buckets: Vec<Tokens>,
    /// Every call to an upstream, in order.
    pub(crate) calls: Option<Vec<Call>>,
    #[serde(default)]
    pub(crate) metrics: Vec<Metric>,
    /// Names of metrics of which there is no series.
    #[serde(default)]
    pub(crate) metrics_absent: Vec<String>,
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

#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure(pub(crate) FailureKind);

impl<'de> Deserialize<'de> for Failure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        labelled(deserializer, &FailureKind::ALL, |kind| kind.label()).map(Self)
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

/// A call that the plugin makes to an upstream.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) upstream: Spanned<String>,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    #[serde(default)]
    pub(crate) headers: Fields,
    #[serde(default)]
    pub(crate) absent: Vec<FieldName>,
    pub(crate) body: Option<Content>,
}

impl Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |text: &Option<String>| text.clone().unwrap_or_else(|| "*".to_owned());
        write!(f, "{}: {} {}", self.upstream.get_ref(), any(&self.method), any(&self.path))
    }
}

/// One series of a metric, on the case's route. Of `value` and `count` there is one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metric {
    pub(crate) name: Spanned<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Of a counter or a gauge.
    pub(crate) value: Option<f64>,
    /// Of a histogram: how many values it has been given.
    pub(crate) count: Option<u64>,
}
