//! Datagrams, over UDP or a Unix domain socket.

use std::borrow::Cow;
use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{Interest, ReadBuf};
use tokio::net::{UdpSocket, UnixDatagram};

use super::address::Target;
use super::transport::describe;
use super::{Refusal, Slot, Sockets};

/// Largest datagram that a script gets, as in lua-nginx-module.
pub(crate) const DATAGRAM_LIMIT: usize = 8192;

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// A socket for datagrams to and from one peer.
pub(crate) struct Datagrams {
    pub number: u64,
    pub owner: u64,
    socket: Socket,
    pub busy: Cell<bool>,
    _slot: Slot,
}

/// The peer of such a socket.
#[derive(Debug)]
pub(crate) enum Peer {
    Known(Target),
    Resolved(SocketAddr),
}

impl Sockets {
    /// A socket of a request for datagrams. `from`: the address to send from.
    ///
    /// # Errors
    /// It cannot be made, or the peer cannot be reached at all.
    pub fn open_datagrams(
        self: &Rc<Self>,
        (number, owner): (u64, u64),
        peer: Peer,
        from: Option<SocketAddr>,
    ) -> Result<(), Refusal> {
        let slot = self.slot()?;
        let made = match peer {
            Peer::Resolved(address) => udp(address, from),
            Peer::Known(Target::Unix(path)) => unix(&path),
            Peer::Known(Target::Addresses(addresses)) => match addresses.first() {
                Some(address) => udp(*address, from),
                None => return Err(Cow::Borrowed("no address")),
            },
            Peer::Known(Target::Name(..)) => return Err(Cow::Borrowed("no address")),
        };
        let socket = made.map_err(|error| Cow::Owned(describe(&error)))?;
        let made = Rc::new(Datagrams { number, owner, socket, busy: Cell::new(false), _slot: slot });
        self.datagrams.borrow_mut().insert(number, made);
        Ok(())
    }

    pub fn close_datagrams(&self, number: u64) {
        let closed = self.datagrams.borrow_mut().remove(&number);
        drop(closed);
    }
}

fn udp(peer: SocketAddr, from: Option<SocketAddr>) -> io::Result<Socket> {
    let any = match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = std::net::UdpSocket::bind(from.unwrap_or(any))?;
    socket.connect(peer)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket).map(Socket::Udp)
}

/// With a name of its own, to which the peer can answer.
fn unix(path: &std::path::Path) -> io::Result<Socket> {
    let name = format!("witgate-script-{}-{:016x}", std::process::id(), fastrand::u64(..));
    let own = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let socket = StdUnixDatagram::bind_addr(&own)?;
    socket.connect(path)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket).map(Socket::Unix)
}

impl Datagrams {
    pub fn poll_send(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<(), Refusal>> {
        let sent = match &self.socket {
            Socket::Udp(socket) => socket.poll_send(context, bytes),
            Socket::Unix(socket) => socket.poll_send(context, bytes),
        };
        sent.map(|sent| match sent {
            Ok(count) if count < bytes.len() => Err(Cow::Borrowed("partial write")),
            Ok(_) => Ok(()),
            Err(error) => Err(Cow::Owned(describe(&error))),
        })
    }

    /// What comes next, up to the room in `into`.
    pub fn poll_receive(&self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<(), Refusal>> {
        let received = match &self.socket {
            Socket::Udp(socket) => socket.poll_recv(context, into),
            Socket::Unix(socket) => socket.poll_recv(context, into),
        };
        received.map_err(|error| Cow::Owned(describe(&error)))
    }

    /// As [`Self::poll_receive`], and hears as well that nobody is there, which comes without anything to read.
    pub async fn receive(&self, into: &mut ReadBuf<'_>) -> Result<(), Refusal> {
        loop {
            tokio::select! {
                biased;
                received = std::future::poll_fn(|context| self.poll_receive(context, into)) => return received,
                error = self.error() => {
                    if let Some(error) = error {
                        return Err(Cow::Owned(describe(&error)));
                    }
                }
            }
        }
    }

    /// The next error of the socket; none: it was another's turn to see it.
    async fn error(&self) -> Option<io::Error> {
        let blocks = || io::Error::from(io::ErrorKind::WouldBlock);
        // What is no error is the answer that lets the runtime wait for the next one.
        let seen = |error: io::Result<Option<io::Error>>| -> io::Result<()> { Err(error?.unwrap_or_else(blocks)) };
        let error = match &self.socket {
            Socket::Udp(socket) => socket
                .ready(Interest::ERROR)
                .await
                .err()
                .map_or_else(|| socket.try_io(Interest::ERROR, || seen(socket.take_error())).err(), Some),
            Socket::Unix(socket) => socket
                .ready(Interest::ERROR)
                .await
                .err()
                .map_or_else(|| socket.try_io(Interest::ERROR, || seen(socket.take_error())).err(), Some),
        };
        error.filter(|error| error.kind() != io::ErrorKind::WouldBlock)
    }
}
