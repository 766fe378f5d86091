//! Named groups of endpoints, with everything about a connection decided beforehand.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora::protocols::ALPN;
use pingora::protocols::l4::ext::TcpKeepalive;
use pingora::upstreams::peer::{HttpPeer, Peer as _};
use pingora::utils::tls::WrappedX509;
use witgate_config::{self as config, Config, Spot};

use super::Snapshot;
use crate::upstream::{
    Answer, EndpointKey, EndpointState, Group, Lookup, Member, Name, Patience, Pick, Registry, Resolve, look_up,
};

/// A group of endpoints, taken in turn.
#[derive(Debug)]
pub struct Upstream {
    pub name: Arc<str>,
    group: Group<Endpoint>,
    /// What each of its names stood for when this generation was built.
    pub names: Vec<Answer>,
}

/// One address, and how it is spoken to.
#[derive(Debug)]
pub struct Endpoint {
    pub address: SocketAddr,
    pub peer: HttpPeer,
    /// Equal for endpoints whose connections can take each other's place.
    pub key: u64,
    pub http2: bool,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Longest time for which it may take nothing of a request.
    pub write_timeout: Duration,
    /// Longest time for which it may say nothing while it owes a response.
    pub read_timeout: config::ReadTimeout,
    /// Sent as `Host` for a client that named none.
    pub host: HeaderValue,
    state: Arc<EndpointState>,
    patience: Patience,
}

/// One try at an endpoint.
pub type Attempt = crate::upstream::Attempt<Endpoint>;

impl Member for Endpoint {
    fn state(&self) -> &EndpointState {
        &self.state
    }

    fn patience(&self) -> &Patience {
        &self.patience
    }
}

impl Upstream {
    pub fn all(&self) -> impl Iterator<Item = &Endpoint> {
        self.group.members().iter().map(|endpoint| &**endpoint)
    }

    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.all().map(|endpoint| endpoint.address)
    }

    /// The endpoints for one request, each at most once. None may come out: its names do not resolve.
    pub fn pick(&self) -> Pick<'_, Endpoint> {
        self.group.pick()
    }

    /// The endpoint that a stage has chosen and no other; none: it is not one of these.
    pub fn pick_only(&self, address: SocketAddr) -> Option<Pick<'_, Endpoint>> {
        self.group.pick_only(|endpoint| endpoint.address == address)
    }

    /// Prepares connections to the addresses of a configuration's endpoints; `names` are those, looked up.
    pub fn build(
        (name, upstream): (&str, &config::Upstream),
        names: Vec<Answer>,
        authorities: Option<Arc<[WrappedX509]>>,
        registry: &Registry,
    ) -> Self {
        let name: Arc<str> = Arc::from(name);
        let mut seen = HashSet::new();
        let mut endpoints = Vec::new();
        for (answer, address) in names.iter().flat_map(|answer| answer.addresses.iter().map(move |at| (answer, *at))) {
            let endpoint = prepare((&name, upstream), &answer.name, address, authorities.clone(), registry);
            // Two names for one address are one endpoint, unless TLS asks for each by its name.
            if seen.insert((address, upstream.tls.is_some().then_some(endpoint.key))) {
                endpoints.push(Arc::new(endpoint));
            }
        }
        Self { name, group: Group::new(endpoints), names }
    }
}

/// What all names of a configuration stand for, by upstream and in the order of its endpoints.
pub type Resolution = BTreeMap<Arc<str>, Vec<Answer>>;

/// Looks up the names of all upstreams at once. Blocks for the longest `resolve_timeout` at most. A name that does not
/// resolve keeps the addresses that it has in the generation that serves.
pub fn resolve(config: &Config, previous: Option<&Snapshot>, resolver: &Arc<dyn Resolve>) -> Resolution {
    let known = known_names(previous);
    let mut lookups = Vec::new();
    for upstream in config.upstreams.values() {
        for config::Endpoint { host, port } in upstream.endpoints.iter().map(|endpoint| &endpoint.value) {
            let name = Name { host: host.clone(), port: *port };
            let last = known.get(&name).map(|last| last.to_vec());
            lookups.push(Lookup { name, timeout: upstream.resolve_timeout, last });
        }
    }
    let mut answers = look_up(lookups, resolver).into_iter();
    let of = |upstream: &config::Upstream| answers.by_ref().take(upstream.endpoints.len()).collect();
    config.upstreams.keys().map(|name| Arc::from(name.as_str())).zip(config.upstreams.values().map(of)).collect()
}

