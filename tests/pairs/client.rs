//! Clients that hold a response to the letter of its protocol, and tell its gate how far they have come.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, SendStream};
use http::HeaderMap;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use crate::dimensions::Client;
use crate::gates::{Fields, Gate, field, patiently};
use crate::request::{HOST, Request};
use crate::upstream::{fields_of, send, significant};

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Where it said that it would.
    Whole,
    /// Before that.
    Cut,
    /// There was none.
    Nothing,
    /// The client did not wait for it.
    Left,
}

#[derive(Debug, Clone)]
pub struct Head {
    pub status: u16,
    pub fields: Fields,
}

/// What a client got.
#[derive(Debug, Clone)]
pub struct Observed {
    pub interims: Vec<Head>,
    pub head: Option<Head>,
    pub body: Vec<u8>,
    pub trailers: Fields,
    pub end: End,
    /// The end of the connection was the end of the body.
    pub until_close: bool,
    /// HTTP/1.1: the response says that the connection ends with it.
    pub closes: bool,
    /// Rules of the protocol that the gateway has broken.
    pub breaches: Vec<String>,
    /// What another request on the same connection got.
    pub probe: Option<u16>,
}

impl Default for Observed {
    fn default() -> Self {
        Self {
            interims: Vec::new(),
            head: None,
            body: Vec::new(),
            trailers: Vec::new(),
            end: End::Nothing,
            until_close: false,
            closes: false,
            breaches: Vec::new(),
            probe: None,
        }
    }
}

/// What a client does besides asking and reading.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conduct {
    /// Sends the second half of its body when its gate is opened, not at once.
    pub pauses: bool,
    /// Sends no second half.
    pub stops: bool,
    /// Asks for something else on the same connection afterwards.
    pub probes: bool,
}

/// Asks, and reads what comes. `leaves`: when the client no longer waits for it.
pub async fn ask(
    client: Client,
    address: SocketAddr,
    (request, probe): (&Request, &Request),
    gate: &Gate,
    conduct: Conduct,
    leaves: impl Future<Output = ()>,
) -> io::Result<Observed> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut observed = Observed::default();
    match client {
        Client::Http2 => ask_http2(stream, (request, probe), gate, conduct, leaves, &mut observed).await,
        _ => ask_http1(client, stream, (request, probe), gate, conduct, leaves, &mut observed).await,
    }
    Ok(observed)
}

/// What is not sent before something has happened: the body that waits for 100, or for the gate.
async fn hold_back(gate: &Gate, conduct: Conduct) {
    if conduct.stops {
        std::future::pending::<()>().await;
    }
    if conduct.pauses {
        gate.until(|state| state.open).await;
    }
}

async fn ask_http1(
    client: Client,
    stream: TcpStream,
    (request, probe): (&Request, &Request),
    gate: &Gate,
    conduct: Conduct,
    leaves: impl Future<Output = ()>,
    observed: &mut Observed,
) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = Http1 { reader: BufReader::new(reader), client, method: request.method };
    let continued = watch::Sender::new(client == Client::Http10 || !request.expects);
    let mut writing = Box::pin(write_http1(&mut writer, client, request, gate, conduct, continued.subscribe()));
    let (mut written, mut read) = (None, false);
    {
        let mut leaves = std::pin::pin!(leaves);
        let mut reading = Box::pin(reader.response(observed, &continued, gate));
        while !read {
            tokio::select! {
                () = &mut reading => read = true,
                // What it means that the other side takes no more is seen when reading.
                result = &mut writing, if written.is_none() => written = Some(result.is_ok()),
                () = &mut leaves => break,
            }
        }
    }
    if !read {
        observed.end = End::Left;
        return;
    }
    if observed.end != End::Whole || observed.until_close {
        return;
    }
    let persists = client == Client::Http11 && !observed.closes;
    if !persists {
        drop(writing);
        return reader.expect_end(observed).await;
    }
    if conduct.stops || !conduct.probes {
        return;
    }
    let written = match written {
        Some(written) => {
            drop(writing);
            written
        }
        None => patiently(writing).await.is_some_and(|result| result.is_ok()),
    };
    if !written {
        observed.breaches.push("the connection goes on, it says, but takes no more of the request".to_owned());
        return;
    }
    let mut second = Observed::default();
    let told = watch::Sender::new(true);
    let asked = write_http1(&mut writer, client, probe, gate, Conduct::default(), told.subscribe()).await;
    reader.method = probe.method;
    let nobody = Gate::default();
    if asked.is_ok() && patiently(reader.response(&mut second, &told, &nobody)).await.is_some() {
        observed.probe = second.head.map(|head| head.status);
        observed.breaches.extend(second.breaches.into_iter().map(|breach| format!("in the next response: {breach}")));
    }
}

