//! The demo upstream: an HTTP/1.1 server that answers each request with what it received, as JSON. It shows what the
//! gateway passes on, such as the headers that a plugin added or removed.

use std::io::{self, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::failure::Failure;

mod exchange;

/// More than the connections that one gateway keeps to one endpoint under a load test.
const CONNECTIONS_LIMIT: usize = 1024;

/// Longer than the gateway keeps an unused connection (60 s by default), so that it is the gateway that closes it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// Listens on an address and serves until the process ends.
pub fn start(address: SocketAddr) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => Failure::UpstreamTaken { address },
        _ => Failure::io(format!("listen on {address}"))(error),
    })?;
    let address = listener.local_addr().map_err(Failure::io("the demo upstream's address"))?;
    thread::spawn(move || accept(&listener, address));
    Ok(address)
}

fn accept(listener: &TcpListener, address: SocketAddr) {
    let open = Arc::new(AtomicUsize::new(0));
    for connection in listener.incoming().flatten() {
        let slot = Slot::take(&open);
        if open.load(Ordering::Relaxed) > CONNECTIONS_LIMIT {
            continue;
        }
        thread::spawn(move || {
            let _slot = slot;
            // A connection that breaks is the gateway's to notice.
            let _ = serve(&connection, address);
        });
    }
}

/// One of the connections that count against the limit.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serve(connection: &TcpStream, address: SocketAddr) -> io::Result<()> {
    connection.set_read_timeout(Some(IDLE_TIMEOUT))?;
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection);
    while exchange::answer(&mut reader, &mut { connection }, address)? {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn talk(requests: &str) -> String {
        let address = start("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(requests.as_bytes()).unwrap();
        let mut answers = String::new();
        connection.read_to_string(&mut answers).unwrap();
        answers
    }

    #[test]
    fn a_connection_is_kept_alive_until_the_client_asks_to_close_it() {
        let answers = talk("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
        assert!(answers.contains(r#""path": "/1""#) && answers.contains(r#""path": "/2""#), "{answers}");
    }

    #[test]
    fn an_address_that_is_taken_is_named_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let failure = start(address).unwrap_err().to_string();
        assert!(failure.contains(&address.to_string()) && failure.contains("--no-demo"), "{failure}");
    }
}