/// Names of the generation that serves, in whichever upstream, with their addresses; none, if it never had any.
fn known_names(previous: Option<&Snapshot>) -> BTreeMap<Name, &[SocketAddr]> {
    let answers = previous.into_iter().flat_map(|previous| previous.upstreams.values()).flat_map(|group| &group.names);
    answers.map(|answer| (answer.name.clone(), &*answer.addresses)).collect()
}

/// The names that do not resolve, with their places; and whether the generation that serves has them too.
pub fn unresolved<'a>(
    config: &'a Config,
    resolution: &'a Resolution,
    previous: Option<&Snapshot>,
) -> Vec<(&'a Spot, &'a Answer, bool)> {
    let known = known_names(previous);
    let places = config.upstreams.iter().flat_map(|(name, upstream)| {
        upstream.endpoints.iter().zip(resolution.get(name.as_str()).into_iter().flatten())
    });
    let unresolved = places.filter(|(_, answer)| answer.problem.is_some());
    unresolved.map(|(endpoint, answer)| (&endpoint.spot, answer, known.contains_key(&answer.name))).collect()
}

/// A name whose addresses are not those of the generation before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub upstream: Arc<str>,
    pub name: Name,
    pub before: Vec<SocketAddr>,
    pub now: Vec<SocketAddr>,
}

/// The names that a generation has and that stand for other addresses now.
pub fn moved<'a>(now: impl Iterator<Item = (Arc<str>, &'a Answer)>, previous: &Snapshot) -> Vec<Moved> {
    let compared = now.filter_map(|(upstream, answer)| {
        let names = &previous.upstreams.get(&*upstream)?.names;
        let before = names.iter().find(|before| before.name == answer.name)?.addresses.clone();
        let moved = Moved { upstream, name: answer.name.clone(), before, now: answer.addresses.clone() };
        (moved.before != moved.now).then_some(moved)
    });
    compared.collect()
}

/// Each name of a resolution with its upstream's.
pub fn names(resolution: &Resolution) -> impl Iterator<Item = (Arc<str>, &Answer)> {
    resolution.iter().flat_map(|(upstream, answers)| answers.iter().map(|answer| (Arc::clone(upstream), answer)))
}

/// Differs for other authorities.
fn fingerprint(authorities: &[WrappedX509]) -> u64 {
    let mut hasher = DefaultHasher::new();
    authorities.iter().for_each(|authority| authority.borrow_raw_cert().hash(&mut hasher));
    hasher.finish()
}

fn prepare(
    (name, upstream): (&Arc<str>, &config::Upstream),
    endpoint: &Name,
    address: SocketAddr,
    authorities: Option<Arc<[WrappedX509]>>,
    registry: &Registry,
) -> Endpoint {
    let server_name = upstream.tls.as_ref().and_then(|tls| tls.server_name.clone());
    let server_name = server_name.unwrap_or_else(|| endpoint.host.clone());
    let mut peer = HttpPeer::new(address, upstream.tls.is_some(), server_name);
    // Pingora leaves authorities out of the key of a connection: one that others vouched for must not be taken up again.
    peer.group_key = authorities.as_deref().map_or(0, fingerprint);
    let options = &mut peer.options;
    options.alpn = match upstream.protocol {
        config::Protocol::Http1 => ALPN::H1,
        config::Protocol::Http2 => ALPN::H2,
    };
    options.connection_timeout = Some(upstream.connect_timeout);
    // Connecting and the TLS handshake together.
    let connect = upstream.connect_timeout * 2;
    options.total_connection_timeout = Some(connect);
    options.idle_timeout = Some(upstream.idle_timeout);
    options.ca = authorities;
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 3,
        #[cfg(target_os = "linux")]
        user_timeout: Duration::ZERO,
    });
    let key = peer.reuse_hash();
    let http2 = upstream.protocol == config::Protocol::Http2;
    // The key does not tell versions apart, for each has connections of its own.
    let manner = key ^ u64::from(http2);
    Endpoint {
        address,
        key,
        peer,
        http2,
        idle_timeout: upstream.idle_timeout,
        write_timeout: upstream.write_timeout,
        read_timeout: upstream.read_timeout,
        host: HeaderValue::from_str(&address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("")),
        state: registry.endpoint(EndpointKey { upstream: Arc::clone(name), address, manner }),
        patience: Patience { first: upstream.backoff, most: upstream.backoff_limit, connect },
    }
}
