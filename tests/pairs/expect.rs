//! What is to come of a combination: what the client gets, what the upstream gets, and what the gateway writes down.

use std::collections::HashMap;

use serde_json::Value;

use crate::client::{End, start};
use crate::dimensions::{Client, Combination, Event, Reply, Stage, Upload, Upstream};
use crate::gates::{Fields, Received, field};
use crate::request::{HOST, MARK, described, reply_pieces};
use crate::site::{CONTENT_PADDING, TAG};
use crate::trial::{Trial, before_the_middle, is_visible};
use crate::upstream::{hint, own_fields, own_trailers, significant};

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// With what was to be answered.
    Answered,
    /// With the gateway's own words: a status and a code.
    Told(u16, &'static str),
    /// In the middle of the response.
    Cut,
    /// The client has left.
    Left,
    /// The gateway has: there is no response, or one that says so.
    Gone,
}

fn outcome(combination: &Combination) -> Outcome {
    let Combination { reply, stage, event, .. } = *combination;
    let is_cut = event.in_response() && is_visible(combination);
    match event {
        event if event.leaves() => Outcome::Left,
        event if event.is_deadline() && !is_cut => Outcome::Told(504, "DEADLINE_EXCEEDED"),
        event if event.cuts() && !is_cut => Outcome::Gone,
        event if event.ends() => Outcome::Cut,
        _ if reply == Reply::Broken && stage.holds_response() => Outcome::Told(502, "UPSTREAM_UNAVAILABLE"),
        _ if reply == Reply::Broken => Outcome::Cut,
        _ => Outcome::Answered,
    }
}

/// The status of the answer, if it comes.
fn status(combination: &Combination) -> u16 {
    let Combination { upload, reply, stage, .. } = *combination;
    match (reply, stage) {
        (Reply::NoContent, _) => 204,
        (Reply::NotModified, _) => 304,
        (_, Stage::Answers) => 299,
        (_, Stage::Refuses) => 403,
        (_, Stage::Models) if upload == Upload::Empty => 400,
        _ => 200,
    }
}

/// What is wrong with a trial, each in a few words; `plain`: the same over the route without stages.
pub fn complaints(trial: &Trial, records: &HashMap<String, Vec<Value>>, plain: Option<&Trial>) -> Vec<String> {
    let mut found = Complaints(Vec::new());
    if trial.hangs {
        found.add("it hangs: the client waits for ever");
        return found.0;
    }
    if trial.forgotten {
        found.add("whoever answers is not told that it is over");
    }
    found.0.extend(trial.observed.breaches.iter().map(|breach| format!("HTTP: {breach}")));
    let outcome = outcome(&trial.combination);
    client_got(&mut found, trial, outcome, plain);
    upstream_got(&mut found, trial, outcome, plain);
    let mut of = |id: &str| match records.get(id).map(Vec::as_slice) {
        Some([record]) => Some(record.clone()),
        other => {
            found.add(format!("{} access records of {id}", other.map_or(0, <[_]>::len)));
            None
        }
    };
    let (record, early): (_, Vec<_>) = (of(&trial.id), trial.early.iter().map(|id| of(id)).collect());
    if trial.observed.probe.is_some() {
        of(&trial.probe_id());
    }
    if let Some(record) = record {
        gateway_wrote(&mut found, trial, outcome, &record);
    }
    early
        .iter()
        .flatten()
        .for_each(|record| found.same("status in the record at the deadline", &record["status"], 504));
    found.0
}

struct Complaints(Vec<String>);

impl Complaints {
    fn add(&mut self, complaint: impl Into<String>) {
        self.0.push(complaint.into());
    }

    fn check(&mut self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            self.0.push(complaint());
        }
    }

    fn same<A: PartialEq<B> + std::fmt::Debug, B: std::fmt::Debug>(&mut self, what: &str, got: A, wanted: B) {
        self.check(got == wanted, || format!("{what} is {got:?}, not {wanted:?}"));
    }
}

