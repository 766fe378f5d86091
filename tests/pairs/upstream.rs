//! What stands behind the gateway, in both protocols: says what a request's `x-reply` field asks for, and stands still in the middle
//! of it if `x-gate` does.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::dimensions::Reply;
use crate::gates::{Fields, Gate, Gates, Received, field};
use crate::request::{MARK, described, reply_pieces};

/// One step of an answer.
enum Step {
    /// 103, with a field for the client and one that is none of its business.
    Interim,
    Head {
        status: u16,
        length: Declared,
    },
    Data(&'static [u8]),
    /// Stands still until somebody opens.
    Gate,
    /// Goes on when the client has got so many bytes.
    Await(usize),
    End {
        trailers: bool,
    },
    Break,
}

/// What a head says about the body behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Declared {
    /// Nothing follows, whatever the length is of.
    Nothing(Option<usize>),
    Length(usize),
    Unknown,
    UntilClose,
}

/// What is said to a request.
fn steps(request: &Received) -> Vec<Step> {
    let asked = field(&request.fields, "x-reply").unwrap_or_default();
    let reply = Reply::ALL.iter().copied().find(|reply| reply.label() == asked).unwrap_or(Reply::Length);
    let gated = field(&request.fields, "x-gate").is_some_and(|place| place == "upstream");
    let paced = field(&request.fields, "x-paced").is_some();
    let pieces = reply_pieces(reply);
    let whole = pieces.iter().map(|piece| piece.len()).sum();
    let (status, length) = match reply {
        Reply::Length | Reply::Interim | Reply::Broken | Reply::Huge => (200, Declared::Length(whole)),
        Reply::Stream | Reply::Trailers | Reply::Slow => (200, Declared::Unknown),
        Reply::UntilClose => (200, Declared::UntilClose),
        Reply::NoContent => (204, Declared::Nothing(None)),
        Reply::NotModified => (304, Declared::Nothing(Some(described()))),
        Reply::Head => (200, Declared::Nothing(Some(described()))),
    };
    let mut steps = Vec::new();
    if reply == Reply::Interim {
        steps.push(Step::Interim);
    }
    if !reply.has_body() && gated {
        steps.push(Step::Gate);
    }
    steps.push(Step::Head { status, length });
    let mut said = 0;
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 && paced && reply == Reply::Slow {
            steps.push(Step::Await(said));
        }
        steps.push(Step::Data(piece));
        said += piece.len();
        if at == 0 && gated {
            steps.push(Step::Gate);
        }
        if at == 0 && reply == Reply::Broken {
            // What has come, and has not been passed on, may be forgotten.
            if paced {
                steps.push(Step::Await(said));
            }
            steps.push(Step::Break);
            return steps;
        }
    }
    steps.push(Step::End { trailers: reply == Reply::Trailers });
    steps
}

/// Fields of every head.
const FIELDS: [(&str, &str); 5] = [
    ("content-type", "text/plain"),
    ("etag", "\"pairs\""),
    ("set-cookie", "one=1; Path=/"),
    ("set-cookie", "two=2; Path=/"),
    ("x-upstream", "Pairs"),
];
const TRAILER: (&str, &str) = ("x-digest", "of the response");
const HINT: (&str, &str) = ("link", "</style.css>; rel=preload");

/// Bytes that a client, or an upstream, was sent by the other side, without the marks of stages.
pub fn significant(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte != MARK).count()
}

/// Addresses of what has been started.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub http1: SocketAddr,
    pub http2: SocketAddr,
    /// Where scripts wait.
    pub gate: SocketAddr,
}

/// Starts the upstreams, and the place where scripts wait; they end with the runtime.
pub async fn start(gates: &Arc<Gates>) -> Addresses {
    Addresses {
        http1: listen(gates, async |stream, gates| _ = serve_http1(stream, &gates).await).await,
        http2: listen(gates, serve_http2).await,
        gate: listen(gates, async |stream, gates| _ = serve_script(stream, &gates).await).await,
    }
}

async fn listen<F, S>(gates: &Arc<Gates>, serve: F) -> SocketAddr
where
    F: Fn(TcpStream, Arc<Gates>) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let gates = Arc::clone(gates);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("set");
            tokio::spawn(serve(stream, Arc::clone(&gates)));
        }
    });
    address
}

/// A script says under which id it waits, and is told when it has waited enough.
async fn serve_script(stream: TcpStream, gates: &Gates) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut id = String::new();
    stream.read_line(&mut id).await?;
    let gate = gates.of(id.trim());
    gate.tell(|state| state.at_gate = true);
    let opened = tokio::select! {
        () = gate.until(|state| state.open) => true,
        _ = stream.fill_buf() => false,
    };
    if !opened {
        gate.tell(|state| state.released = true);
        return Ok(());
    }
    stream.write_all(b"go\n").await
}

