//! What a case sends: the bytes of its requests.

use super::blocks::Block;
use super::case::{Problem, SectionValues};
use super::perl::Value;
use super::text::Text;

/// A part of what is sent over one connection, and how long to wait before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    pub text: Text,
    pub delay_seconds: f64,
}

/// One connection: what is sent over it, and how many responses are expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    pub packets: Vec<Packet>,
    pub responses: usize,
    pub head: bool,
}

impl Connection {
    fn whole(text: Text, responses: usize) -> Self {
        let head = text.trim_start().starts_with("HEAD ");
        Self { packets: vec![Packet { text, delay_seconds: 0.0 }], responses, head }
    }
}

/// The connections of a case, in the order in which they are made.
pub fn connections(block: &Block, values: &mut SectionValues<'_>) -> Result<Vec<Connection>, Problem> {
    if let Some(raw) = values.get(block, "raw_request")? {
        let delay = match values.get(block, "raw_request_middle_delay")? {
            Some(delay) => delay.to_text()?.trim().parse().unwrap_or(0.0),
            None => 0.0,
        };
        return Ok(vec![raw_connection(&raw, delay)?]);
    }
    let headers = values.get(block, "more_headers")?.unwrap_or(Value::Undefined);
    if let Some(pipelined) = values.get(block, "pipelined_requests")? {
        let Value::List(requests) = pipelined else { return Err(Problem::section("pipelined_requests")) };
        let mut text = Text::new();
        for (index, request) in requests.iter().enumerate() {
            let connection = if index + 1 == requests.len() { "close" } else { "keep-alive" };
            let fields = Fields::of(&headers, index)?;
            let request = values.expand(&request.to_text()?)?;
            text.push_str(&build(&request, &fields, connection)?.concat());
        }
        return Ok(vec![Connection::whole(text, requests.len())]);
    }
    match values.get(block, "request")? {
        None => Err(Problem::untranslatable("no request")),
        Some(Value::List(requests)) => {
            let one = |(index, request)| listed(request, &Fields::of(&headers, index)?);
            requests.iter().enumerate().map(one).collect()
        }
        Some(request) => {
            let text = request.to_text()?;
            let text = without_comments(&text);
            let whole = build(text, &Fields::of(&headers, 0)?, "close")?.concat();
            Ok(vec![Connection::whole(whole, 1)])
        }
    }
}

fn raw_connection(raw: &Value, delay: f64) -> Result<Connection, Problem> {
    let Value::List(parts) = raw else { return Ok(Connection::whole(raw.to_text()?, 1)) };
    let mut packets = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        packets.push(Packet { text: part.to_text()?, delay_seconds: if index == 0 { 0.0 } else { delay } });
    }
    let head = packets.first().is_some_and(|packet| packet.text.starts_with("HEAD "));
    Ok(Connection { packets, responses: 1, head })
}

/// A request of a list: a text, or packets, each a text or `{value => …, delay_before => …}`.
fn listed(request: &Value, fields: &Fields) -> Result<Connection, Problem> {
    let Value::List(parts) = request else {
        return Ok(Connection::whole(build(&request.to_text()?, fields, "close")?.concat(), 1));
    };
    let mut texts = Vec::new();
    let mut delays = Vec::new();
    for part in parts {
        let (text, delay) = match part {
            Value::Table(table) => {
                let value = table.get("value").ok_or_else(|| Problem::section("request"))?;
                let delay = table.get("delay_before").map_or(Ok(Text::new()), Value::to_text)?;
                (value.to_text()?, delay.trim().parse().unwrap_or(0.0))
            }
            other => (other.to_text()?, 0.0),
        };
        texts.push(text);
        delays.push(delay);
    }
    // The head stands in the first packet in all cases, so that what follows is sent as it is.
    let Some((first, rest)) = texts.split_first() else { return Err(Problem::section("request")) };
    let whole = texts.concat();
    let [head, body] = build(&whole, fields, "close")?;
    let first_body = body_of(first).len().min(body.len());
    let (begin, _) = body.split_at_checked(first_body).unwrap_or((body.as_str(), ""));
    let is_head = head.starts_with("HEAD ");
    let mut packets = vec![Packet { text: head + begin, delay_seconds: delays.first().copied().unwrap_or(0.0) }];
    for (text, delay) in rest.iter().zip(delays.iter().skip(1)) {
        packets.push(Packet { text: text.clone(), delay_seconds: *delay });
    }
    Ok(Connection { packets, responses: 1, head: is_head })
}