fn client_got(found: &mut Complaints, trial: &Trial, outcome: Outcome, plain: Option<&Trial>) {
    let Trial { combination, id, observed, .. } = trial;
    interims(found, trial, outcome);
    let head = observed.head.as_ref();
    let got = head.map_or(0, |head| head.status);
    if let Some(head) = head {
        found.same("x-request-id", field(&head.fields, "x-request-id").as_deref(), Some(id.as_str()));
    }
    match outcome {
        Outcome::Answered => {
            found.same("status", got, status(combination));
            found.same("end", observed.end, End::Whole);
            if got == status(combination) {
                answer(found, trial, plain);
            }
        }
        Outcome::Told(status, code) => {
            found.same("status", got, status);
            found.same("end", observed.end, End::Whole);
            let is_head = trial.request.method == "HEAD";
            // Stages of the route may have passed it on their way.
            let text = String::from_utf8_lossy(&observed.body).to_ascii_uppercase();
            found.check(is_head || text.contains(code), || format!("no {code} in {:?}", start(&observed.body)));
            if combination.stage == Stage::Waits && combination.event.in_response() {
                added(found, head.map(|head| &head.fields), "x-first", TAG);
            }
        }
        Outcome::Cut => {
            found.same("status", got, status(combination));
            // What only the end of the connection ends cannot be seen to be cut off.
            let is_seen = observed.end == End::Cut || (observed.until_close && observed.end == End::Whole);
            found.check(is_seen, || format!("end is {:?}: the client takes half for the whole", observed.end));
            let pieces = &reply_pieces(combination.reply)[..1];
            found.check(is_made_of(&observed.body, pieces, combination.stage), || {
                format!("the body before the cut is {:?}", start(&observed.body))
            });
        }
        Outcome::Left => found.same("end", observed.end, End::Left),
        Outcome::Gone => found.check(matches!(got, 0 | 503), || format!("status is {got} when the gateway ends")),
    }
    draining_is_said(found, trial, outcome);
    next_response(found, trial, plain);
}

/// Interim responses: 100 where it is waited for, 103 where the upstream sends one, and nothing else.
fn interims(found: &mut Complaints, trial: &Trial, outcome: Outcome) {
    let Trial { combination, observed, .. } = trial;
    let Combination { client, upload, reply, stage, event, .. } = *combination;
    let count = |status| observed.interims.iter().filter(|head| head.status == status).count();
    let waits = upload == Upload::Expect && client != Client::Http10;
    let is_over_before = matches!(stage, Stage::Answers | Stage::Refuses)
        || (stage == Stage::Waits && event.in_response() && event.ends());
    found.same("number of 100", count(100), usize::from(waits && !is_over_before));
    let is_sent = reply == Reply::Interim && client != Client::Http10 && !stage.answers();
    let is_reached = !(event.ends() && (event.in_request() || stage.waits()));
    // One that is sent while nobody waits for it may come or not.
    let may_miss = outcome != Outcome::Answered && !is_visible(combination);
    let (hints, wanted) = (count(103), usize::from(is_sent && is_reached));
    found.check(hints == wanted || (may_miss && hints == 0), || format!("number of 103 is {hints}, not {wanted}"));
    for head in observed.interims.iter().filter(|head| head.status == 103) {
        let fields: Fields = head.fields.iter().filter(|(name, _)| name != "x-request-id").cloned().collect();
        found.same("fields of the 103", fields, hint());
    }
}

