//! Connections that scripts keep for later, by a name.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::confined::Confined;

use super::{Connection, Sockets};

/// How often idle connections are looked through for those that the peer has closed or whose time is over.
const SWEEP: Duration = Duration::from_secs(1);

/// What a script calls a pool, or where its connections go to.
pub(crate) type Name = Rc<[u8]>;

/// What a script asks of a pool when it connects.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Makes a pool of this size if there is none.
    pub size: Option<usize>,
    /// No more connections than the size, in use or idle; so many may wait for one.
    pub backlog: Option<usize>,
}

struct Idle {
    connection: Box<Connection>,
    until: Option<Instant>,
    since: Instant,
}

/// What one who waits gets.
enum Grant {
    Idle(Box<Connection>),
    Place(Member),
}

struct Pool {
    size: usize,
    backlog: Option<usize>,
    /// In use and idle.
    connections: usize,
    /// The one that was used last is in front.
    idle: VecDeque<Idle>,
    waiting: VecDeque<oneshot::Sender<Grant>>,
}

/// The pools of a VM. There are no more than it has sockets: an empty one goes.
#[derive(Default)]
pub(crate) struct Pools {
    list: Rc<RefCell<HashMap<Name, Pool>>>,
    sweeping: Cell<bool>,
}

/// A place in a pool.
pub(crate) struct Member {
    list: Weak<RefCell<HashMap<Name, Pool>>>,
    name: Name,
}

impl Drop for Member {
    fn drop(&mut self) {
        let Some(list) = self.list.upgrade() else { return };
        let waiting = {
            let mut list = list.borrow_mut();
            let Some(pool) = list.get_mut(&self.name) else { return };
            match pool.waiting.pop_front() {
                Some(waiting) => waiting,
                None => {
                    pool.connections = pool.connections.saturating_sub(1);
                    if pool.connections == 0 {
                        list.remove(&self.name);
                    }
                    return;
                }
            }
        };
        // The place goes on to who waits longest; if that one has gone, this runs again.
        drop(waiting.send(Grant::Place(Self { list: self.list.clone(), name: Rc::clone(&self.name) })));
    }
}

/// What connecting has to do.
pub(crate) enum Turn {
    Reuse(Box<Connection>),
    /// A new connection, which belongs to a pool if there is one.
    Open(Option<Member>),
    Wait(Waiting),
}

pub(crate) struct Waiting(oneshot::Receiver<Grant>);

impl Waiting {
    pub async fn turn(self) -> Option<Turn> {
        Some(match self.0.await.ok()? {
            Grant::Idle(connection) => Turn::Reuse(connection),
            Grant::Place(member) => Turn::Open(Some(member)),
        })
    }
}

impl Pools {
    /// What somebody who connects has to do; none: too many wait already.
    pub fn turn(&self, name: &[u8], options: Options) -> Option<Turn> {
        if let Some(connection) = self.take(name) {
            return Some(Turn::Reuse(connection));
        }
        let mut list = self.list.borrow_mut();
        let new = options.size.map(|size| Pool::new(size, options.backlog));
        let Some(name) = known_or_new(&mut list, name, new) else { return Some(Turn::Open(None)) };
        let pool = list.get_mut(&name)?;
        if let Some(backlog) = pool.backlog.filter(|_| pool.connections >= pool.size) {
            pool.waiting.retain(|waiting| !waiting.is_closed());
            if pool.waiting.len() >= backlog {
                return None;
            }
            let (sender, receiver) = oneshot::channel();
            pool.waiting.push_back(sender);
            return Some(Turn::Wait(Waiting(receiver)));
        }
        pool.connections += 1;
        Some(Turn::Open(Some(Member { list: Rc::downgrade(&self.list), name })))
    }

    /// An idle connection that is as it should be.
    pub fn take(&self, name: &[u8]) -> Option<Box<Connection>> {
        loop {
            let idle = self.list.borrow_mut().get_mut(name)?.idle.pop_front()?;
            let mut connection = idle.connection;
            if idle.until.is_none_or(|until| until > Instant::now()) && connection.is_quiet() {
                connection.reused = connection.reused.saturating_add(1);
                return Some(connection);
            }
        }
    }

    /// Keeps a connection, or hands it to somebody who waits.
    pub fn keep(
        &self,
        sockets: &Rc<Sockets>,
        name: &[u8],
        size: usize,
        timeout: Duration,
        mut connection: Box<Connection>,
    ) {
        let own = connection.member.as_ref().is_some_and(|member| *member.name == *name);
        let closed = {
            let mut list = self.list.borrow_mut();
            let known = if own { None } else { known_or_new(&mut list, name, Some(Pool::new(size, None))) };
            let Some(pool) = list.get_mut(name) else { return };
            let former = known.and_then(|name| {
                pool.connections += 1;
                connection.member.replace(Member { list: Rc::downgrade(&self.list), name })
            });
            while let Some(waiting) = pool.waiting.pop_front() {
                if !waiting.is_closed() {
                    connection.reused = connection.reused.saturating_add(1);
                    let refused = waiting.send(Grant::Idle(connection));
                    drop(list);
                    drop((refused, former));
                    return;
                }
            }
            let oldest = if pool.idle.len() >= pool.size { pool.idle.pop_back() } else { None };
            let since = Instant::now();
            // A time beyond what the clock can count is no limit.
            let until = (!timeout.is_zero()).then(|| since.checked_add(timeout)).flatten();
            pool.idle.push_front(Idle { connection, until, since });
            (oldest, former)
        };
        drop(closed);
        self.begin_sweeping(sockets);
    }

    /// Closes the connection that has been idle for longest.
    pub fn drop_oldest(&self) {
        let oldest = {
            let mut list = self.list.borrow_mut();
            let oldest = list.values_mut().filter(|pool| !pool.idle.is_empty());
            oldest.min_by_key(|pool| pool.idle.back().map(|idle| idle.since)).and_then(|pool| pool.idle.pop_back())
        };
        drop(oldest);
    }

    fn begin_sweeping(&self, sockets: &Rc<Sockets>) {
        if self.sweeping.replace(true) {
            return;
        }
        let sockets = Rc::downgrade(sockets);
        tokio::spawn(Confined::new(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(sockets) = sockets.upgrade() else { return };
                let everything = sockets.is_over();
                if !sockets.pools.sweep(everything) {
                    sockets.pools.sweeping.set(false);
                    return;
                }
            }
        }));
    }

    /// Whether idle connections are left.
    fn sweep(&self, everything: bool) -> bool {
        let now = Instant::now();
        let mut closed = Vec::new();
        let mut left = false;
        for pool in self.list.borrow_mut().values_mut() {
            for mut idle in std::mem::take(&mut pool.idle) {
                let in_time = idle.until.is_none_or(|until| until > now);
                if !everything && in_time && idle.connection.is_quiet() {
                    left = true;
                    pool.idle.push_back(idle);
                } else {
                    closed.push(idle);
                }
            }
        }
        drop(closed);
        left
    }
}

/// The name as the list has it, of a pool that is there, or else of the new one; none: there is neither.
fn known_or_new(list: &mut HashMap<Name, Pool>, name: &[u8], new: Option<Pool>) -> Option<Name> {
    if let Some((known, _)) = list.get_key_value(name) {
        return Some(Rc::clone(known));
    }
    let name: Name = Rc::from(name);
    list.insert(Rc::clone(&name), new?);
    Some(name)
}

impl Pool {
    fn new(size: usize, backlog: Option<usize>) -> Self {
        Self { size, backlog, connections: 0, idle: VecDeque::new(), waiting: VecDeque::new() }
    }
}
