//! Requests that scripts make to the gateway's own routes: served like those of clients, over a connection in memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use witgate_http::http1::body::Progress;
use witgate_http::http1::field::Names;
use witgate_http::http1::write::{self, Connection, Framing};
use witgate_http::http1::{body, response};
use witgate_http::owned;
use witgate_script::{Subrequest, Subrequests, Subresponse};

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
    let (mut input, mut scanned) = (BytesMut::new(), 0);
    let broke = |error: std::io::Error| format!("the connection broke: {error}");
    let end = loop {
        if let Some(end) = response::find_end(&input, &mut scanned) {
            break end;
        }
        if from.read_buf(&mut input).await.map_err(broke)? == 0 {
            return Err("closed".to_owned());
        }
    };
    let head = response::parse(&input.split_to(end).freeze()).map_err(|error| error.to_string())?;
    let mut decoder = response::framing(&head, method).map_err(|error| error.to_string())?;
    let (mut body, mut truncated) = (BytesMut::new(), false);
    loop {
        match decoder.advance(&mut input).map_err(|error: body::BodyError| error.to_string())? {
            Progress::End => break,
            Progress::Data(count) if body.len() + count > limit => {
                truncated = true;
                break;
            }
            Progress::Data(count) => {
                body.extend_from_slice(input.get(..count).unwrap_or_default());
                decoder.consume(&mut input, count);
            }
            Progress::More => {
                if from.read_buf(&mut input).await.map_err(broke)? == 0 {
                    truncated = decoder.closed().is_err();
                    break;
                }
            }
        }
    }
    Ok(Subresponse { status: head.status, headers: head.headers, body: body.freeze(), truncated })
}