/// The answer that was to be given.
fn answer(found: &mut Complaints, trial: &Trial, plain: Option<&Trial>) {
    let Trial { combination, observed, request, .. } = trial;
    let Combination { client, upload, reply, stage, .. } = *combination;
    let Some(head) = &observed.head else { return };
    let bodiless = !reply.has_body();
    let body = &observed.body;
    let is_right = match stage {
        _ if bodiless => body.is_empty(),
        Stage::Answers => body == b"own words",
        Stage::Refuses => String::from_utf8_lossy(body).contains("FORBIDDEN"),
        Stage::Content => {
            let mut wanted = format!("content of {}", request.length()).into_bytes();
            if reply == Reply::Huge {
                wanted.resize(wanted.len() + CONTENT_PADDING, b' ');
            }
            *body == wanted
        }
        Stage::Models => {
            let json: Value = serde_json::from_slice(body).unwrap_or_default();
            match upload {
                Upload::None => json["name"] == "echo",
                Upload::Empty => json.is_object(),
                _ => json["outputs"][0]["data"][0] == 0.5,
            }
        }
        _ => is_whole(body, &reply_pieces(reply), stage),
    };
    found.check(is_right, || format!("a body of {} bytes: {:?}", body.len(), start(body)));
    let trailers = reply == Reply::Trailers && client != Client::Http10 && !stage.answers();
    found.same("trailers", observed.trailers.clone(), if trailers { own_trailers() } else { Vec::new() });
    if let Some(length) = field(&head.fields, "content-length")
        && !bodiless
    {
        found.same("content-length", length, body.len().to_string());
    }
    match stage {
        Stage::Answers | Stage::Refuses | Stage::Content => added(found, Some(&head.fields), "x-own", "yes"),
        Stage::Heads => {
            added(found, Some(&head.fields), "x-tag", TAG);
            let path = request.target.split('?').next().unwrap_or_default();
            added(found, Some(&head.fields), "x-tagged-path", path);
        }
        Stage::HeaderFilter => added(found, Some(&head.fields), "x-filter", TAG),
        Stage::Waits => added(found, Some(&head.fields), "x-first", TAG),
        _ => {}
    }
    if !stage.answers() {
        let fields = end_to_end(&head.fields, stage.touches_response_body());
        let own = end_to_end(&own_fields(), false);
        let own: Fields = own.into_iter().filter(|(name, _)| !fields.iter().any(|(known, _)| known == name)).collect();
        found.check(own.is_empty(), || format!("the upstream's fields {own:?} are missing"));
        if let Some(plain) = plain.and_then(|plain| plain.observed.head.as_ref()) {
            let wanted = end_to_end(&plain.fields, stage.touches_response_body());
            differ(found, "the response's fields", &fields, &wanted);
        }
    }
    if combination.stage == Stage::None && reply == Reply::Head {
        let length = field(&head.fields, "content-length");
        found.same("content-length of a HEAD", length, Some(described().to_string()));
    }
}

/// Whether a body is what stages make of these pieces, all of them.
fn is_whole(body: &[u8], pieces: &[&[u8]], stage: Stage) -> bool {
    let is_marked = body.first() == Some(&MARK) && is_made_of(body, pieces, stage);
    match stage {
        Stage::HoldResponse => is_marked && body[1..] == pieces.concat(),
        Stage::Pieces => is_marked && significant(body) == pieces.concat().len(),
        Stage::BodyFilter => body == pieces.concat().to_ascii_uppercase(),
        _ => body == pieces.concat(),
    }
}

/// Whether a body is the beginning of what stages make of these pieces.
fn is_made_of(body: &[u8], pieces: &[&[u8]], stage: Stage) -> bool {
    let whole = pieces.concat();
    match stage {
        Stage::HoldResponse | Stage::Pieces => {
            let sent: Vec<u8> = body.iter().copied().filter(|byte| *byte != MARK).collect();
            whole.starts_with(&sent)
        }
        Stage::BodyFilter => whole.to_ascii_uppercase().starts_with(body),
        _ => whole.starts_with(body),
    }
}

fn added(found: &mut Complaints, fields: Option<&Fields>, name: &str, value: &str) {
    let got = fields.and_then(|fields| field(fields, name));
    found.same(name, got.as_deref(), Some(value));
}

/// Fields that concern both ends, and that a stage of the matrix does not set; sorted.
fn end_to_end(fields: &Fields, without_length: bool) -> Fields {
    const OWN: [&str; 14] = [
        "connection",
        "date",
        "keep-alive",
        "te",
        "transfer-encoding",
        "x-first",
        "x-filter",
        "x-gate",
        "x-paced",
        "x-rated",
        "x-read",
        "x-request-id",
        "x-tag",
        "x-tagged-path",
    ];
    let is_wanted = |name: &str| !(OWN.contains(&name) || without_length && name == "content-length");
    let mut fields: Fields = fields.iter().filter(|(name, _)| is_wanted(name)).cloned().collect();
    fields.sort();
    fields
}

