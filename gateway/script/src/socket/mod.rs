//! Sockets of scripts: what they are connected to, what they read and write, and the idle ones that are kept.
//!
//! Everything here belongs to one VM and so to one thread. A script knows a socket by a number; the socket is gone when the
//! hook or timer that connected it ends, whatever the script did.

mod address;
mod inbox;
mod open;
mod pool;
pub(crate) mod tls;
mod transport;
mod udp;

use std::borrow::Cow;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::future::Future as _;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, ReadBuf};

use crate::app::App;
use crate::request::Request;

pub(crate) use address::Target;
pub(crate) use inbox::{Held, Reading, Share, Taken, Until, Want};
pub(crate) use open::{Place, Unconnected};
pub(crate) use pool::{Name as PoolName, Options, Pools, Turn};
use transport::pending_if_blocked;
pub(crate) use transport::{Transport, describe};
pub(crate) use udp::{DATAGRAM_LIMIT, Datagrams, Peer};

/// What a script is told that is not there.
pub(crate) type Refusal = Cow<'static, str>;

/// Times and sizes that lua-nginx-module has settings for, with its defaults, for scripts were written with them in mind.
pub(crate) mod defaults {
    /// Of connecting, sending and reading.
    pub const TIMEOUT_MS: u64 = 60_000;
    /// How long an idle connection is kept.
    pub const KEEPALIVE_MS: u64 = 60_000;
    /// Idle connections of one pool.
    pub const POOL_SIZE: usize = 30;
}

