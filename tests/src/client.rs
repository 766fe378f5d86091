//! A client that does exactly what it is told, malformed or not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::gateway::PATIENCE;

/// A response as it came.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Trailer fields of a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// Value of a header field, by lower-case name; several are joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect();
        if values.is_empty() { None } else { Some(values.join(", ")) }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// Code of the gateway's error envelope.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A connection to a server.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_write_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self { stream: BufReader::new(stream) }
    }

    /// Sends bytes as they are. That the other side has closed is seen when reading.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref());
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        let _ = self.stream.get_mut().shutdown(Shutdown::Write);
    }

    pub fn stream(&mut self) -> &mut BufReader<TcpStream> {
        &mut self.stream
    }

    /// Whether the other side has closed, without sending anything more.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(n) if n > 0 => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }

    fn fields(&mut self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while let Some(line) = self.line().filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').expect("a field line");
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        fields
    }

    /// The next response's head, interim ones included; none: closed before it.
    pub fn head(&mut self) -> Option<Response> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        Some(Response { status, headers: self.fields(), body: Vec::new(), trailers: Vec::new() })
    }

    /// The next final response to a request with this method; none: closed before its head.
    pub fn response_to(&mut self, method: &str) -> Option<Response> {
        let mut response = self.head()?;
        while (100..200).contains(&response.status) && response.status != 101 {
            response = self.head()?;
        }
        if method == "HEAD" || matches!(response.status, 101 | 204 | 304) {
            return Some(response);
        }
        if response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            loop {
                let size = self.line()?;
                let size = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16).expect("a chunk size");
                if size == 0 {
                    response.trailers = self.fields();
                    break;
                }
                let start = response.body.len();
                response.body.resize(start + size, 0);
                self.stream.read_exact(&mut response.body[start..]).ok()?;
                self.line();
            }
        } else if let Some(length) = response.header("content-length") {
            response.body = vec![0; length.parse().expect("a length")];
            self.stream.read_exact(&mut response.body).ok()?;
        } else {
            let _ = self.stream.read_to_end(&mut response.body);
        }
        Some(response)
    }

    pub fn response(&mut self) -> Option<Response> {
        self.response_to("GET")
    }
}

/// Sends a request on a new connection and reads the response. A body without fields that frame it gets its length.
pub fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let mut connection = Connection::open(address);
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str("host: test\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let framing = ["content-length", "transfer-encoding"];
    if !body.is_empty() && !headers.iter().any(|(name, _)| framing.contains(&name.to_ascii_lowercase().as_str())) {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("connection: close\r\n\r\n");
    connection.send(head);
    connection.send(body);
    connection.response_to(method).expect("a response")
}

pub fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response {
    request(address, "GET", path, headers, b"")
}

/// Sends bytes as they are on a new connection and reads what comes as one response; none: closed without one.
pub fn raw(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<Response> {
    let mut connection = Connection::open(address);
    connection.send(bytes);
    connection.response()
}