fn differ(found: &mut Complaints, what: &str, got: &Fields, wanted: &Fields) {
    let beyond = |one: &Fields, other: &Fields| -> Fields {
        one.iter().filter(|field| !other.contains(field)).cloned().collect()
    };
    found.check(got == wanted, || {
        format!("{what}: {:?} beside the plain route's {:?}", beyond(got, wanted), beyond(wanted, got))
    });
}

/// Whoever has been told to end says so in heads that are written afterwards.
fn draining_is_said(found: &mut Complaints, trial: &Trial, outcome: Outcome) {
    let Trial { combination, observed, .. } = trial;
    let is_later = combination.event.in_request() || !is_visible(combination);
    if combination.event.drains() && is_later && outcome == Outcome::Answered && combination.client == Client::Http11 {
        found.check(observed.closes, || "a head that is written while draining does not say `close`".to_owned());
    }
}

/// The connection goes on where the response ended.
fn next_response(found: &mut Complaints, trial: &Trial, plain: Option<&Trial>) {
    let Trial { combination, observed, .. } = trial;
    let Combination { client, stage, event, .. } = *combination;
    let is_quiet = event == Event::None || event.reloads();
    let goes_on = match client {
        Client::Http10 => false,
        Client::Http11 => is_quiet && observed.end == End::Whole && !observed.closes && !observed.until_close,
        Client::Http2 => is_quiet || event.is_deadline() || event.leaves(),
    };
    if goes_on {
        found.same("status of the next response", observed.probe, Some(200));
    }
    if let Some(plain) = plain
        && is_quiet
        && !stage.answers()
        && outcome(combination) == Outcome::Answered
    {
        found.same("whether the connection ends with it", observed.closes, plain.observed.closes);
    }
}

fn upstream_got(found: &mut Complaints, trial: &Trial, outcome: Outcome, plain: Option<&Trial>) {
    let Trial { combination, request, seen, .. } = trial;
    let Combination { upload, stage, event, upstream, .. } = *combination;
    let is_asked = !stage.answers() && !(event.ends() && (event.in_request() || stage.waits()));
    let got = match (is_asked, seen.as_slice()) {
        (true, [got]) => got,
        (false, []) => return,
        (true, _) => return found.add(format!("the upstream got {} whole requests", seen.len())),
        (false, _) => return found.add("the upstream got a whole request, and should not"),
    };
    found.same("method at the upstream", got.method.as_str(), request.method);
    found.same("host at the upstream", got.host.as_deref(), Some(HOST));
    let cookies = field(&got.fields, "cookie");
    // A second hop of HTTP/2 may split them again.
    let one = cookies.as_deref() == Some("one=1; two=2");
    let split = upstream == Upstream::Http2 && cookies.as_deref() == Some("one=1, two=2");
    found.check(one || split, || format!("cookie at the upstream is {cookies:?}"));
    let is_right = match stage {
        Stage::HoldRequest if request.length() > 0 => {
            got.body.first() == Some(&MARK) && got.body[1..] == request.body()
        }
        Stage::Pieces if request.length() > 0 => {
            let sent: Vec<u8> = got.body.iter().copied().filter(|byte| *byte != MARK).collect();
            got.body.first() == Some(&MARK) && sent == request.body()
        }
        _ => got.body == request.body(),
    };
    found.check(is_right, || format!("the upstream got a body of {} bytes: {:?}", got.body.len(), start(&got.body)));
    found.same("trailers at the upstream", &got.trailers, &request.trailers);
    if let Some(length) = field(&got.fields, "content-length") {
        found.same("content-length at the upstream", length, got.body.len().to_string());
    }
    let length = request.length();
    match stage {
        Stage::Heads => added(found, Some(&got.fields), "x-tag", TAG),
        Stage::Reads => added(found, Some(&got.fields), "x-read", &length.to_string()),
        Stage::Scores => added(found, Some(&got.fields), "x-rated", "0.2500"),
        // Features look at the first 8192 bytes of a body.
        Stage::ScoresBody => added(found, Some(&got.fields), "x-rated", &format!("{}.0000", length.min(8192))),
        Stage::Unwanted | Stage::Shadow => found.same("x-rated", field(&got.fields, "x-rated"), None::<String>),
        _ => {}
    }
    if let (Some(plain), Outcome::Answered) = (plain.and_then(|plain| plain.seen.first()), outcome) {
        // Whoever holds a body back knows its length, and whoever changes it has another.
        let frames = stage.holds_request() || stage == Stage::Pieces || upload == Upload::Expect;
        let fields = |got: &Received| -> Fields {
            let fields = end_to_end(&got.fields, frames);
            fields.into_iter().filter(|(name, _)| name != "expect" && name != "trailer").collect()
        };
        differ(found, "the request's fields at the upstream", &fields(got), &fields(plain));
    }
}