fn body_of(request: &str) -> &str {
    request.trim_start().split_once('\n').map_or("", |(_, body)| body)
}

/// A text of a request section begins after blank lines and comments.
fn without_comments(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some(comment) = rest.strip_prefix('#') {
        rest = comment.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
    }
    rest
}

/// Fields that a case adds.
struct Fields {
    text: Text,
    chunked: bool,
    host: bool,
    connection: bool,
    length: bool,
}

impl Fields {
    fn of(value: &Value, index: usize) -> Result<Self, Problem> {
        let lines = match value {
            Value::List(items) => items.get(index).ok_or_else(|| Problem::section("more_headers"))?.to_text()?,
            other => other.to_text()?,
        };
        let mut fields = Self { text: Text::new(), chunked: false, host: false, connection: false, length: false };
        for line in lines.split('\n').filter(|line| !line.is_empty() && !line.trim_start().starts_with('#')) {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.trim_start();
            let lower = name.to_ascii_lowercase();
            fields.chunked |= lower == "transfer-encoding" && value == "chunked";
            fields.host |= lower == "host";
            fields.connection |= lower.starts_with("connection");
            fields.length |= name == "Content-Length";
            fields.text.push_str(&format!("{name}: {value}\r\n"));
        }
        Ok(fields)
    }
}

/// Head and body of `METHOD [URI [VERSION]]` with a body on the lines below.
fn build(request: &str, fields: &Fields, connection: &str) -> Result<[Text; 2], Problem> {
    let (line, body) = request.split_once('\n').unwrap_or((request, ""));
    let mut words = line.trim().split(' ').filter(|word| !word.is_empty());
    let method = words.next().ok_or_else(|| Problem::untranslatable("an empty request"))?;
    let uri = words.next().unwrap_or("/");
    let version = words.next().unwrap_or("HTTP/1.1");
    if words.next().is_some() {
        return Err(Problem::untranslatable("a request line of more than three words"));
    }
    let body = if fields.chunked || fields.length { body } else { body.trim() };
    let mut head = format!("{method} {uri} {version}\r\n");
    if !fields.host {
        head.push_str("Host: localhost\r\n");
    }
    if !fields.connection {
        head.push_str(&format!("Connection: {connection}\r\n"));
    }
    head.push_str(&fields.text);
    if !body.is_empty() && !fields.chunked && !fields.length {
        head.push_str(&format!("Content-Length: {}\r\n", body.chars().count()));
    }
    head.push_str("\r\n");
    Ok([head, body.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(request: &str, headers: &str) -> String {
        build(request, &Fields::of(&Value::text(headers), 0).unwrap(), "close").unwrap().concat()
    }

    #[test]
    fn requests_get_what_they_do_not_say() {
        assert_eq!(built("GET /a\n", ""), "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(
            built("POST /a HTTP/1.0\nhi there\n", "# no\nHost: x\nA:b\n"),
            "POST /a HTTP/1.0\r\nConnection: close\r\nHost: x\r\nA: b\r\nContent-Length: 8\r\n\r\nhi there"
        );
    }

    #[test]
    fn a_body_stays_as_it_is_where_its_framing_is_given() {
        let chunked = built("POST /a\n3\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked\n");
        assert!(chunked.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{chunked}");
    }

    #[test]
    fn packets_are_sent_one_after_the_other() {
        let table = |text: &str| {
            Value::Table(
                [("value".to_owned(), Value::text(text)), ("delay_before".to_owned(), Value::text("0.2"))].into(),
            )
        };
        let request = Value::List(vec![Value::text("POST /a\nab"), table("cd")]);
        let connection = listed(&request, &Fields::of(&Value::Undefined, 0).unwrap()).unwrap();
        let [first, second] = connection.packets.as_slice() else { panic!("two packets") };
        assert!(first.text.ends_with("Content-Length: 4\r\n\r\nab"), "{}", first.text);
        assert_eq!((second.text.as_str(), second.delay_seconds), ("cd", 0.2));
    }

    #[test]
    fn comments_before_a_request_are_passed_over() {
        assert_eq!(without_comments("\n# why\n  GET /x\n"), "GET /x\n");
    }
}