async fn write_http1(
    writer: &mut OwnedWriteHalf,
    client: Client,
    request: &Request,
    gate: &Gate,
    conduct: Conduct,
    mut continued: watch::Receiver<bool>,
) -> io::Result<()> {
    let version = if client == Client::Http10 { "1.0" } else { "1.1" };
    let mut head = format!("{} {} HTTP/{version}\r\nhost: {HOST}\r\n", request.method, request.target);
    request.fields.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    if !request.is_counted {
        head.push_str("transfer-encoding: chunked\r\n");
    } else if request.method == "POST" || request.has_body() {
        head.push_str(&format!("content-length: {}\r\n", request.length()));
    }
    head.push_str("\r\n");
    writer.write_all(head.as_bytes()).await?;
    if request.has_body() {
        let _ = continued.wait_for(|continued| *continued).await;
    }
    for (at, half) in request.halves.iter().enumerate() {
        if at > 0 {
            hold_back(gate, conduct).await;
        }
        if !half.is_empty() {
            if !request.is_counted {
                writer.write_all(format!("{:x}\r\n", half.len()).as_bytes()).await?;
            }
            writer.write_all(half).await?;
            if !request.is_counted {
                writer.write_all(b"\r\n").await?;
            }
            gate.tell(|state| state.sent += half.len());
        }
    }
    if !request.is_counted {
        let mut end = "0\r\n".to_owned();
        request.trailers.iter().for_each(|(name, value)| end.push_str(&format!("{name}: {value}\r\n")));
        end.push_str("\r\n");
        writer.write_all(end.as_bytes()).await?;
    }
    Ok(())
}

/// The reading half of a connection.
struct Http1 {
    reader: BufReader<OwnedReadHalf>,
    client: Client,
    /// Of the request whose response comes.
    method: &'static str,
}

/// Why reading ended early: what came is no HTTP, or nothing came.
enum Trouble {
    Breach(String),
    Ended,
}

impl From<io::Error> for Trouble {
    fn from(_: io::Error) -> Self {
        Self::Ended
    }
}

impl Http1 {
    /// Reads interim responses and the final one.
    async fn response(&mut self, observed: &mut Observed, continued: &watch::Sender<bool>, gate: &Gate) {
        let read = self.read(observed, continued, gate).await;
        observed.end = match read {
            Ok(()) => End::Whole,
            Err(_) if observed.head.is_none() => End::Nothing,
            Err(_) => End::Cut,
        };
        if let Err(Trouble::Breach(breach)) = read {
            observed.breaches.push(breach);
        }
    }

