//! What a server has answered, as text that can be compared.

use super::Snippet;

/// Fields that say nothing of what a script did: of the connection, of the framing, and of the server itself.
const UNTOLD: [&str; 8] =
    ["connection", "keep-alive", "transfer-encoding", "content-length", "date", "server", "x-request-id", "via"];

/// Renders a response as it came. The server's own page for a status is told as such: each has its own, and the gateway's depends on `Accept`.
pub fn render(bytes: &[u8], snippet: &Snippet) -> String {
    // One character for each byte.
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let mut rest = text.as_str();
    let (head, body) = loop {
        let Some((head, body)) = rest.split_once("\r\n\r\n") else { return "closed\n".to_owned() };
        let is_interim = head.split(' ').nth(1).is_some_and(|status| status.starts_with('1'));
        if !is_interim {
            break (head, body);
        }
        rest = body;
    };
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("?").to_owned();
    let mut fields: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (mut body, is_cut) = unframed(&fields, body, snippet);
    if is_page(&status, &body) {
        body = "PAGE\n".to_owned();
        fields.retain(|(name, value)| name != "content-type" && (name != "vary" || *value != "accept"));
    }
    let mut told = status;
    if is_cut {
        told.push_str(" CUT");
    }
    told.push('\n');
    for (name, value) in fields.iter().filter(|(name, _)| !UNTOLD.contains(&name.as_str())) {
        told.push_str(&format!("{name}: {value}\n"));
    }
    told.push('\n');
    told.push_str(&body);
    neutral(&told, snippet)
}

/// The body, and whether something of it is missing.
fn unframed(fields: &[(String, &str)], body: &str, snippet: &Snippet) -> (String, bool) {
    let value = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    if value("transfer-encoding").is_some() {
        let (mut whole, mut rest) = (String::new(), body);
        while let Some((size, after)) = rest.split_once("\r\n") {
            let Ok(size) = usize::from_str_radix(size, 16) else { break };
            if size == 0 {
                return (whole, false);
            }
            let piece: String = after.chars().take(size).collect();
            rest = after.get(piece.len()..).and_then(|rest| rest.strip_prefix("\r\n")).unwrap_or_default();
            whole.push_str(&piece);
        }
        return (whole, true);
    }
    let is_head = snippet.request.as_ref().is_some_and(|request| request.starts_with("HEAD "));
    let length = value("content-length").filter(|_| !is_head).and_then(|length| length.parse().ok());
    (body.to_owned(), length.is_some_and(|length: usize| body.chars().count() < length))
}

/// nginx's pages, of whichever status a filter has given them, the gateway's envelope, and the texts that it has for other
/// statuses; nginx's redirects have a page as well.
fn is_page(status: &str, body: &str) -> bool {
    let status: u16 = status.parse().unwrap_or(0);
    let is_plain = || body.strip_prefix(&format!("{status} ")).is_some_and(|reason| reason.lines().count() == 1);
    match status {
        301..=303 | 307 | 308 if body.is_empty() => true,
        300.. => body.starts_with("<html>\r\n<head><title>") || body.starts_with("{\"code\":") || is_plain(),
        _ => false,
    }
}

/// Without what is different each time, or in each server: names of chunks, the snippet's own path, ports.
pub fn neutral(text: &str, snippet: &Snippet) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let own = format!("{}.", snippet.id);
    while let Some(at) = rest.find(&own) {
        let (before, after) = rest.split_at(at);
        // The path before it goes.
        let start = before.rfind(|letter: char| letter.is_whitespace() || letter == '"').map_or(0, |space| space + 1);
        out.push_str(before.get(..start).unwrap_or_default());
        rest = after.get(own.len()..).unwrap_or_default();
    }
    out.push_str(rest);
    let out = out.replace(&format!("/{}", snippet.id), "/SELF");
    let mut parts = out.split("127.0.0.1:");
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        told.push_str("ADDRESS");
        told.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    }
    told
}
