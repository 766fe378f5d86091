//! Processes that a replay starts, and ends whatever happens.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::text::{Text, from_bytes};

/// How long a server may take to listen: one of 50 ms on a machine that does other things as well.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// How long it may take to end once it was told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// A process of which nothing stays when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`, whose output goes to the file at `output`.
    pub fn start(command: &mut Command, output: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(output)?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Self { child })
    }

    /// Waits until something listens on `port`; gives the exit status of a process that has ended instead.
    pub fn listens(&mut self, port: u16) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + START_TIMEOUT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_ok() {
                return Ok(None);
            }
            sleep(Duration::from_millis(2));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "it does not listen"))
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self, signal: &str) {
        if self.has_ended() {
            return;
        }
        // kill(1) instead of kill(2): sending a signal is the one thing that would need unsafe code here.
        let _ = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).stderr(Stdio::null()).status();
        let end = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < end && !self.has_ended() {
            sleep(Duration::from_millis(2));
        }
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A file that grows, read piece by piece.
#[derive(Debug)]
pub struct Growing {
    path: PathBuf,
    read: u64,
}

/// Of a log, in one go: the longest that a case writes has some megabytes, at the level debug.
const PIECE_LIMIT: u64 = 256 << 20;

impl Growing {
    pub fn new(path: PathBuf) -> Self {
        Self { path, read: 0 }
    }

    /// What has been added since the last [`Self::pass`].
    pub fn new_text(&self) -> Text {
        let bytes = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.read))?;
            let mut bytes = Vec::new();
            file.take(PIECE_LIMIT).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        from_bytes(&bytes().unwrap_or_default())
    }

    /// All of it.
    pub fn whole(&self) -> Text {
        Self { path: self.path.clone(), read: 0 }.new_text()
    }

    /// Passes over what is there now.
    pub fn pass(&mut self) {
        self.read = std::fs::metadata(&self.path).map_or(self.read, |metadata| metadata.len());
    }
}

/// Ports of the loopback interface for the servers of one worker.
///
/// From a range of its own, below what systems give to outgoing connections: a port that the system chose could be another's
/// before the server that it is for has bound it.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    next: u16,
}

const PORTS_BEGIN: u16 = 12_000;
/// Sixteen workers have room below 32768.
const PORTS_OF_WORKER: u16 = 1_200;

impl Ports {
    /// Those of the worker of that number, from 0.
    pub fn of_worker(number: usize) -> Self {
        let number = u16::try_from(number % 16).unwrap_or(0);
        let first = PORTS_BEGIN + number * PORTS_OF_WORKER;
        Self { first, next: 0 }
    }

    /// Ports that nothing listens on now, other ones than in the calls before.
    ///
    /// # Errors
    /// All of the range are taken.
    pub fn take(&mut self, count: usize) -> io::Result<Vec<u16>> {
        let mut free = Vec::with_capacity(count);
        for _ in 0..PORTS_OF_WORKER {
            if free.len() == count {
                return Ok(free);
            }
            let port = self.first + self.next;
            self.next = (self.next + 1) % PORTS_OF_WORKER;
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                free.push(port);
            }
        }
        Err(io::ErrorKind::AddrNotAvailable.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_have_ports_of_their_own_and_take_others_each_time() {
        let (mut one, mut other) = (Ports::of_worker(0), Ports::of_worker(1));
        let (first, second, others) = (one.take(8).unwrap(), one.take(8).unwrap(), other.take(8).unwrap());
        assert!(
            first.iter().all(|port| !second.contains(port) && !others.contains(port)),
            "{first:?} {second:?} {others:?}"
        );
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, second[7] + 1));
        let next = one.take(1).unwrap();
        assert!(taken.is_err() || next[0] != second[7] + 1, "{next:?}");
    }
}