    async fn line(&mut self) -> Result<String, Trouble> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Err(Trouble::Ended);
        }
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(Trouble::Breach(format!("a line without end: {:?}", String::from_utf8_lossy(&line)))),
        }
    }

    async fn fields(&mut self) -> Result<Fields, Trouble> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| Trouble::Breach(format!("no field: {line:?}")))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    async fn head(&mut self) -> Result<Head, Trouble> {
        let line = self.line().await?;
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| Trouble::Breach(format!("no status line: {line:?}")))?;
        Ok(Head { status, fields: self.fields().await? })
    }

    async fn read(
        &mut self,
        observed: &mut Observed,
        continued: &watch::Sender<bool>,
        gate: &Gate,
    ) -> Result<(), Trouble> {
        let head = loop {
            let head = self.head().await?;
            if head.status >= 200 {
                break head;
            }
            if self.client == Client::Http10 {
                observed.breaches.push(format!("{} to HTTP/1.0", head.status));
            }
            if head.status == 100 {
                continued.send_replace(true);
            }
            observed.interims.push(head);
        };
        let (status, fields) = (head.status, head.fields.clone());
        observed.head = Some(head);
        let connection = field(&fields, "connection").unwrap_or_default().to_ascii_lowercase();
        observed.closes = connection.split(',').any(|option| option.trim() == "close");
        let (coding, length) = (field(&fields, "transfer-encoding"), field(&fields, "content-length"));
        let mut breach = |what: &str| observed.breaches.push(what.to_owned());
        match (&coding, &length) {
            (Some(_), Some(_)) => breach("both Transfer-Encoding and Content-Length"),
            (Some(coding), None) if coding != "chunked" => breach("a transfer coding other than chunked"),
            (Some(_), None) if self.client == Client::Http10 => breach("chunks to HTTP/1.0"),
            _ => {}
        }
        if status == 204 && (coding.is_some() || length.is_some()) {
            breach("204 with a field that frames a body");
        }
        if self.method == "HEAD" || status == 204 || status == 304 {
            return Ok(());
        }
        if coding.is_some() {
            return self.chunks(observed, gate).await;
        }
        if let Some(length) = length {
            let length = length.parse().map_err(|_| Trouble::Breach(format!("a length of {length:?}")))?;
            return self.bytes(length, observed, gate).await;
        }
        observed.until_close = true;
        while self.piece(usize::MAX, observed, gate).await? > 0 {}
        Ok(())
    }

    async fn chunks(&mut self, observed: &mut Observed, gate: &Gate) -> Result<(), Trouble> {
        loop {
            let line = self.line().await?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
            let size = size.map_err(|_| Trouble::Breach(format!("no size of a chunk: {line:?}")))?;
            if size == 0 {
                observed.trailers = self.fields().await?;
                return Ok(());
            }
            self.bytes(size, observed, gate).await?;
            if !self.line().await?.is_empty() {
                return Err(Trouble::Breach("a chunk that is longer than it says".to_owned()));
            }
        }
    }

    async fn bytes(&mut self, mut count: usize, observed: &mut Observed, gate: &Gate) -> Result<(), Trouble> {
        while count > 0 {
            match self.piece(count, observed, gate).await? {
                0 => return Err(Trouble::Ended),
                read => count -= read,
            }
        }
        Ok(())
    }

    async fn piece(&mut self, limit: usize, observed: &mut Observed, gate: &Gate) -> Result<usize, Trouble> {
        let come = self.reader.fill_buf().await?;
        let taken = come.len().min(limit);
        observed.body.extend_from_slice(&come[..taken]);
        let received = significant(&come[..taken]);
        self.reader.consume(taken);
        gate.tell(|state| state.received += received);
        Ok(taken)
    }

    /// After a response that ends the connection nothing comes, and then its end.
    async fn expect_end(&mut self, observed: &mut Observed) {
        let mut more = Vec::new();
        let breach = match patiently(self.reader.read_to_end(&mut more)).await {
            None => "the connection stays open behind the last response".to_owned(),
            Some(_) if !more.is_empty() => format!("{} bytes behind the response: {:?}", more.len(), start(&more)),
            Some(_) => return,
        };
        observed.breaches.push(breach);
    }
}

/// The first bytes, as text.
pub fn start(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned()
}

async fn ask_http2(
    stream: TcpStream,
    (request, probe): (&Request, &Request),
    gate: &Gate,
    conduct: Conduct,
    leaves: impl Future<Output = ()>,
    observed: &mut Observed,
) {
    let Ok((mut sender, connection)) = h2::client::handshake(stream).await else { return };
    let connection = tokio::spawn(connection);
    let left = {
        let mut asking = Box::pin(stream_http2(&mut sender, request, gate, conduct, observed));
        tokio::select! {
            () = &mut asking => false,
            () = leaves => true,
        }
    };
    if left {
        observed.end = End::Left;
    }
    if conduct.probes || left {
        // The stream has ended, or has been given up: the connection goes on.
        let (mut second, nobody) = (Observed::default(), Gate::default());
        let asked = stream_http2(&mut sender, probe, &nobody, Conduct::default(), &mut second);
        if patiently(asked).await.is_some() {
            observed.probe = second.head.map(|head| head.status);
        }
    }
    drop(sender);
    if connection.is_finished()
        && let Ok(Err(error)) = connection.await
        && let Some(reason) = error.reason().filter(|reason| error.is_library() && *reason != Reason::NO_ERROR)
    {
        observed.breaches.push(format!("not HTTP/2: {reason}"));
    }
}

