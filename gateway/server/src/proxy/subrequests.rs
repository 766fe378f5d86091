//! Requests that scripts make to the gateway's own routes: served like those of clients, over a connection in memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use witgate_http::http1::body::Progress;
use witgate_http::http1::field::Names;
use witgate_http::http1::write::{self, Connection, Framing};
use witgate_http::http1::{body, response};
use witgate_http::owned;
use witgate_script::{Extent, Subrequest, Subrequests, Subresponse};

use crate::gateway::Gateway;
use crate::proxy::connection;
use crate::proxy::origin::Origin;

/// Bytes on their way in each direction: as much as a socket of a client holds at least.
const BUFFER: usize = 64 * 1024;
/// Subrequests within subrequests: a route that asks for itself must end some time.
const DEPTH_LIMIT: u32 = 10;

/// Serves subrequests by the generation that is current when they begin.
#[derive(Debug, Default)]
pub struct Loopback(OnceLock<Weak<Gateway>>);

impl Loopback {
    /// Which gateway serves; the first one stays.
    pub fn serve_by(&self, gateway: &Arc<Gateway>) {
        let _ = self.0.set(Arc::downgrade(gateway));
    }
}

impl Subrequests for Loopback {
    fn serve(&self, request: Subrequest) -> Pin<Box<dyn Future<Output = Result<Subresponse, String>> + Send>> {
        let gateway = self.0.get().and_then(Weak::upgrade);
        Box::pin(async move {
            let gateway = gateway.ok_or("the gateway does not serve")?;
            if request.depth > DEPTH_LIMIT {
                return Err(format!("more than {DEPTH_LIMIT} subrequests within each other"));
            }
            let origin = Origin::of_subrequest(request.client.clone(), request.depth);
            let (near, far) = tokio::io::duplex(BUFFER);
            let serving = connection::serve_subrequest(&gateway, Box::new(far), &origin);
            let asking = ask(near, request);
            tokio::pin!(serving, asking);
            tokio::select! {
                biased;
                response = &mut asking => response,
                // What it has written can still be read.
                () = &mut serving => asking.await,
            }
        })
    }
}

async fn ask(connection: DuplexStream, request: Subrequest) -> Result<Subresponse, String> {
    let Subrequest { method, path, host, mut headers, body, limit, client: _, depth: _ } = request;
    headers.remove(CONTENT_LENGTH);
    headers.remove(CONNECTION);
    // What the client claims must not come back as what a script has set.
    owned::strip_claims(&mut headers);
    // The body follows in any case.
    headers.remove(EXPECT);
    if let Some(host) = host.and_then(|host| HeaderValue::from_str(&host).ok()) {
        headers.insert(HOST, host);
    }
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let framing = if body.is_empty() { Framing::None } else { Framing::Length(length) };
    let mut out = Vec::new();
    write::request(&mut out, &method, &path, (&headers, &Names::default()), framing, Connection::Close);
    let (mut from, mut to) = tokio::io::split(connection);
    let sending = async move {
        // One that answers before it has read everything closes: its answer counts.
        let _ = to.write_all(&out).await;
        let _ = to.write_all(&body).await;
        std::future::pending::<()>().await
    };
    let receiving = receive(&mut from, &method, limit);
    tokio::pin!(sending, receiving);
    tokio::select! {
        response = &mut receiving => response,
        () = &mut sending => Err("closed".to_owned()),
    }
}

async fn receive(
    from: &mut (impl AsyncReadExt + Unpin),
    method: &http::Method,
    limit: usize,
) -> Result<Subresponse, String> {
    let mut input = BytesMut::new();
    let broke = |error: std::io::Error| format!("the connection broke: {error}");
    // Interim responses come before the final one (RFC 9110, section 15.2), which is what was asked for.
    let head = loop {
        let head = read_head(from, &mut input).await?;
        if !head.status.is_informational() {
            break head;
        }
    };
    let mut decoder = response::framing(&head, method).map_err(|error| error.to_string())?;
    let (mut body, mut extent) = (BytesMut::new(), Extent::Whole);
    loop {
        match decoder.advance(&mut input).map_err(|error: body::BodyError| error.to_string())? {
            Progress::End => break,
            Progress::Data(count) if body.len() + count > limit => {
                extent = Extent::TooLong;
                break;
            }
            Progress::Data(count) => {
                body.extend_from_slice(input.get(..count).unwrap_or_default());
                decoder.consume(&mut input, count);
            }
            Progress::More => {
                if from.read_buf(&mut input).await.map_err(broke)? == 0 {
                    if decoder.closed().is_err() {
                        extent = Extent::BrokenOff;
                    }
                    break;
                }
            }
        }
    }
    Ok(Subresponse { status: head.status, headers: head.headers, body: body.freeze(), extent })
}

/// The next head, interim ones included.
async fn read_head(from: &mut (impl AsyncReadExt + Unpin), input: &mut BytesMut) -> Result<response::Head, String> {
    let mut scanned = 0;
    let end = loop {
        if let Some(end) = response::find_end(input, &mut scanned) {
            break end;
        }
        if from.read_buf(input).await.map_err(|error| format!("the connection broke: {error}"))? == 0 {
            return Err("closed".to_owned());
        }
    };
    response::parse(&input.split_to(end).freeze()).map_err(|error| error.to_string())
}