async fn serve_http1(stream: TcpStream, gates: &Gates) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let (request, gate) = read_head(&mut reader, gates).await?;
        let served = async {
            let request = read_body(&mut reader, &mut writer, request, &gate).await?;
            let steps = steps(&request);
            gate.saw(request);
            answer_http1(&mut reader, &mut writer, steps, &gate).await
        };
        match served.await {
            Ok(true) => {}
            Ok(false) => return writer.shutdown().await,
            Err(error) => {
                gate.tell(|state| state.released = true);
                return Err(error);
            }
        }
    }
}

async fn line(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line).await? == 0 || !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

async fn fields(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Fields> {
    let mut fields = Vec::new();
    loop {
        let line = line(reader).await?;
        let Some((name, value)) = line.split_once(':') else { return Ok(fields) };
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

async fn read_head(reader: &mut BufReader<OwnedReadHalf>, gates: &Gates) -> io::Result<(Received, Arc<Gate>)> {
    let first = line(reader).await?;
    let method = first.split(' ').next().unwrap_or_default().to_owned();
    let fields = fields(reader).await?;
    let gate = gates.of(&field(&fields, "x-request-id").unwrap_or_default());
    let host = field(&fields, "host");
    Ok((Received { method, host, fields, ..Received::default() }, gate))
}

async fn read_body(
    reader: &mut BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
    mut request: Received,
    gate: &Gate,
) -> io::Result<Received> {
    if field(&request.fields, "expect").is_some() {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    if field(&request.fields, "transfer-encoding").is_some() {
        loop {
            let size = line(reader).await?;
            let size = usize::from_str_radix(&size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if size == 0 {
                request.trailers = fields(reader).await?;
                return Ok(request);
            }
            read_bytes(reader, size, &mut request.body, gate).await?;
            line(reader).await?;
        }
    }
    let length = field(&request.fields, "content-length").unwrap_or_default();
    read_bytes(reader, length.parse().unwrap_or(0), &mut request.body, gate).await?;
    Ok(request)
}

async fn read_bytes(
    reader: &mut BufReader<OwnedReadHalf>,
    mut count: usize,
    body: &mut Vec<u8>,
    gate: &Gate,
) -> io::Result<()> {
    while count > 0 {
        let come = reader.fill_buf().await?;
        let taken = come.len().min(count);
        if taken == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        body.extend_from_slice(&come[..taken]);
        let arrived = significant(&come[..taken]);
        reader.consume(taken);
        count -= taken;
        gate.tell(|state| state.arrived += arrived);
    }
    Ok(())
}

/// False: the connection ends here.
async fn answer_http1(
    reader: &mut BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
    steps: Vec<Step>,
    gate: &Gate,
) -> io::Result<bool> {
    let mut framing = Declared::Unknown;
    for step in steps {
        match step {
            Step::Interim => {
                let (name, value) = HINT;
                let head =
                    format!("HTTP/1.1 103 Early Hints\r\n{name}: {value}\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n");
                writer.write_all(head.as_bytes()).await?;
            }
            Step::Head { status, length } => {
                framing = length;
                let mut head = format!("HTTP/1.1 {status} {}\r\n", if status == 200 { "Fine" } else { "Nothing" });
                FIELDS.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
                match length {
                    Declared::Length(length) | Declared::Nothing(Some(length)) => {
                        head.push_str(&format!("content-length: {length}\r\n"));
                    }
                    Declared::Unknown => head.push_str("transfer-encoding: chunked\r\n"),
                    Declared::UntilClose => head.push_str("connection: close\r\n"),
                    Declared::Nothing(None) => {}
                }
                head.push_str("\r\n");
                writer.write_all(head.as_bytes()).await?;
            }
            Step::Data(data) if framing == Declared::Unknown => {
                writer.write_all(format!("{:x}\r\n", data.len()).as_bytes()).await?;
                writer.write_all(data).await?;
                writer.write_all(b"\r\n").await?;
            }
            Step::Data(data) => writer.write_all(data).await?,
            Step::Gate => {
                gate.tell(|state| state.at_gate = true);
                wait_http1(reader, gate.until(|state| state.open)).await?;
            }
            Step::Await(count) => wait_http1(reader, gate.until(|state| state.received >= count)).await?,
            Step::End { trailers } => {
                if framing == Declared::Unknown {
                    writer.write_all(b"0\r\n").await?;
                    if trailers {
                        writer.write_all(format!("{}: {}\r\n", TRAILER.0, TRAILER.1).as_bytes()).await?;
                    }
                    writer.write_all(b"\r\n").await?;
                }
            }
            Step::Break => return Ok(false),
        }
    }
    Ok(framing != Declared::UntilClose)
}

/// Waits for it, or for the end of the connection, which is an error.
async fn wait_http1(reader: &mut BufReader<OwnedReadHalf>, ready: impl Future<Output = ()>) -> io::Result<()> {
    tokio::select! {
        () = ready => Ok(()),
        come = reader.fill_buf() => match come?.len() {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            // Nobody may send a request before the one before it is answered.
            _ => Err(io::ErrorKind::InvalidData.into()),
        },
    }
}

async fn serve_http2(stream: TcpStream, gates: Arc<Gates>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let gates = Arc::clone(&gates);
        tokio::spawn(async move {
            let (head, body) = request.into_parts();
            let fields = fields_of(&head.headers);
            let gate = gates.of(&field(&fields, "x-request-id").unwrap_or_default());
            let request = Received {
                method: head.method.to_string(),
                host: head.uri.authority().map(ToString::to_string),
                fields,
                ..Received::default()
            };
            if answer_http2(request, body, respond, &gate).await.is_err() {
                gate.tell(|state| state.released = true);
            }
        });
    }
}

/// Fields with names in lower case.
pub fn fields_of(headers: &HeaderMap) -> Fields {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

async fn answer_http2(
    mut request: Received,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    gate: &Gate,
) -> Result<(), h2::Error> {
    if field(&request.fields, "expect").is_some() {
        respond.send_informational(Response::builder().status(100).body(()).expect("a head"))?;
    }
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        request.body.extend_from_slice(&data);
        gate.tell(|state| state.arrived += significant(&data));
    }
    request.trailers = body.trailers().await?.map(|trailers| fields_of(&trailers)).unwrap_or_default();
    let steps = steps(&request);
    gate.saw(request);
    let mut sender: Option<SendStream<Bytes>> = None;
    for step in steps {
        match (step, &mut sender) {
            (Step::Interim, _) => {
                let head = Response::builder().status(103).header(HINT.0, HINT.1).body(()).expect("a head");
                respond.send_informational(head)?;
            }
            (Step::Head { status, length }, _) => {
                let mut head = Response::builder().status(status);
                for (name, value) in FIELDS {
                    head = head.header(name, value);
                }
                if let Declared::Length(length) | Declared::Nothing(Some(length)) = length {
                    head = head.header("content-length", length);
                }
                let ends = matches!(length, Declared::Nothing(_));
                sender = Some(respond.send_response(head.body(()).expect("a head"), ends)?).filter(|_| !ends);
            }
            (Step::Data(data), Some(sender)) => send(sender, Bytes::from_static(data)).await?,
            (Step::Gate, sender) => {
                gate.tell(|state| state.at_gate = true);
                wait_http2(&mut respond, sender.as_mut(), gate.until(|state| state.open)).await?;
            }
            (Step::Await(count), sender) => {
                wait_http2(&mut respond, sender.as_mut(), gate.until(|state| state.received >= count)).await?;
            }
            (Step::End { trailers: true }, Some(sender)) => {
                let mut trailers = HeaderMap::new();
                trailers.insert(TRAILER.0, TRAILER.1.parse().expect("a value"));
                sender.send_trailers(trailers)?;
            }
            (Step::End { .. }, Some(sender)) => sender.send_data(Bytes::new(), true)?,
            (Step::Break, Some(sender)) => sender.send_reset(Reason::INTERNAL_ERROR),
            (Step::Data(_) | Step::End { .. } | Step::Break, None) => {}
        }
    }
    Ok(())
}

/// Sends as much as the other side has room for, until it is all sent.
pub async fn send(sender: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    while !data.is_empty() {
        sender.reserve_capacity(data.len());
        let room = poll_fn(|context| sender.poll_capacity(context)).await;
        let room = room.unwrap_or(Err(Reason::CANCEL.into()))?;
        sender.send_data(data.split_to(room.min(data.len())), false)?;
    }
    Ok(())
}

/// Waits for it, or for the end of the stream, which is an error.
async fn wait_http2(
    respond: &mut SendResponse<Bytes>,
    sender: Option<&mut SendStream<Bytes>>,
    ready: impl Future<Output = ()>,
) -> Result<(), h2::Error> {
    let mut sender = sender;
    let reset = poll_fn(|context| match &mut sender {
        Some(sender) => sender.poll_reset(context),
        None => respond.poll_reset(context),
    });
    tokio::select! {
        () = ready => Ok(()),
        reset = reset => Err(reset?.into()),
    }
}

/// What a client is to get of the upstream's own: fields of the head, trailers, and of an interim response.
pub fn own_fields() -> Fields {
    FIELDS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub fn own_trailers() -> Fields {
    vec![(TRAILER.0.to_owned(), TRAILER.1.to_owned())]
}

pub fn hint() -> Fields {
    vec![(HINT.0.to_owned(), HINT.1.to_owned())]
}
