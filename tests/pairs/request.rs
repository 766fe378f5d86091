//! The request of a combination, and the bodies that travel.

use std::sync::LazyLock;

use crate::dimensions::{Client, Combination, Reply, Stage, Upload};
use crate::gates::Fields;

/// The host that all requests are for.
pub const HOST: &str = "pairs.test";
/// What stages put before each piece of a body that they change. It is in none that is sent.
pub const MARK: u8 = b'>';

/// The pieces of a response. Lower case, so that a stage can be seen to have changed it.
const PIECES: [&[u8]; 3] = [b"the first piece of a response, ", b"the second one, ", b"and the last."];
/// Three times what the gateway holds back for stages by default: whoever holds it back without need is noticed.
const MANY: usize = 3 << 20;
/// Of a large body, what is before its middle: more than the pieces in which it travels.
const PART: usize = 100_000;

static LARGE: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..MANY).map(|at| b"abcdefghijklmnopqrstuvwxyz.,:"[(at + at / 65_537) % 29]).collect());

/// A body in the pieces in which it is sent; the middle is behind the first.
pub fn reply_pieces(reply: Reply) -> Vec<&'static [u8]> {
    match reply {
        Reply::Huge => vec![&LARGE[..PART], &LARGE[PART..]],
        reply if reply.has_body() => PIECES.to_vec(),
        _ => Vec::new(),
    }
}

/// How many bytes the response to a GET would have.
pub fn described() -> usize {
    PIECES.concat().len()
}

/// A request, before a protocol gives it its form.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: &'static str,
    pub target: String,
    pub fields: Fields,
    /// The body up to its middle, and from there.
    pub halves: [Vec<u8>; 2],
    /// The head tells the body's length.
    pub is_counted: bool,
    pub trailers: Fields,
    /// The body waits for 100.
    pub expects: bool,
}

impl Request {
    pub fn length(&self) -> usize {
        self.halves.iter().map(Vec::len).sum()
    }

    pub fn body(&self) -> Vec<u8> {
        self.halves.concat()
    }

    pub fn has_body(&self) -> bool {
        !self.is_counted || self.length() > 0
    }

    /// `id`: in the access record; `prefix`: the route's.
    pub fn of(combination: &Combination, id: &str, prefix: &str) -> Self {
        let Combination { client, upload, reply, stage, event, .. } = *combination;
        let method = match (reply, upload) {
            (Reply::Head, _) => "HEAD",
            (_, Upload::None) => "GET",
            _ => "POST",
        };
        let mut fields = vec![("x-request-id".to_owned(), id.to_owned())];
        let mut field = |name: &str, value: &str| fields.push((name.to_owned(), value.to_owned()));
        field("accept", "application/json");
        field("x-score", "0.25");
        field("x-reply", reply.label());
        if client == Client::Http2 {
            // As browsers send them, to compress them better (RFC 9113, section 8.2.3).
            field("cookie", "one=1");
            field("cookie", "two=2");
        } else {
            field("cookie", "one=1; two=2");
        }
        if client != Client::Http10 {
            field("te", "trailers");
        }
        if client == Client::Http11 {
            field("connection", "te");
        }
        if event.in_response() {
            field("x-gate", if stage.waits() { "stage" } else { "upstream" });
        }
        if !stage.holds_response() {
            field("x-paced", "yes");
        }
        match stage {
            Stage::Answers => field("x-do", "respond"),
            Stage::Refuses => field("x-do", "refuse"),
            _ => {}
        }
        if stage.answers() && matches!(reply, Reply::NoContent | Reply::NotModified) {
            field("x-status", reply.label());
        }
        let expects = upload == Upload::Expect;
        if expects {
            field("expect", "100-continue");
        }
        let trailers = match upload {
            Upload::Trailers => vec![("x-checksum".to_owned(), "of the upload".to_owned())],
            _ => Vec::new(),
        };
        Self {
            method,
            target: format!("{prefix}{}", path(stage, upload)),
            fields,
            halves: halves(stage, upload),
            is_counted: !matches!(upload, Upload::Stream | Upload::Trailers),
            trailers,
            expects,
        }
    }

    /// One behind another on the same connection, to see whether that one has ended where it should.
    pub fn probe(id: &str) -> Self {
        Self {
            method: "GET",
            target: "/none/http1/probe".to_owned(),
            fields: vec![("x-request-id".to_owned(), id.to_owned())],
            halves: [Vec::new(), Vec::new()],
            is_counted: true,
            trailers: Vec::new(),
            expects: false,
        }
    }
}

fn path(stage: Stage, upload: Upload) -> &'static str {
    match (stage, upload) {
        (Stage::Models, Upload::None) => "/v2/models/echo",
        (Stage::Models, _) => "/v2/models/echo/infer",
        _ => "/thing?of=pairs",
    }
}

fn halves(stage: Stage, upload: Upload) -> [Vec<u8>; 2] {
    if matches!(upload, Upload::None | Upload::Empty) {
        return [Vec::new(), Vec::new()];
    }
    let (first, mut rest): (&[u8], Vec<u8>) = if stage == Stage::Models {
        (br#"{"inputs":[{"name":"x","datatype":"FP32","#, br#""shape":[1,1],"data":[0.5]}]}"#.to_vec())
    } else {
        (b"the first half of an upload, ", b"and the other half.".to_vec())
    };
    if upload == Upload::Large {
        let padding = if stage == Stage::Models { vec![b' '; MANY] } else { LARGE.clone() };
        rest.splice(0..0, padding);
    }
    [first.to_vec(), rest]
}
