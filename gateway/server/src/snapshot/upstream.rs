//! Named groups of endpoints, with everything about a connection decided beforehand.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use pingora::protocols::ALPN;
use pingora::protocols::l4::ext::TcpKeepalive;
use pingora::upstreams::peer::{HttpPeer, Peer as _};
use pingora::utils::tls::WrappedX509;
use witgate_config as config;

/// A group of endpoints, taken in turn.
#[derive(Debug)]
pub struct Upstream {
    /// At least one.
    first: Arc<Endpoint>,
    rest: Vec<Arc<Endpoint>>,
    turn: AtomicUsize,
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
    pub read_timeout: Option<Duration>,
    pub write_timeout: Duration,
    /// Sent as `Host` for a client that named none.
    pub host: HeaderValue,
}

impl Upstream {
    /// How many endpoints there are.
    pub fn endpoints(&self) -> usize {
        1 + self.rest.len()
    }

    pub fn all(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.first).chain(&self.rest).map(|endpoint| &**endpoint)
    }

    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.all().map(|endpoint| endpoint.address)
    }

    /// The endpoint that a stage has chosen; none: it is not one of these.
    pub fn find(&self, address: SocketAddr) -> Option<&Arc<Endpoint>> {
        std::iter::once(&self.first).chain(&self.rest).find(|endpoint| endpoint.address == address)
    }

    /// The next endpoint in turn.
    pub fn next(&self) -> &Arc<Endpoint> {
        if self.rest.is_empty() {
            return &self.first;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.endpoints();
        turn.checked_sub(1).and_then(|at| self.rest.get(at)).unwrap_or(&self.first)
    }

    /// Resolves the endpoints and prepares connections to them. Blocks on name resolution.
    ///
    /// # Errors
    /// What is wrong with which setting, all at once.
    pub fn build(upstream: &config::Upstream, authorities: Option<Arc<[WrappedX509]>>) -> Result<Self, Vec<Problem>> {
        let (mut peers, mut problems) = (Vec::new(), Vec::new());
        for endpoint in &upstream.endpoints {
            match resolve(&endpoint.value) {
                Ok(addresses) => {
                    peers.extend(
                        addresses
                            .iter()
                            .map(|&at| Arc::new(prepare(upstream, &endpoint.value, at, authorities.clone()))),
                    );
                }
                Err(message) => problems.push((endpoint.spot.clone(), message)),
            }
        }
        let mut peers = peers.into_iter();
        match peers.next() {
            Some(first) if problems.is_empty() => Ok(Self { first, rest: peers.collect(), turn: AtomicUsize::new(0) }),
            _ => Err(problems),
        }
    }
}

/// Where, and what.
pub type Problem = (config::Spot, String);

/// All addresses of an endpoint: a name that stands for several is several endpoints.
fn resolve(endpoint: &config::Endpoint) -> Result<Vec<SocketAddr>, String> {
    let config::Endpoint { host, port } = endpoint;
    match (host.as_str(), *port).to_socket_addrs() {
        Ok(addresses) => {
            let addresses: Vec<SocketAddr> = addresses.collect();
            if addresses.is_empty() { Err(format!("`{host}` has no address")) } else { Ok(addresses) }
        }
        Err(error) => Err(format!("`{host}` cannot be resolved: {error}")),
    }
}

fn prepare(
    upstream: &config::Upstream,
    endpoint: &config::Endpoint,
    address: SocketAddr,
    authorities: Option<Arc<[WrappedX509]>>,
) -> Endpoint {
    let server_name = upstream.tls.as_ref().and_then(|tls| tls.server_name.clone());
    let server_name = server_name.unwrap_or_else(|| endpoint.host.clone());
    let mut peer = HttpPeer::new(address, upstream.tls.is_some(), server_name);
    let options = &mut peer.options;
    options.alpn = match upstream.protocol {
        config::Protocol::Http1 => ALPN::H1,
        config::Protocol::Http2 => ALPN::H2,
    };
    options.connection_timeout = Some(upstream.connect_timeout);
    // Connecting and the TLS handshake together.
    options.total_connection_timeout = Some(upstream.connect_timeout * 2);
    options.idle_timeout = Some(upstream.idle_timeout);
    options.ca = authorities;
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 3,
        #[cfg(target_os = "linux")]
        user_timeout: Duration::ZERO,
    });
    Endpoint {
        address,
        key: peer.reuse_hash(),
        peer,
        http2: upstream.protocol == config::Protocol::Http2,
        idle_timeout: upstream.idle_timeout,
        read_timeout: Some(Duration::from_secs(60)),
        write_timeout: Duration::from_secs(30),
        host: HeaderValue::from_str(&address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("")),
    }
}
