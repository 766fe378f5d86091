//! Fields that concern one connection alone (RFC 9110, section 7.6.1).

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, UPGRADE};

use crate::http1::field::elements;

static OF_ONE_CONNECTION: [HeaderName; 5] = [
    CONNECTION,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Fields that belong to the message, whatever `Connection` says.
const END_TO_END: [&str; 4] = ["content-length", "content-type", "host", "transfer-encoding"];

/// Removes what concerned the sender's connection alone, and with it what `Connection` names. Before any stage runs: a
/// client that could name a field which a stage sets could take its own identity away.
///
/// Framing stays, for stages to read: the message is framed anew when it is sent. `Upgrade` stays if it means something, and
/// so does `TE`, which a client has to name in `Connection` (RFC 9110, section 10.1.4): it says whether trailers are welcome,
/// until the request is sent on.
pub fn strip(headers: &mut HeaderMap, upgrade: bool) {
    // Nearly always there are none of them or one, and looking at all names once takes less time than looking up each of these.
    let mut found = [false; OF_ONE_CONNECTION.len()];
    for name in headers.keys() {
        if let Some(found) = of_one_connection(name).and_then(|at| found.get_mut(at)) {
            *found = true;
        }
    }
    if found == [false; OF_ONE_CONNECTION.len()] {
        return;
    }
    if headers.contains_key(CONNECTION) {
        for field in nominated(headers) {
            headers.remove(field);
        }
    }
    for (name, _) in
        OF_ONE_CONNECTION.iter().zip(found).filter(|(name, found)| *found && !(upgrade && *name == UPGRADE))
    {
        headers.remove(name);
    }
}

/// Its place in [`OF_ONE_CONNECTION`].
fn of_one_connection(name: &HeaderName) -> Option<usize> {
    // By length first, as most are none of these.
    if !matches!(name.as_str().len(), 7 | 10 | 14 | 16) {
        return None;
    }
    OF_ONE_CONNECTION.iter().position(|known| known == name)
}

/// The fields that `Connection` names, wherever in the message they stand; nearly always none.
pub fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let names = elements(headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes));
    names
        // It is the usual option rather than the field, which goes in any case.
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|field| *field != UPGRADE && *field != TE && !END_TO_END.contains(&field.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connection_names_goes_and_what_belongs_to_the_message_stays() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop ,host"),
            ("connection", "content-length, x-other"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("x-end", "1"),
            ("host", "a"),
            ("content-length", "1"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "websocket"),
        ] {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let mut tunnel = headers.clone();
        strip(&mut headers, false);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "x-end"]);
        strip(&mut tunnel, true);
        assert!(tunnel.contains_key("upgrade") && !tunnel.contains_key("x-hop"));
        let mut trailers =
            HeaderMap::from_iter([(CONNECTION, "close, TE".parse().unwrap()), (TE, "trailers".parse().unwrap())]);
        strip(&mut trailers, false);
        assert!(trailers.contains_key(TE) && !trailers.contains_key(CONNECTION));
        for alone in ["connection", "http2-settings", "keep-alive", "proxy-connection", "upgrade"] {
            let mut headers = HeaderMap::from_iter([(HeaderName::from_static(alone), "x".parse().unwrap())]);
            strip(&mut headers, false);
            assert!(headers.is_empty(), "{alone}");
        }
    }
}