async fn stream_http2(
    sender: &mut SendRequest<Bytes>,
    request: &Request,
    gate: &Gate,
    conduct: Conduct,
    observed: &mut Observed,
) {
    let mut head = http::Request::builder().method(request.method).uri(format!("http://{HOST}{}", request.target));
    for (name, value) in &request.fields {
        head = head.header(name, value);
    }
    if request.is_counted && (request.method == "POST" || request.has_body()) {
        head = head.header("content-length", request.length());
    }
    let head = head.body(()).expect("a head");
    if poll_fn(|context| sender.poll_ready(context)).await.is_err() {
        return;
    }
    let Ok((mut response, upload)) = sender.send_request(head, !request.has_body()) else { return };
    let continued = watch::Sender::new(!request.expects);
    let mut writing = Box::pin(write_http2(upload, request, gate, conduct, continued.subscribe()));
    let mut written = !request.has_body();
    let final_head = async {
        poll_fn(|context| {
            while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(context) {
                if interim.status() == 100 {
                    continued.send_replace(true);
                }
                observed
                    .interims
                    .push(Head { status: interim.status().as_u16(), fields: fields_of(interim.headers()) });
            }
            Pin::new(&mut response).poll(context)
        })
        .await
    };
    let final_head = {
        let mut final_head = std::pin::pin!(final_head);
        loop {
            tokio::select! {
                head = &mut final_head => break head,
                _ = &mut writing, if !written => written = true,
            }
        }
    };
    let Ok(final_head) = final_head else { return };
    let (head, mut body) = final_head.into_parts();
    observed.head = Some(Head { status: head.status.as_u16(), fields: fields_of(&head.headers) });
    for name in ["connection", "transfer-encoding", "keep-alive", "upgrade"] {
        if head.headers.contains_key(name) {
            observed.breaches.push(format!("the field {name} over HTTP/2"));
        }
    }
    observed.end = End::Cut;
    let reading = async {
        while let Some(data) = body.data().await {
            let data = data.map_err(drop)?;
            body.flow_control().release_capacity(data.len()).map_err(drop)?;
            observed.body.extend_from_slice(&data);
            gate.tell(|state| state.received += significant(&data));
        }
        let trailers = body.trailers().await.map_err(drop)?;
        observed.trailers = trailers.map(|trailers: HeaderMap| fields_of(&trailers)).unwrap_or_default();
        Ok::<(), ()>(())
    };
    let mut reading = std::pin::pin!(reading);
    let read = loop {
        tokio::select! {
            read = &mut reading => break read,
            _ = &mut writing, if !written => written = true,
        }
    };
    if read.is_ok() {
        observed.end = End::Whole;
    }
}

async fn write_http2(
    mut upload: SendStream<Bytes>,
    request: &Request,
    gate: &Gate,
    conduct: Conduct,
    mut continued: watch::Receiver<bool>,
) -> Result<(), h2::Error> {
    let _ = continued.wait_for(|continued| *continued).await;
    for (at, half) in request.halves.iter().enumerate() {
        if at > 0 {
            hold_back(gate, conduct).await;
        }
        send(&mut upload, Bytes::copy_from_slice(half)).await?;
        gate.tell(|state| state.sent += half.len());
    }
    if request.trailers.is_empty() {
        return upload.send_data(Bytes::new(), true);
    }
    let mut trailers = HeaderMap::new();
    for (name, value) in &request.trailers {
        let name: http::HeaderName = name.parse().expect("a name");
        trailers.insert(name, value.parse().expect("a value"));
    }
    upload.send_trailers(trailers)
}
