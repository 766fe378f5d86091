//! Grants of Lua VMs: what scripts may reach.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::Kind;
use super::grant::existing;
use crate::nearest::did_you_mean;
use crate::node::Node;
use crate::source::Read;
use crate::{Located, LuaGrant};

/// A grant; what it names exists.
pub(crate) struct LuaGrantName<'n> {
    pub(crate) dicts: &'n [String],
    pub(crate) upstreams: &'n [String],
    pub(crate) plugins: &'n [String],
}

const FORMS: [&str; 5] = ["shared:NAME", "kv:PLUGIN", "upstream:NAME", "address:ADDRESS", "routes"];

impl Kind for LuaGrantName<'_> {
    type Value = Located<LuaGrant>;

    fn expected(&self) -> String {
        let forms: Vec<_> = FORMS.iter().map(|form| format!("\"{form}\"")).collect();
        format!("a grant, one of {}", forms.join(", "))
    }

    fn read(&self, node: &Node<'_>) -> Read<Self::Value> {
        let text = node.text().unwrap_or_default();
        let (capability, name) =
            text.split_once(':').map_or((text, None), |(capability, name)| (capability, Some(name)));
        let grant = match (capability, name) {
            ("routes", None) => LuaGrant::Routes,
            ("shared", name) => LuaGrant::Shared(existing(node, name, self.dicts, "[shared_dicts.NAME]")?),
            ("kv", name) => LuaGrant::Kv(existing(node, name, self.plugins, "[plugins.NAME]")?),
            ("upstream", name) => LuaGrant::Upstream(existing(node, name, self.upstreams, "[upstreams.NAME]")?),
            ("address", Some(address)) => match self::address(node, address) {
                Some(grant) => grant,
                None => {
                    let help = "write \"address:127.0.0.1:6379\", \"address:10.0.0.0/8:6379\" (a network), \
                                \"address:10.0.0.0/8:*\" (every port) or \"address:unix:/run/redis.sock\"";
                    return Err(node.fail(format!("expected an address after `address:`, got `{address}`"), help));
                }
            },
            _ => {
                let capabilities = ["shared", "kv", "upstream", "address", "routes"];
                let help = did_you_mean(capability, capabilities, || "remove it, or write one of these".into());
                return Err(node.wrong(&self.expected(), help));
            }
        };
        Ok(node.locate(grant))
    }
}

fn address(node: &Node<'_>, text: &str) -> Option<LuaGrant> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path: PathBuf = node.source.directory().join(path);
        return Some(LuaGrant::Unix(path));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return Some(LuaGrant::Network { address: address.ip(), bits, port: Some(address.port()) });
    }
    let (network, port) = text.rsplit_once(':')?;
    let port = if port == "*" { None } else { Some(port.parse().ok()?) };
    let (address, bits) = network.split_once('/').map_or((network, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most))?;
    Some(LuaGrant::Network { address, bits, port })
}
