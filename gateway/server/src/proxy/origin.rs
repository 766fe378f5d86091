//! What a request brings along: its head, and the connection that it came over.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Version;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::uri::Authority;
use pingora::protocols::Stream;
use witgate_http::authority::AuthorityError;
use witgate_http::http1::field::Names;
use witgate_http::http1::request;
use witgate_stage::{Client, RequestHead};

use crate::envelope::Problem;
use crate::listen::Sni;
use crate::proxy::downstream::Length;

/// A client's end of a connection.
pub struct Origin {
    pub address: Option<SocketAddr>,
    pub client: Client,
    /// The address, for upstreams.
    pub forwarded_for: Option<HeaderValue>,
    /// Requests of scripts to the gateway itself that this one is within.
    pub depth: u32,
}

impl Origin {
    /// Of a connection that was accepted.
    pub fn new(stream: &Stream) -> Self {
        let digest = stream.get_socket_digest();
        let address = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet().copied());
        let local = digest.as_ref().and_then(|digest| digest.local_addr()?.as_inet().copied());
        let tls = stream.get_ssl_digest();
        let sni = tls.as_ref().and_then(|tls| tls.extension.get::<Sni>()).map(|sni| Arc::clone(&sni.0));
        let forwarded_for = field(address);
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let (address_or, local) = (address.unwrap_or(unknown), local.unwrap_or(unknown));
        let client = Client { address: address_or, local, tls: tls.is_some(), sni };
        Self { address, client, forwarded_for, depth: 0 }
    }

    /// Of a request that a script makes for this client.
    pub fn of_subrequest(client: Client, depth: u32) -> Self {
        let address = Some(client.address);
        Self { address, forwarded_for: field(address), client, depth }
    }
}

fn field(address: Option<SocketAddr>) -> Option<HeaderValue> {
    HeaderValue::from_str(&address?.ip().to_canonical().to_string()).ok()
}

/// A request as it arrived, in either version of HTTP. In a box, for it goes through many hands.
pub struct Incoming {
    pub head: RequestHead,
    pub arrival: Arrival,
}

/// What of a request that arrived is not for stages.
pub struct Arrival {
    /// Of `:authority`, or of a target in absolute form.
    pub authority: Option<Authority>,
    pub version: Version,
    pub names: Names,
    pub body: Length,
    /// The client asked for a protocol upgrade.
    pub upgrade: bool,
    /// Bytes of the head over HTTP/1.
    pub head_length: Option<u64>,
}

impl Incoming {
    /// `body`: as the connection reads it.
    pub fn from_http1(head: request::Head, body: Length) -> Box<Self> {
        let request::Head { method, path, authority, version, headers, names, upgrade, length, .. } = head;
        Box::new(Self {
            head: RequestHead { method, path, headers },
            arrival: Arrival { authority, version, names, body, upgrade, head_length: Some(length) },
        })
    }
}

/// The host that the client asked for: whoever has read the head has made the field say so.
///
/// # Errors
/// It is not text.
pub fn host(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let host = headers.get(HOST).map(HeaderValue::to_str).transpose().map_err(|_| AuthorityError::Malformed)?;
    Ok(host.filter(|host| !host.is_empty()))
}
