//! Services behind the gateway under test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::gateway::PATIENCE;

/// A request as an upstream got it.
#[derive(Debug, Clone, Default)]
pub struct Received {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Received {
    /// Value of a header field, by lower-case name; several are joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect();
        if values.is_empty() { None } else { Some(values.join(", ")) }
    }
}

type Answer = dyn Fn(&Received, &mut TcpStream) -> bool + Send + Sync;

/// What a test holds answers back by.
pub struct Hold {
    arrivals: Receiver<()>,
    go: Sender<()>,
}

impl Hold {
    /// Waits until another answer has come to where it waits.
    pub fn arrived(&self) {
        self.arrivals.recv_timeout(PATIENCE).expect("the upstream has the request");
    }

    /// Lets one answer go on: one that waits, or the next one that would.
    pub fn release(&self) {
        self.go.send(()).expect("the upstream is there");
    }
}

/// What a test holds answers back by, and what they call to wait. They go on when the test lets them, or is over.
pub fn hold() -> (Hold, impl Fn() + Send + Sync + 'static) {
    let (arrived, arrivals) = channel();
    let (go, released) = channel();
    let released = Mutex::new(released);
    let wait = move || {
        let _ = arrived.send(());
        let _ = released.lock().expect("not poisoned").recv();
    };
    (Hold { arrivals, go }, wait)
}

/// A small HTTP/1.1 server whose every answer a test decides. It remembers what it received.
pub struct Upstream {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// Answers 200 with `text` to everything.
    pub fn saying(text: &'static str) -> Self {
        Self::new(move |_, stream| say(stream, text))
    }

    /// As [`Self::saying`], once the test lets each answer go.
    pub fn held(text: &'static str) -> (Self, Hold) {
        let (hold, wait) = hold();
        let upstream = Self::new(move |_, stream| {
            wait();
            say(stream, text)
        });
        (upstream, hold)
    }

    /// Answers with whatever `answer` writes; false closes the connection.
    pub fn new(answer: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a free port"), answer)
    }

    /// As [`Self::new`], on a listener of the test's.
    pub fn on(
        listener: TcpListener,
        answer: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("bound");
        let received = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let answer: Arc<Answer> = Arc::new(answer);
        let (log, count) = (Arc::clone(&received), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || serve(stream, &*answer, &log));
            }
        });
        Self { address, received, connections }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("not poisoned").clone()
    }

    /// The last request received.
    pub fn last(&self) -> Received {
        self.received().pop().expect("the upstream got a request")
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// `[upstreams.NAME]` with this one endpoint.
    pub fn config(&self, name: &str) -> String {
        format!("[upstreams.{name}]\nendpoints = [\"{}\"]\n", self.address)
    }
}

fn say(stream: &mut TcpStream, text: &str) -> bool {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", text.len());
    stream.write_all(format!("{head}{text}").as_bytes()).is_ok()
}

fn serve(stream: TcpStream, answer: &Answer, log: &Mutex<Vec<Received>>) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader, &mut writer) {
        log.lock().expect("not poisoned").push(request.clone());
        if !answer(&request, &mut writer) {
            let _ = writer.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> Option<Received> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut parts = line.split_whitespace();
    let mut request = Received {
        method: parts.next()?.to_owned(),
        target: parts.next()?.to_owned(),
        headers: read_fields(reader)?,
        body: Vec::new(),
        trailers: Vec::new(),
    };
    if request.header("expect").is_some() {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    if request.header("transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim().split(';').next()?, 16).ok()?;
            let start = request.body.len();
            request.body.resize(start + size, 0);
            reader.read_exact(&mut request.body[start..]).ok()?;
            if size == 0 {
                request.trailers = read_fields(reader)?;
                break;
            }
            reader.read_line(&mut String::new()).ok()?;
        }
    } else if let Some(length) = request.header("content-length") {
        request.body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut request.body).ok()?;
    }
    Some(request)
}

fn read_fields(reader: &mut BufReader<TcpStream>) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => fields.push((name.to_owned(), value.trim().to_owned())),
            None => return Some(fields),
        }
    }
}
