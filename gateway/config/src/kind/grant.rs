//! Grants: what a plugin may reach.

use super::Kind;
use crate::nearest::did_you_mean;
use crate::node::{Node, quote};
use crate::source::Read;
use crate::{Grant, Located};

/// Names that grants can have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granted<'n> {
    /// Of keys and of key sets.
    pub(crate) keys: &'n [String],
    pub(crate) buckets: &'n [String],
    pub(crate) load: &'n [String],
    pub(crate) upstreams: &'n [String],
    pub(crate) models: &'n [String],
}

/// A grant; what it names exists.
pub(crate) struct GrantName<'n>(pub(crate) Granted<'n>);

/// Every form of a grant.
const FORMS: [&str; 11] = [
    "log",
    "clock",
    "random",
    "kv",
    "metrics",
    "crypto",
    "crypto:NAME",
    "limiter:NAME",
    "load:NAME",
    "outbound:NAME",
    "inference:NAME",
];

impl Kind for GrantName<'_> {
    type Value = Located<Grant>;

    fn expected(&self) -> String {
        let forms: Vec<_> = FORMS.iter().map(|form| format!("\"{form}\"")).collect();
        format!("a grant, one of {}", forms.join(", "))
    }

    fn read(&self, node: &Node<'_>) -> Read<Self::Value> {
        let text = node.text().unwrap_or_default();
        let Granted { keys, buckets, load, upstreams, models } = self.0;
        let (capability, name) =
            text.split_once(':').map_or((text, None), |(capability, name)| (capability, Some(name)));
        let grant = match (capability, name) {
            ("log", None) => Grant::Log,
            ("clock", None) => Grant::Clock,
            ("kv", None) => Grant::Kv,
            ("metrics", None) => Grant::Metrics,
            ("random", None) => Grant::Random,
            ("crypto", None) => Grant::Crypto,
            ("crypto", name) => Grant::Key(existing(node, name, keys, "[keys.NAME]` or `[key_sets.NAME]")?),
            ("limiter", name) => Grant::Bucket(existing(node, name, buckets, "[buckets.NAME]")?),
            ("load", name) => Grant::LoadScope(existing(node, name, load, "[load.NAME]")?),
            ("outbound", name) => Grant::Outbound(existing(node, name, upstreams, "[upstreams.NAME]")?),
            ("inference", name) => Grant::Model(existing(node, name, models, "[models.NAME]")?),
            (capability @ ("log" | "clock" | "kv" | "metrics" | "random"), Some(_)) => {
                return Err(node.wrong(&self.expected(), format!("write \"{capability}\": it takes no name")));
            }
            (capability, _) => {
                let capabilities = FORMS.map(|form| form.trim_end_matches(":NAME"));
                let help =
                    did_you_mean(capability, capabilities, || "remove it, or write one of these with quotes".into());
                return Err(node.wrong(&self.expected(), help));
            }
        };
        Ok(node.locate(grant))
    }
}

pub(super) fn existing(node: &Node<'_>, name: Option<&str>, names: &[String], table: &str) -> Read<String> {
    let name = name.unwrap_or_default();
    if names.iter().any(|known| known == name) {
        return Ok(name.into());
    }
    let define = || {
        let name = if super::name::is_valid(name) { name } else { "NAME" };
        format!("define `{}`", table.replace("NAME", name))
    };
    if name.is_empty() {
        let capability = node.text().unwrap_or_default().trim_end_matches(':');
        let example = names.first().map_or_else(define, |name| format!("write \"{capability}:{name}\""));
        return Err(node.fail(format!("expected the name of a `{table}` after the colon, got none"), example));
    }
    let help = did_you_mean(name, names.iter().map(String::as_str), define);
    Err(node.fail(format!("expected the name of a `{table}`, got {}, which does not exist", quote(name)), help))
}