/// Counts an open socket against the limit of its VM.
pub(crate) struct Slot(Rc<Cell<u32>>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// A connection, whoever has it.
pub(crate) struct Connection {
    pub transport: Transport,
    inbox: BytesMut,
    share: Share,
    /// How often it was taken out of a pool.
    pub reused: u32,
    /// The check that its certificate has passed, and for which name.
    pub checked: (tls::Check, Option<Box<str>>),
    // Last: whoever waits for its place in a pool gets it when the connection is closed.
    pub member: Option<pool::Member>,
    _slot: Slot,
}

impl Connection {
    fn new(transport: Transport, slot: Slot, member: Option<pool::Member>, held: &Rc<Held>) -> Self {
        let (inbox, share) = (BytesMut::new(), Share::new(held));
        Self { transport, inbox, share, reused: 0, checked: (tls::Check::Nothing, None), member, _slot: slot }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(..))
    }

    /// Shakes hands; `check`: what the certificate passes by that.
    ///
    /// # Errors
    /// As scripts see it. The connection is closed.
    pub async fn secure(
        self,
        config: Arc<rustls::ClientConfig>,
        name: Option<rustls::pki_types::ServerName<'static>>,
        checked: (tls::Check, Option<Box<str>>),
    ) -> Result<Self, String> {
        let Transport::Plain(plain) = self.transport else { return Ok(self) };
        let stream = tls::shake_hands(plain, config, name).await?;
        Ok(Self { transport: Transport::tls(stream), checked, ..self })
    }

    pub fn has_unread(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Whether nothing has come that nobody has asked for, and the peer is still there, as far as can be told at once.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        match &mut self.transport {
            Transport::Plain(plain) => {
                plain.try_read(&mut &mut byte[..]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Transport::Tls(..) => {
                let mut context = Context::from_waker(Waker::noop());
                self.transport.poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }
}

/// A socket that a script has connected, or is connecting.
pub(crate) struct Socket {
    pub number: u64,
    /// Number of the request that it belongs to.
    pub owner: u64,
    /// The pool that its connection is from, and is kept in unless a script names another.
    pub pool: PoolName,
    pub connection: RefCell<Option<Box<Connection>>>,
    pub connecting: Cell<bool>,
    pub reading: Cell<bool>,
    pub writing: Cell<bool>,
    pub read_closed: Cell<bool>,
    pub write_closed: Cell<bool>,
    /// What is being sent, beyond what the system took at once.
    sending: RefCell<Share>,
    sockets: Rc<Sockets>,
}

/// How a read ended.
pub(crate) enum Read {
    Data(Taken),
    /// Failed, with what there was until then.
    Failed(Refusal, Taken),
}

impl Read {
    /// Whether it took too long.
    pub fn is_late(&self) -> bool {
        matches!(self, Self::Failed(refusal, _) if refusal == "timeout")
    }
}

/// Sets a mark of a socket for as long as an operation takes, however it ends.
pub(crate) struct Busy<F: Fn(&Socket) -> &Cell<bool>>(Rc<Socket>, F);

impl<F: Fn(&Socket) -> &Cell<bool>> Busy<F> {
    pub fn new(socket: &Rc<Socket>, mark: F) -> Self {
        mark(socket).set(true);
        Self(Rc::clone(socket), mark)
    }
}

impl<F: Fn(&Socket) -> &Cell<bool>> Drop for Busy<F> {
    fn drop(&mut self) {
        (self.1)(&self.0).set(false);
    }
}

const CLOSED: Refusal = Cow::Borrowed("closed");
const NO_MEMORY: Refusal = Cow::Borrowed("no memory");

impl Socket {
    /// Reads on, until the read has what it wants or fails. Without a context nobody is woken: it is tried once.
    pub fn poll_read(&self, mut context: Option<&mut Context<'_>>, reading: &mut Reading) -> Poll<Read> {
        let mut connection = self.connection.borrow_mut();
        let Some(connection) = &mut *connection else {
            return Poll::Ready(Read::Failed(CLOSED, Taken::Own(Vec::new())));
        };
        loop {
            if let Some(taken) = reading.take(&mut connection.inbox) {
                return Poll::Ready(Read::Data(taken));
            }
            if self.read_closed.get() {
                return Poll::Ready(Read::Failed(CLOSED, reading.partial(&mut connection.inbox)));
            }
            let refusal = match ready!(connection.fill(context.as_deref_mut(), reading)) {
                Ok(0) if reading.wants_end() => {
                    self.read_closed.set(true);
                    return Poll::Ready(Read::Data(reading.partial(&mut connection.inbox)));
                }
                Ok(0) => CLOSED,
                Ok(_) if connection.share.set(connection.inbox.len() + reading.holds()) => continue,
                Ok(_) => {
                    connection.inbox.clear();
                    self.read_closed.set(true);
                    self.write_closed.set(true);
                    return Poll::Ready(Read::Failed(NO_MEMORY, Taken::Own(Vec::new())));
                }
                Err(error) => Cow::Owned(describe(&error)),
            };
            self.read_closed.set(true);
            return Poll::Ready(Read::Failed(refusal, reading.partial(&mut connection.inbox)));
        }
    }

    /// What a read that takes too long has got.
    pub fn give_up(&self, reading: &mut Reading) -> Taken {
        match &mut *self.connection.borrow_mut() {
            Some(connection) => reading.partial(&mut connection.inbox),
            None => Taken::Own(Vec::new()),
        }
    }

    /// Hands over what a read took, and forgets it.
    pub fn with<T>(&self, taken: Taken, read: impl FnOnce(&[u8]) -> T) -> T {
        let (data, taken) = match taken {
            Taken::Own(bytes) => return read(&bytes),
            Taken::Front { data, taken } => (data, taken),
        };
        let mut connection = self.connection.borrow_mut();
        let Some(connection) = &mut *connection else { return read(&[]) };
        let result = read(connection.inbox.get(..data).unwrap_or_default());
        connection.inbox.advance(taken.min(connection.inbox.len()));
        if connection.inbox.is_empty() && connection.inbox.capacity() > KEPT {
            connection.inbox = BytesMut::new();
        }
        connection.share.set(connection.inbox.len());
        result
    }

    /// Writes on; `sent` counts what has been written of `bytes`. Without a context nobody is woken: it is tried once.
    pub fn poll_send(
        &self,
        mut context: Option<&mut Context<'_>>,
        bytes: &[u8],
        sent: &mut usize,
    ) -> Poll<Result<(), Refusal>> {
        let mut connection = self.connection.borrow_mut();
        let Some(connection) = &mut *connection else { return Poll::Ready(Err(CLOSED)) };
        let failed = loop {
            let rest = bytes.get(*sent..).unwrap_or_default();
            if rest.is_empty() {
                match ready!(connection.transport.poll_flush(context.as_deref_mut())) {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(error) => break Cow::Owned(describe(&error)),
                }
            }
            match ready!(connection.transport.poll_write(context.as_deref_mut(), rest)) {
                Ok(0) => break CLOSED,
                Ok(count) => *sent += count,
                Err(error) => break Cow::Owned(describe(&error)),
            }
        };
        self.write_closed.set(true);
        Poll::Ready(Err(failed))
    }

    /// Whether so many bytes may wait to be sent.
    pub fn hold_sending(&self, bytes: usize) -> bool {
        self.sending.borrow_mut().set(bytes)
    }

    pub fn is_closed(&self) -> bool {
        !self.connecting.get()
            && (self.connection.borrow().is_none() || self.read_closed.get() && self.write_closed.get())
    }

    /// Closes it, and forgets it.
    pub fn close(&self) {
        let connection = self.connection.borrow_mut().take();
        let own = self.sockets.live.borrow_mut().remove(self.number);
        drop((connection, own));
    }
}

/// Sockets by their numbers, whose low bits are places that are used again.
#[derive(Default)]
struct Live {
    places: Vec<Option<Rc<Socket>>>,
    free: Vec<usize>,
    serial: u64,
}

/// More places than a VM can have sockets.
const PLACE_BITS: u32 = 20;

impl Live {
    fn place(number: u64) -> usize {
        usize::try_from(number & ((1 << PLACE_BITS) - 1)).unwrap_or(usize::MAX)
    }

    /// A number for a socket, and its place.
    fn next(&mut self) -> u64 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.serial += 1;
        self.serial << PLACE_BITS | u64::try_from(place).unwrap_or(0)
    }

    fn set(&mut self, socket: &Rc<Socket>) {
        if let Some(place) = self.places.get_mut(Self::place(socket.number)) {
            *place = Some(Rc::clone(socket));
        }
    }

    fn get(&self, number: u64) -> Option<&Rc<Socket>> {
        self.places.get(Self::place(number))?.as_ref().filter(|socket| socket.number == number)
    }

    fn remove(&mut self, number: u64) -> Option<Rc<Socket>> {
        let place = Self::place(number);
        let removed = self.places.get_mut(place)?.take_if(|socket| socket.number == number);
        if removed.is_some() {
            self.free.push(place);
        }
        removed
    }
}

/// A buffer that is larger is given back when it is empty.
const KEPT: usize = 64 * 1024;

impl Connection {
    fn fill(&mut self, context: Option<&mut Context<'_>>, reading: &Reading) -> Poll<io::Result<usize>> {
        self.inbox.reserve(reading.room(&self.inbox));
        match (&mut self.transport, context) {
            (Transport::Plain(plain), None) => pending_if_blocked(plain.try_read(&mut self.inbox)),
            (Transport::Plain(plain), Some(context)) => poll_buffer(plain, context, &mut self.inbox),
            (Transport::Tls(stream, both), context) => {
                let waker = both.reads(context);
                poll_buffer(&mut **stream, &mut Context::from_waker(&waker), &mut self.inbox)
            }
        }
    }
}

fn poll_buffer<R: tokio::io::AsyncRead + Unpin>(
    from: &mut R,
    context: &mut Context<'_>,
    into: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    // It reads once, and forgets nothing if it is dropped.
    let read = std::pin::pin!(from.read_buf(into));
    read.poll(context)
}

/// Of so many sockets that a request has connected it is not asked whether they are still open.
const SOCKETS_KNOWN: usize = 16;

/// What a script connected to.
struct Known {
    host: Box<[u8]>,
    port: Option<u16>,
    pool: PoolName,
}

/// What the sockets of one VM share.
pub(crate) struct Sockets {
    pub app: Arc<App>,
    live: RefCell<Live>,
    /// Where a script connected last: it was in reach.
    known: RefCell<Option<Known>>,
    datagrams: RefCell<HashMap<u64, Rc<Datagrams>>>,
    numbers: Cell<u64>,
    open: Rc<Cell<u32>>,
    pub held: Rc<Held>,
    pub pools: Pools,
    /// Whose turn it is among the endpoints of upstreams.
    turn: Cell<usize>,
}

impl Sockets {
    pub fn new(app: &Arc<App>) -> Rc<Self> {
        let limits = &app.spec.limits;
        Rc::new(Self {
            app: Arc::clone(app),
            live: RefCell::default(),
            known: RefCell::default(),
            datagrams: RefCell::default(),
            numbers: Cell::new(0),
            open: Rc::default(),
            held: Held::new(limits.memory, limits.request_memory),
            pools: Pools::default(),
            turn: Cell::new(0),
        })
    }

    pub fn get(&self, number: u64) -> Option<Rc<Socket>> {
        self.live.borrow().get(number).map(Rc::clone)
    }

    pub fn datagrams(&self, number: u64) -> Option<Rc<Datagrams>> {
        self.datagrams.borrow().get(&number).map(Rc::clone)
    }

    /// A number for a socket of datagrams.
    pub fn next_number(&self) -> u64 {
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        number
    }

    /// The pool of the place where a script connected last, if this is it.
    pub fn known(&self, host: &[u8], port: Option<u16>) -> Option<PoolName> {
        let known = self.known.borrow();
        known.as_ref().filter(|known| known.port == port && *known.host == *host).map(|known| Rc::clone(&known.pool))
    }

    /// Remembers what [`Self::target`] has found in reach; the pool of its connections.
    pub fn know(&self, host: &[u8], port: Option<u16>) -> PoolName {
        let mut pool = host.to_vec();
        if let Some(port) = port {
            pool.extend_from_slice(format!(":{port}").as_bytes());
        }
        let pool: PoolName = Rc::from(pool);
        *self.known.borrow_mut() = Some(Known { host: host.into(), port, pool: Rc::clone(&pool) });
        pool
    }

    /// What closes everything that the request connects, made if there is none.
    pub fn guest_of<'a>(self: &Rc<Self>, request: &'a Request) -> RefMut<'a, Guest> {
        let made = || Guest { sockets: Rc::clone(self), owner: request.number, connected: Vec::new() };
        RefMut::map(request.guest.borrow_mut(), |guest| guest.get_or_insert_with(made))
    }

    /// A new socket of a request, which is not connected.
    pub fn add(self: &Rc<Self>, request: &Request, pool: PoolName) -> Rc<Socket> {
        let number = self.live.borrow_mut().next();
        let socket = Rc::new(Socket {
            number,
            owner: request.number,
            pool,
            connection: RefCell::new(None),
            connecting: Cell::new(false),
            reading: Cell::new(false),
            writing: Cell::new(false),
            read_closed: Cell::new(false),
            write_closed: Cell::new(false),
            sending: RefCell::new(Share::new(&self.held)),
            sockets: Rc::clone(self),
        });
        self.live.borrow_mut().set(&socket);
        let mut guest = self.guest_of(request);
        // A timer may connect as long as its VM lives.
        if guest.connected.len() >= SOCKETS_KNOWN && guest.connected.len() == guest.connected.capacity() {
            let live = self.live.borrow();
            guest.connected.retain(|number| live.get(*number).is_some());
        }
        guest.connected.push(number);
        drop(guest);
        socket
    }

    /// A place for one more socket; idle ones make room.
    ///
    /// # Errors
    /// There is none.
    pub fn slot(&self) -> Result<Slot, Refusal> {
        let limit = self.app.spec.limits.sockets;
        if self.open.get() >= limit {
            self.pools.drop_oldest();
        }
        if self.open.get() >= limit {
            return Err(Cow::Owned(format!("too many open sockets: `sockets_limit` is {limit}")));
        }
        self.open.set(self.open.get() + 1);
        self.app.figures.sockets.fetch_add(1, Ordering::Relaxed);
        Ok(Slot(Rc::clone(&self.open)))
    }

    /// Nothing more is kept: the app is no longer in service.
    pub fn is_over(&self) -> bool {
        self.app.is_retired()
    }
}

/// Closes what a request leaves open.
pub(crate) struct Guest {
    sockets: Rc<Sockets>,
    owner: u64,
    connected: Vec<u64>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        for number in &self.connected {
            let socket = self.sockets.live.borrow_mut().remove(*number);
            drop(socket.and_then(|socket| socket.connection.borrow_mut().take()));
        }
        let datagrams = &mut *self.sockets.datagrams.borrow_mut();
        if !datagrams.is_empty() {
            datagrams.retain(|_, socket| socket.owner != self.owner);
        }
    }
}
