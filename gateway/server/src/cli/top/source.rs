//! Where the figures come from: `GET /metrics` of an admin listener.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::exposition::{Exposition, ParseError};

/// For all of one reading: the gateway answers from memory, so one that takes longer does not answer at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest head of an answer; the gateway's has some 200 bytes.
const HEAD_LIMIT: usize = 16 * 1024;
/// Longest body: that of some ten thousand stages, at 6 KiB for each.
const BODY_LIMIT: usize = 64 * 1024 * 1024;
/// Every gateway has this one; what answers without it is something else.
const MARK: &str = "witgate_generation";

/// An admin listener's address: host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected HOST:PORT, such as 127.0.0.1:9901: the `address` of `[admin]`".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        // A bare IPv6 address has colons of its own: its last group is no port.
        let bare = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        let odd = |c: char| c.is_control() || c.is_whitespace() || "/@?#".contains(c);
        if host.is_empty() || bare || host.contains(odd) || port.parse::<u16>().is_err() {
            return Err(expected());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {problem}")]
pub struct ReadError {
    address: Address,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("the name cannot be resolved ({0}); write the `address` of `[admin]`")]
    Name(io::Error),
    #[error(
        "nobody answers ({0}); start the gateway, or name its admin listener: `--admin` takes `address` of `[admin]`"
    )]
    Connect(io::Error),
    #[error("no whole answer to GET /metrics ({0}); {OTHER}")]
    Exchange(io::Error),
    #[error("the answer to GET /metrics did not come within {} seconds; {OTHER}", PATIENCE.as_secs())]
    Late,
    #[error("what answers does not speak HTTP; {OTHER}")]
    NotHttp,
    #[error("GET /metrics was answered with status {0}, 200 was expected; {OTHER}")]
    Status(u16),
    #[error("the answer to GET /metrics has {0}, of which at most {1} bytes are read; {OTHER}")]
    TooLarge(&'static str, usize),
    #[error("the answer to GET /metrics is not in UTF-8; {OTHER}")]
    NotText,
    #[error("the answer to GET /metrics: {0}; {OTHER}")]
    Malformed(#[from] ParseError),
    #[error("the answer to GET /metrics has no `{MARK}`, so it is no gateway's; {OTHER}")]
    NotGateway,
}

const OTHER: &str = "`--admin` takes the `address` of `[admin]`, not that of a listener for clients";

/// The metrics at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    pub at: Instant,
    pub metrics: Exposition,
}

/// Asks for the metrics. Blocks for at most [`PATIENCE`], and for as long as resolving a name takes.
///
/// # Errors
/// Nobody answers, or what answers is not the admin listener of a gateway.
pub fn read(address: &Address) -> Result<Reading, ReadError> {
    try_read(address).map_err(|problem| ReadError { address: address.clone(), problem })
}

fn try_read(address: &Address) -> Result<Reading, Problem> {
    let candidates: Vec<SocketAddr> = address.0.to_socket_addrs().map_err(Problem::Name)?.collect();
    let end = Instant::now() + PATIENCE;
    let stream = connect(&candidates, end)?;
    let body = exchange(stream, address, end)?;
    let at = Instant::now();
    let metrics = Exposition::parse(&String::from_utf8(body).map_err(|_| Problem::NotText)?)?;
    metrics.plain(MARK).ok_or(Problem::NotGateway)?;
    Ok(Reading { at, metrics })
}

/// What is left of the time; never zero, which sockets take for no limit.
fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn connect(candidates: &[SocketAddr], end: Instant) -> Result<TcpStream, Problem> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for candidate in candidates {
        match TcpStream::connect_timeout(candidate, left(end)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Problem::Connect(last))
}

