//! Listeners: bound sockets, TLS, and the services that accept on them.

use std::any::Any;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{ListenerConfig, TlsAccept};
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::protocols::tls::TlsRef;
use pingora::server::{Fds, ListenFds, ShutdownWatch};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpSocket;

use crate::gateway::Gateway;

/// Server name that a client asked for in its TLS handshake.
#[derive(Debug)]
pub struct Sni(pub Arc<str>);

/// Remembers the server name of each handshake with its connection.
struct RememberSni;

#[async_trait]
impl TlsAccept for RememberSni {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        tls.server_name().map(|name| Arc::new(Sni(Arc::from(name))) as Arc<dyn Any + Send + Sync>)
    }
}

/// Shows the certificate of the current generation: a reload changes it for the handshakes that follow.
#[derive(Debug)]
pub struct CurrentCertificate {
    pub gateway: Arc<Gateway>,
    /// Index of the listener in the configuration.
    pub listener: usize,
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.gateway.snapshot().certificates.get(self.listener).cloned().flatten()
    }
}

/// A socket that is bound and listens, but accepts nothing yet.
#[derive(Debug)]
pub struct Bound {
    socket: TcpListener,
    pub address: SocketAddr,
}

/// Binds an address; port 0 takes a free one.
///
/// # Errors
/// The address is in use, not ours, or not allowed.
pub fn bind(address: SocketAddr) -> io::Result<Bound> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok(Bound { socket, address })
}

/// Whether an address could be bound; it is let go at once, and nobody can connect to it meanwhile.
///
/// # Errors
/// As those of [`bind`].
pub fn try_bind(address: SocketAddr) -> io::Result<()> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the standard library does for listeners: connections of a gateway that has ended are no obstacle.
    socket.set_reuseaddr(true)?;
    socket.bind(address)
}

/// Accepts connections for `app` until `shutdown` turns true, then lets the app clean up. Runs on the calling runtime.
///
/// # Errors
/// The TLS settings cannot be made.
pub async fn serve<A: ServerApp + Send + Sync + 'static>(
    bound: Bound,
    certificate: Option<Arc<dyn ResolvesServerCert>>,
    app: A,
    shutdown: ShutdownWatch,
    accept_tasks: usize,
) -> pingora::Result<()> {
    let name = bound.address.to_string();
    let mut service = Service::new(name.clone(), app);
    // The connections have buffers of their own; Pingora's would add 64 KiB to each, idle or not.
    let mut listener = ListenerConfig::tcp(&name).l4_buffer(L4BufferSettings::unbuffered());
    if let Some(certificate) = certificate {
        let mut tls = TlsSettings::with_callbacks(Box::new(RememberSni))?;
        tls.set_cert_resolver(certificate);
        tls.enable_h2();
        listener = listener.tls(tls);
    }
    service.add_listener(listener);
    let mut fds = Fds::new();
    fds.add(name, bound.socket.into_raw_fd());
    let fds: ListenFds = Arc::new(parking_lot::Mutex::new(fds));
    service.start_service(Some(fds), shutdown, accept_tasks).await;
    Ok(())
}
