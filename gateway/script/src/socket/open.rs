//! Connecting.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::address::Target;
use super::pool::{Name, Options, Turn};
use super::transport::{Plain, Transport, describe};
use super::{Connection, NO_MEMORY, Refusal, Sockets};

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct Unconnected {
    pub refusal: Refusal,
    /// The system's number for it.
    pub number: Option<i32>,
}

impl From<Refusal> for Unconnected {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, number: None }
    }
}

impl From<io::Error> for Unconnected {
    fn from(error: io::Error) -> Self {
        Self { refusal: Cow::Owned(describe(&error)), number: error.raw_os_error() }
    }
}

/// What a script connects to.
#[derive(Debug)]
pub(crate) struct Place {
    pub target: Target,
    /// The address to connect from.
    pub from: Option<SocketAddr>,
    pub pool: Name,
    pub options: Options,
    pub timeout: Duration,
}

impl Place {
    /// A connection to it that is there already; otherwise what to wait for.
    ///
    /// # Errors
    /// Too many wait already.
    pub fn turn(&self, sockets: &Sockets) -> Result<Turn, Refusal> {
        sockets.pools.turn(&self.pool, self.options).ok_or(Cow::Borrowed("too many waiting connect operations"))
    }

    /// Connects, or waits for a connection.
    ///
    /// # Errors
    /// There is none.
    pub async fn connect(self, sockets: &Rc<Sockets>, mut turn: Turn) -> Result<Box<Connection>, Unconnected> {
        let member = loop {
            match turn {
                Turn::Reuse(connection) => return Ok(connection),
                Turn::Open(member) => break member,
                Turn::Wait(waiting) => turn = waiting.turn().await.ok_or(NO_MEMORY)?,
            }
        };
        let slot = sockets.slot()?;
        let plain = match self.target {
            Target::Unix(path) => Plain::Unix(UnixStream::connect(path).await?),
            Target::Addresses(addresses) => first_of(addresses, self.from).await?,
            Target::Name(name, port) => first_of(sockets.look_up(name, port).await?, self.from).await?,
        };
        Ok(Box::new(Connection::new(Transport::Plain(plain), slot, member, &sockets.held)))
    }
}

/// A connection to the first of the addresses that takes one.
async fn first_of(addresses: Vec<SocketAddr>, from: Option<SocketAddr>) -> Result<Plain, Unconnected> {
    let mut failure = Refusal::Borrowed("no address").into();
    for address in addresses {
        match connect(address, from).await {
            Ok(stream) => {
                // Scripts write whole messages; waiting for more to send with them only delays the answer.
                let _ = stream.set_nodelay(true);
                return Ok(Plain::Tcp(stream));
            }
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

async fn connect(to: SocketAddr, from: Option<SocketAddr>) -> io::Result<TcpStream> {
    let Some(from) = from else { return TcpStream::connect(to).await };
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if from.port() != 0 {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(from)?;
    socket.connect(to).await
}
