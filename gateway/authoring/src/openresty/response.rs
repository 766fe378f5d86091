//! What came back over a connection, as the responses that it is made of.

use super::text::Text;

/// One response.
#[derive(Debug, Default, PartialEq)]
pub struct Response {
    pub status: Option<u16>,
    /// Status line and fields, up to and with the line break before the empty line.
    pub head: Text,
    /// Without the framing of chunks.
    pub body: Text,
    /// Why its body is not whole.
    pub problem: Option<&'static str>,
}

impl Response {
    /// Takes the first response of `text`; gives it, and what follows it.
    pub fn take(text: &str, to_head: bool) -> (Self, Text) {
        let Some((head, rest)) = text.split_once("\r\n\r\n") else {
            return (Self { head: text.to_owned(), ..Self::default() }, Text::new());
        };
        let mut response = Self { status: status(head), head: format!("{head}\r\n"), ..Self::default() };
        if response.status == Some(100) {
            return Self::take(rest, to_head);
        }
        if matches!(response.status, Some(304 | 101)) {
            response.body = rest.to_owned();
            return (response, Text::new());
        }
        let mut left = "";
        if response.field("Transfer-Encoding").as_deref() == Some("chunked") {
            if !to_head {
                match unchunked(rest) {
                    Ok((body, after)) => (response.body, left) = (body, after),
                    Err(problem) => response.problem = Some(problem),
                }
            }
        } else {
            let length = response.field("Content-Length").and_then(|length| length.trim().parse::<usize>().ok());
            let end = length.and_then(|length| rest.char_indices().nth(length)).map_or(rest.len(), |(at, _)| at);
            let (body, after) = rest.split_at(end);
            (response.body, left) = (body.to_owned(), after);
        }
        (response, left.to_owned())
    }

    /// The value of a field; of several, all with commas between them. Hyphens and underscores are alike in its name, as they
    /// are to Perl's HTTP library, by which cases are written.
    pub fn field(&self, name: &str) -> Option<Text> {
        let same = |a: &str| a.replace('_', "-").eq_ignore_ascii_case(&name.replace('_', "-"));
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        let values: Vec<&str> = lines.filter(|(found, _)| same(found)).map(|(_, value)| value.trim()).collect();
        if values.is_empty() { None } else { Some(values.join(", ")) }
    }
}

fn status(head: &str) -> Option<u16> {
    let mut words = head.split([' ', '\r']);
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

/// The body of chunks, and what follows the last.
fn unchunked(text: &str) -> Result<(Text, &str), &'static str> {
    let mut body = Text::new();
    let mut rest = text;
    loop {
        let (size, after) = rest.split_once("\r\n").ok_or("it has no last chunk")?;
        let size = usize::from_str_radix(size.trim_matches([' ', '\t']), 16).map_err(|_| "a chunk has no size")?;
        if size == 0 {
            let (_, left) = match after.strip_prefix("\r\n") {
                Some(left) => ("", left),
                None => after.split_once("\r\n\r\n").ok_or("its last chunk is cut off")?,
            };
            return Ok((body, left));
        }
        let end = after.char_indices().nth(size).map_or(after.len(), |(at, _)| at);
        let (chunk, left) = after.split_at(end);
        body.push_str(chunk);
        rest = left.strip_prefix("\r\n").ok_or("a chunk is cut off")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_follow_each_other() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX_a: 1\r\nx-a: 2\r\n\r\nabHTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n\
                    2\r\ncd\r\n1\r\n\u{ff}\r\n0\r\n\r\nrest";
        let (first, left) = Response::take(text, false);
        assert_eq!((first.status, first.body.as_str(), first.field("X-A").as_deref()), (Some(200), "ab", Some("1, 2")));
        let (second, left) = Response::take(&left, false);
        assert_eq!((second.status, second.body.as_str(), left.as_str()), (Some(404), "cd\u{ff}", "rest"));
    }

    #[test]
    fn what_is_cut_off_is_said() {
        let (response, _) = Response::take("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", false);
        assert!(response.problem.is_some());
        assert_eq!(Response::take("", false).0.status, None);
        assert_eq!(Response::take("garbage\r\n\r\n", false).0.status, None);
    }
}