/// Sends the request and reads the answer's body.
fn exchange(mut stream: TcpStream, address: &Address, end: Instant) -> Result<Vec<u8>, Problem> {
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.set_write_timeout(Some(left(end))).map_err(Problem::Exchange)?;
    stream.write_all(request.as_bytes()).map_err(Problem::Exchange)?;
    let mut taken = Vec::new();
    let length = loop {
        if let Some(at) = memchr::memmem::find(&taken, b"\r\n\r\n") {
            let body = taken.split_off(at + 4);
            let head = Head::parse(&taken)?;
            taken = body;
            break head.length()?;
        }
        if taken.len() > HEAD_LIMIT {
            return Err(Problem::TooLarge("a head without end", HEAD_LIMIT));
        }
        if more(&mut stream, &mut taken, end)? == 0 {
            return Err(if taken.starts_with(b"HTTP/1.") { cut() } else { Problem::NotHttp });
        }
    };
    while taken.len() < length {
        if more(&mut stream, &mut taken, end)? == 0 {
            return Err(cut());
        }
    }
    taken.truncate(length);
    Ok(taken)
}

fn cut() -> Problem {
    Problem::Exchange(io::Error::from(io::ErrorKind::UnexpectedEof))
}

/// Reads once; 0 is the end of the stream.
fn more(stream: &mut TcpStream, into: &mut Vec<u8>, end: Instant) -> Result<usize, Problem> {
    if Instant::now() >= end {
        return Err(Problem::Late);
    }
    stream.set_read_timeout(Some(left(end))).map_err(Problem::Exchange)?;
    let mut piece = [0; 16 * 1024];
    match stream.read(&mut piece) {
        Ok(count) => {
            into.extend(piece.iter().take(count));
            Ok(count)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => more(stream, into, end),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Err(Problem::Late),
        Err(error) => Err(Problem::Exchange(error)),
    }
}

/// What matters of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Option<usize>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(bytes).map_err(|_| Problem::NotHttp)?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok());
        let fields = lines.filter_map(|line| line.split_once(':'));
        let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = lengths.next().and_then(|(_, value)| value.trim().parse().ok());
        Ok(Self { status: status.ok_or(Problem::NotHttp)?, length })
    }

    /// Length of the body of metrics. The gateway always says it.
    fn length(&self) -> Result<usize, Problem> {
        match (self.status, self.length) {
            (200, Some(length)) if length <= BODY_LIMIT => Ok(length),
            (200, Some(_)) => Err(Problem::TooLarge("a larger body", BODY_LIMIT)),
            (200, None) => Err(Problem::NotGateway),
            (status, _) => Err(Problem::Status(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for good in ["127.0.0.1:9901", "[::1]:9901", "localhost:1"] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for bad in ["", "9901", ":9901", "localhost", "localhost:", "a:70000", "http://127.0.0.1:9901", "::1", "a b:1"]
        {
            assert!(bad.parse::<Address>().is_err_and(|error| error.contains("HOST:PORT")), "{bad}");
        }
    }

    /// Reads from somebody who answers with these bytes.
    fn read_from(answer: &'static [u8]) -> Result<Reading, ReadError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            // Whoever has read enough leaves.
            let _ = stream.write_all(answer);
        });
        let reading = read(&address);
        server.join().unwrap();
        reading
    }

    #[test]
    fn an_answer_is_read_to_its_length() {
        let reading = read_from(b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\nwitgate_generation 3\nrest").unwrap();
        assert_eq!(reading.metrics.plain(MARK), Some(3.0));
    }

    #[test]
    fn what_is_not_an_admin_listener_is_told_so() {
        for (answer, expected) in [
            (&b"SSH-2.0-OpenSSH\r\n"[..], "does not speak HTTP"),
            (b"SSH\r\n\r\n", "does not speak HTTP"),
            (b"", "does not speak HTTP"),
            (b"HTTP/1.1 200 OK\r\n", "no whole answer"),
            (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "status 404"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na 1\n", "no whole answer"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na 1\n", "no `witgate_generation`"),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "no gateway"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>", "line 1"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", "at most 67108864 bytes"),
        ] {
            let error = read_from(answer).expect_err("no metrics").to_string();
            let told = error.starts_with("127.0.0.1:") && error.contains(expected) && error.contains("`--admin`");
            assert!(told, "{}: {error}", String::from_utf8_lossy(answer));
        }
    }
}
