//! What the RFCs ask of a gateway: the suites behind docs/http.md. Each decides the bytes on both sides.

mod connections;
mod document;
mod fields;
mod http2_frames;
mod http2_requests;
mod http2_upstreams;
mod messages;
mod own_answers;
mod requests;
mod trailers;
mod upgrades;

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use http::{HeaderMap, Request, Response, Uri};
use witgate_tests::gateway::PATIENCE;
use witgate_tests::{Connection, Gateway, Upstream};

/// A gateway that passes everything on to this endpoint.
fn before(address: SocketAddr) -> Gateway {
    Gateway::with(&in_front_of(address, ""))
}

/// A configuration that passes everything on to this endpoint; `more` describes the upstream.
fn in_front_of(address: SocketAddr, more: &str) -> String {
    format!("[upstreams.u]\nendpoints = [\"{address}\"]\n{more}[[routes]]\nname = \"all\"\nupstream = \"u\"\n")
}

/// A service that answers each path with these bytes, and others with `200`.
fn answering(answers: &'static [(&'static str, &'static str)]) -> Upstream {
    Upstream::new(move |request, stream| {
        let path = request.target.split('?').next();
        let answer = answers.iter().find(|(wanted, _)| Some(*wanted) == path).map(|(_, answer)| *answer);
        stream.write_all(answer.unwrap_or("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").as_bytes()).is_ok()
    })
}

/// Everything that comes back for these bytes, until the gateway closes. The last request has to ask for that.
fn everything(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut connection = Connection::open(address);
    connection.send(bytes);
    let mut all = Vec::new();
    let _ = connection.stream().read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

/// An endpoint that keeps the heads it gets as they came, byte for byte, and answers each with these bytes.
struct Tap {
    address: SocketAddr,
    heads: Receiver<Vec<u8>>,
}

impl Tap {
    fn answering(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (sender, heads) = channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    while let Some(head) = head_of(&mut stream) {
                        if sender.send(head).is_err() || stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, heads }
    }

    fn head(&self) -> Vec<u8> {
        self.heads.recv_timeout(PATIENCE).expect("a request")
    }

    fn text(&self) -> String {
        String::from_utf8(self.head()).expect("text")
    }
}

fn head_of(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(head)
}

/// Runs something that waits.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("not that long") })
}

/// A response over HTTP/2.
struct Http2Response {
    interim: Vec<Response<()>>,
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Http2Response {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Value of a field; several are joined.
    fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// A request for `http://a.example` over HTTP/2.
fn http2(address: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Http2Response {
    let uri: Uri = format!("http://a.example{path}").parse().expect("a URI");
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    block_on(http2_exchange(address, request.body(()).expect("valid"), body, None)).expect("a response")
}

/// Sends a request of HTTP/2 with its body and trailers, and takes everything of its response.
async fn http2_exchange(
    address: SocketAddr,
    request: Request<()>,
    body: &str,
    trailers: Option<HeaderMap>,
) -> Result<Http2Response, h2::Error> {
    let socket = tokio::net::TcpStream::connect(address).await.expect("connected");
    let (client, connection) = h2::client::handshake(socket).await?;
    tokio::spawn(connection);
    let ends = body.is_empty() && trailers.is_none();
    let (mut response, mut sender) = client.ready().await?.send_request(request, ends)?;
    if !ends {
        sender.send_data(body.to_owned().into(), trailers.is_none())?;
    }
    if let Some(trailers) = trailers {
        sender.send_trailers(trailers)?;
    }
    let mut interim = Vec::new();
    while let Some(early) = poll_fn(|context| response.poll_informational(context)).await {
        interim.push(early?);
    }
    let (head, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        let _ = stream.flow_control().release_capacity(piece.len());
        body.extend_from_slice(&piece);
    }
    let trailers = stream.trailers().await?;
    Ok(Http2Response { interim, status: head.status.as_u16(), headers: head.headers, body, trailers })
}
