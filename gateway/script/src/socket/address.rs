//! Whom a script may talk to, and where that is.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Refusal, Sockets};

/// Addresses of one name that are tried.
const TRIES: usize = 4;

/// Longest name that there can be.
const NAME_LIMIT: usize = 253;

/// Look-ups at once, of all scripts: each blocks a thread for as long as the system's resolver takes.
static LOOKUPS: Semaphore = Semaphore::const_new(32);

/// Where a script wants to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Addresses(Vec<SocketAddr>),
    Unix(PathBuf),
    /// To be looked up.
    Name(String, u16),
}

impl Sockets {
    /// What a script calls `host` and `port`, if it is in reach as far as that is known without looking anything up.
    ///
    /// # Errors
    /// It is not.
    pub fn target(&self, host: &[u8], port: Option<u16>) -> Result<Target, Refusal> {
        let target = self.granted(host, port)?;
        let Some(stand_ins) = &self.app.spec.reach.stand_ins else { return Ok(target) };
        let host = String::from_utf8_lossy(host);
        let place = port.map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        match stand_ins.get(&place).or_else(|| stand_ins.get(&*host)) {
            Some(address) => Ok(Target::Addresses(vec![*address])),
            None => Err(Cow::Owned(format!("nothing stands in for \"{place}\""))),
        }
    }

    /// As [`Self::target`], as far as it is granted.
    fn granted(&self, host: &[u8], port: Option<u16>) -> Result<Target, Refusal> {
        let reach = &self.app.spec.reach;
        let Ok(host) = std::str::from_utf8(host) else {
            return Err(Cow::Owned(format!("failed to parse host name \"{}\": invalid host", host.escape_ascii())));
        };
        if let Some(path) = unix_path(host) {
            let path = PathBuf::from(path);
            if reach.allows_unix(&path) {
                return Ok(Target::Unix(path));
            }
            return Err(Cow::Owned(format!("not in reach: grant \"address:unix:{}\"", path.display())));
        }
        if let Some(endpoints) = reach.upstreams.get(host) {
            let mut endpoints: Vec<_> =
                endpoints.iter().copied().filter(|endpoint| port.is_none_or(|port| port == endpoint.port())).collect();
            if !endpoints.is_empty() {
                let turn = self.turn.get();
                self.turn.set(turn.wrapping_add(1));
                let first = turn % endpoints.len();
                endpoints.rotate_left(first);
                endpoints.truncate(TRIES);
                return Ok(Target::Addresses(endpoints));
            }
        }
        let Some(port) = port else { return Err(Cow::Borrowed("missing the port number")) };
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            let address = SocketAddr::new(address, port);
            if reach.allows(address) {
                return Ok(Target::Addresses(vec![address]));
            }
            return Err(Cow::Owned(format!("not in reach: grant \"address:{address}\"")));
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.is_empty() {
            return Err(Cow::Borrowed("failed to parse host name \"\": no host"));
        }
        if host.len() > NAME_LIMIT || !host.bytes().all(is_name) {
            return Err(Cow::Owned(format!("failed to parse host name \"{host}\": invalid host")));
        }
        // Where no address could be in reach, the name is not looked up either: a name can carry what the script knows.
        if reach.networks.is_empty() && reach.upstreams.is_empty() {
            return Err(Cow::Owned(format!("not in reach: grant \"upstream:NAME\", or the address of {host}:{port}")));
        }
        Ok(Target::Name(host.to_owned(), port))
    }

    /// The addresses of a name that are in reach.
    ///
    /// # Errors
    /// There are none.
    pub async fn look_up(&self, name: String, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
        let app = Arc::clone(&self.app);
        let Ok(permit) = LOOKUPS.acquire().await else { return Err(unresolved(&name, 2, "Server failure")) };
        let asked = name.clone();
        let found = tokio::task::spawn_blocking(move || {
            // Until the system has answered, though nobody may wait for it any more.
            let _permit = permit;
            (asked.as_str(), port).to_socket_addrs().map(|found| found.collect::<Vec<_>>())
        });
        let all = match found.await {
            Ok(Ok(all)) => all,
            Ok(Err(error)) if error.to_string().contains("emporary failure") => {
                return Err(unresolved(&name, 2, "Server failure"));
            }
            Ok(Err(_)) => return Err(unresolved(&name, 3, "Host not found")),
            Err(_) => return Err(unresolved(&name, 2, "Server failure")),
        };
        let mut allowed: Vec<_> = all.iter().copied().filter(|address| app.spec.reach.allows(*address)).collect();
        allowed.truncate(TRIES);
        match all.first() {
            _ if !allowed.is_empty() => Ok(allowed),
            Some(address) => Err(Cow::Owned(format!("not in reach: grant \"address:{address}\", which {name} has"))),
            None => Err(unresolved(&name, 3, "Host not found")),
        }
    }
}

/// The path in `unix:PATH`.
pub(crate) fn unix_path(host: &str) -> Option<&str> {
    let (scheme, path) = host.split_at_checked(5)?;
    scheme.eq_ignore_ascii_case("unix:").then_some(path)
}

/// As nginx's resolver says it.
fn unresolved(name: &str, code: u8, reason: &str) -> Refusal {
    Cow::Owned(format!("{name} could not be resolved ({code}: {reason})"))
}
