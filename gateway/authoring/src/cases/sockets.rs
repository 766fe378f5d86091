//! What stands in for the servers that a script's sockets reach: conversations from the file, word for word.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;

use super::content::Content;
use super::file::Source;
use crate::CommandError;

/// Connections of one server at once.
const CONNECTIONS_LIMIT: usize = 256;
/// How long the end of a run waits for what a script has sent and nobody has read yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// A part of a conversation: what the script sends, and what the server says to that.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    pub(crate) receive: Content,
    pub(crate) send: Option<Content>,
}

/// The conversations of a case: for each server, what is to be received and what is said then.
pub(crate) type Script = BTreeMap<String, VecDeque<(Bytes, Bytes)>>;

/// Reads the files that a conversation names.
pub(crate) fn script<'a>(
    servers: impl IntoIterator<Item = (&'a String, &'a Vec<Exchange>)>,
    source: &Source,
) -> Result<Script, CommandError> {
    let folder = source.folder();
    let mut script = Script::new();
    for (name, exchanges) in servers {
        let mut parts = VecDeque::new();
        for exchange in exchanges {
            let receive = exchange.receive.load(&folder)?;
            if receive.is_empty() {
                let message = format!("sockets.{name}: expected `receive` to be what the script sends, got nothing");
                return Err(CommandError::Usage(message));
            }
            parts.push_back((receive, exchange.send.as_ref().map_or(Ok(Bytes::new()), |send| send.load(&folder))?));
        }
        script.insert(name.clone(), parts);
    }
    Ok(script)
}

#[derive(Debug, Default)]
struct Run {
    left: Script,
    complaints: Vec<String>,
    connections: usize,
}

/// The servers of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Servers {
    run: Arc<Mutex<Run>>,
    pub(crate) addresses: BTreeMap<String, SocketAddr>,
}

impl Servers {
    /// # Errors
    /// There can be no listener.
    pub(crate) fn begin<'a>(names: impl Iterator<Item = &'a String>) -> Result<Self, CommandError> {
        let mut servers = Self::default();
        for name in names {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(CommandError::Temporary)?;
            servers.addresses.insert(name.clone(), listener.local_addr().map_err(CommandError::Temporary)?);
            let (run, name) = (Arc::clone(&servers.run), name.clone());
            // It ends with the process: listening costs nothing.
            std::thread::spawn(move || listen(&listener, &run, &name));
        }
        Ok(servers)
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        lock(&self.run)
    }

    /// Begins a run.
    pub(crate) fn expect(&self, script: Script) {
        let mut run = self.run();
        run.left = script;
        run.complaints.clear();
    }

    /// Whether nothing of the run's conversations is left, or something went wrong.
    pub(crate) fn is_over(&self) -> bool {
        let run = self.run();
        !run.complaints.is_empty() || run.left.values().all(VecDeque::is_empty)
    }

    /// Waits until the conversations are over, but not for long; what went wrong.
    pub(crate) async fn end(&self) -> Vec<String> {
        let since = Instant::now();
        while !self.is_over() && since.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut run = self.run();
        let mut complaints = std::mem::take(&mut run.complaints);
        let went_wrong = !complaints.is_empty();
        for (name, left) in &mut run.left {
            // What else was to come does not matter then.
            if let (Some((receive, _)), false) = (left.front(), went_wrong) {
                complaints.push(format!("{name}: the script never sends \"{}\"", receive.escape_ascii()));
            }
            left.clear();
        }
        complaints
    }
}

fn lock(run: &Mutex<Run>) -> MutexGuard<'_, Run> {
    run.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(listener: &TcpListener, run: &Arc<Mutex<Run>>, name: &str) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        {
            let mut run = lock(run);
            if run.connections >= CONNECTIONS_LIMIT {
                continue;
            }
            run.connections += 1;
        }
        let (run, name) = (Arc::clone(run), name.to_owned());
        std::thread::spawn(move || {
            // A connection that breaks is the script's to notice.
            let _ = talk(stream, &run, &name);
            lock(&run).connections -= 1;
        });
    }
}

/// Answers what comes as the current run has it, until something else comes or the script has gone.
fn talk(mut stream: TcpStream, run: &Mutex<Run>, name: &str) -> std::io::Result<()> {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer)?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { return Ok(()) };
        received.extend_from_slice(piece);
        loop {
            let send = {
                let mut run = lock(run);
                let expected = run.left.get(name).and_then(VecDeque::front).map(|(receive, _)| receive.clone());
                let Some(expected) = expected.filter(|expected| is_beginning(expected, &received)) else {
                    if received.is_empty() {
                        break;
                    }
                    let left = run.left.get(name).and_then(VecDeque::front);
                    let wanted = left
                        .map_or("nothing more".to_owned(), |(receive, _)| format!("\"{}\"", receive.escape_ascii()));
                    let complaint = format!("{name}: expected {wanted}, got \"{}\"", received.escape_ascii());
                    run.complaints.push(complaint);
                    return Ok(());
                };
                if received.len() < expected.len() {
                    break;
                }
                received.drain(..expected.len());
                run.left.get_mut(name).and_then(VecDeque::pop_front).map(|(_, send)| send).unwrap_or_default()
            };
            stream.write_all(&send)?;
            if received.is_empty() {
                break;
            }
        }
    }
}

/// Whether one of the two begins with the other.
fn is_beginning(expected: &[u8], received: &[u8]) -> bool {
    let common = expected.len().min(received.len());
    expected.get(..common) == received.get(..common)
}