fn gateway_wrote(found: &mut Complaints, trial: &Trial, outcome: Outcome, record: &Value) {
    let Trial { combination, request, observed, .. } = trial;
    let Combination { client, stage, event, .. } = *combination;
    let text = |key: &str| record[key].as_str().unwrap_or_default();
    let number = |key: &str| record[key].as_u64().and_then(|number| usize::try_from(number).ok());
    let protocol = match client {
        Client::Http10 => "HTTP/1.0",
        Client::Http11 => "HTTP/1.1",
        Client::Http2 => "HTTP/2",
    };
    found.same("protocol in the record", text("protocol"), protocol);
    found.same("method in the record", text("method"), request.method);
    found.same("generation in the record", number("generation"), Some(1));
    let (wanted, code, errs) = match outcome {
        Outcome::Answered if stage == Stage::Refuses => (403, "FORBIDDEN", false),
        Outcome::Answered => (status(combination), "", false),
        Outcome::Told(status, code) => (status, code, true),
        Outcome::Cut => (status(combination), "", true),
        Outcome::Left if event.in_response() && is_visible(combination) => (status(combination), "", true),
        Outcome::Left => (0, "", true),
        Outcome::Gone => (observed.head.as_ref().map_or(0, |head| head.status), text("code"), true),
    };
    found.same("status in the record", number("status"), Some(usize::from(wanted)));
    found.same("code in the record", text("code"), code);
    found.same("whether the record has an error", !text("error").is_empty(), errs);
    if stage == Stage::Waits && event.ends() && event.in_response() {
        let stages = record["stages"].as_array().into_iter().flatten();
        let ran = stages.filter(|run| run["stage"] == "first").count();
        found.same("runs of the first stage in the record", ran, 1);
    }

    let came = number("bytes_in").unwrap_or(usize::MAX);
    let half = request.halves[0].len();
    let (least, most) = match (outcome, stage) {
        (_, Stage::Answers | Stage::Refuses) => (0, request.length()),
        _ if event.ends() && event.in_request() => (if stage.holds_request() { 0 } else { half }, half),
        _ if event.ends() && stage.waits() && stage != Stage::Content => (0, request.length()),
        _ => (request.length(), request.length()),
    };
    found.check((least..=most).contains(&came), || format!("bytes_in is {came}, not {least} to {most}"));
    let went = number("bytes_out").unwrap_or(usize::MAX);
    let got = observed.body.len();
    // What has been sent, and what can have been on its way: with the marks of a stage.
    let most = match outcome {
        Outcome::Cut | Outcome::Left if is_visible(combination) => got.max(before_the_middle(combination) * 2),
        _ => got,
    };
    found.check((got..=most).contains(&went), || format!("bytes_out is {went}, and the client got {got}"));
}

/// Series of `witgate_requests_total` that a record counts in.
pub fn series(record: &Value) -> (String, String, &'static str) {
    let text = |key: &str| record[key].as_str().unwrap_or("-").to_owned();
    let class = match record["status"].as_u64().unwrap_or(0) / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "none",
    };
    (text("route"), text("method"), class)
}
