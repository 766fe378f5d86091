//! An answer of the gateway's own as frames, for streams that `h2` has refused before anybody saw their head.
//!
//! Their fields are literals that no table of the compression knows (RFC 7541, section 6.2.2), so the state that `h2` shares with
//! the client stays what both think it is.

use http::header::{CONTENT_LENGTH, DATE, HeaderName};
use witgate_http::request_id;

use super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Head};
use crate::envelope::Answer;
use crate::proxy::date;

/// `:status` in the static table (RFC 7541, appendix A), as the name of a literal that is not indexed.
const STATUS: u8 = 8;
/// Longest text whose length takes one byte without continuing (RFC 7541, section 5.1).
const TEXT_LIMIT: usize = 126;

/// Writes a whole response to the stream.
pub fn write(out: &mut Vec<u8>, stream: u32, answer: &Answer, id: &str) {
    let mut block = vec![STATUS];
    text(&mut block, answer.status.as_str().as_bytes());
    let date = date::now();
    let length = answer.body.len().to_string();
    let own = [(&CONTENT_LENGTH, length.as_bytes()), (&DATE, date.as_bytes()), (&request_id::FIELD, id.as_bytes())];
    let fields = answer.headers.iter().map(|(name, value)| (name, value.as_bytes()));
    fields.chain(own).for_each(|(name, value)| field(&mut block, name, value));
    frame(out, Head { kind: HEADERS, flags: END_HEADERS, stream, ..Head::default() }, &block);
    frame(out, Head { kind: DATA, flags: END_STREAM, stream, ..Head::default() }, &answer.body);
}

fn frame(out: &mut Vec<u8>, head: Head, payload: &[u8]) {
    Head { length: u32::try_from(payload.len()).unwrap_or(u32::MAX), ..head }.write(out);
    out.extend_from_slice(payload);
}

fn field(block: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    if value.len() <= TEXT_LIMIT && name.as_str().len() <= TEXT_LIMIT {
        block.push(0);
        text(block, name.as_str().as_bytes());
        text(block, value);
    }
}

fn text(block: &mut Vec<u8>, text: &[u8]) {
    block.push(u8::try_from(text.len().min(TEXT_LIMIT)).unwrap_or_default());
    block.extend_from_slice(text.get(..TEXT_LIMIT).unwrap_or(text));
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::frames::{Follower, Step};
    use super::*;
    use crate::envelope::{Code, Problem, render};

    const PREFACE_SIZE: usize = 24;

    /// `h2`'s own client reads it, and goes on with its table as it was.
    #[tokio::test]
    async fn a_client_reads_what_is_written() {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let (mut client, connection) = h2::client::handshake(near).await.unwrap();
        tokio::spawn(connection);
        let (response, _) = client.send_request(http::Request::get("http://a/").body(()).unwrap(), true).unwrap();
        let mut out = Vec::new();
        frame(&mut out, Head { kind: super::super::frames::SETTINGS, ..Head::default() }, &[]);
        let answer = render(Problem::new(Code::InvalidRequest, "Malformed."), "id-1", None);
        write(&mut out, 1, &answer, "id-1");
        // Once it has asked.
        let (mut asked, mut follower, mut bytes) = (false, Follower::default(), [0; 1024]);
        far.read_exact(&mut bytes[..PREFACE_SIZE]).await.unwrap();
        while !asked {
            let count = far.read(&mut bytes).await.unwrap();
            let mut rest = &bytes[..count];
            while let Some(step) = follower.step(&mut rest) {
                asked |= matches!(step, Step::Head(head) if head.kind == HEADERS);
            }
        }
        far.write_all(&out).await.unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["x-request-id"], "id-1");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(response.headers().contains_key("date"));
        let mut body = response.into_body();
        let content: Bytes = body.data().await.unwrap().unwrap();
        assert_eq!(content, answer.body);
        assert!(body.is_end_stream());
    }
}
