//! Host names: of routes, endpoints and certificates.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Kind;
use crate::HostPattern;
use crate::node::Node;
use crate::source::Read;

/// Longest name of RFC 1035, 2.3.4, without the root's dot.
const NAME_LIMIT: usize = 253;

/// Longest label, same place.
const LABEL_LIMIT: usize = 63;

/// The host that a route is for.
pub(crate) struct Host;

impl Kind for Host {
    type Value = HostPattern;

    fn expected(&self) -> String {
        "a host such as \"api.example.com\" or \"*.example.com\"".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<HostPattern> {
        let text = node.text().unwrap_or_default();
        parse_pattern(text).ok_or_else(|| node.wrong(&self.expected(), advise(text)))
    }
}

/// The name that a server's certificate must have.
pub(crate) struct ServerName;

impl Kind for ServerName {
    type Value = String;

    fn expected(&self) -> String {
        "a host name or an IP address".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        let text = node.text().unwrap_or_default();
        parse(text).ok_or_else(|| node.wrong(&self.expected(), advise(text)))
    }
}

fn parse_pattern(text: &str) -> Option<HostPattern> {
    match text.strip_prefix("*.") {
        // A number below a wildcard is no host: addresses have no subdomains.
        Some(suffix) if is_name(suffix) => Some(HostPattern::Wildcard(suffix.to_ascii_lowercase())),
        Some(_) => None,
        None => parse(text).map(HostPattern::Exact),
    }
}

/// A name in lower case, or an address in its usual form and without brackets.
pub(crate) fn parse(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return Some(address.to_string());
    }
    if text.parse::<Ipv4Addr>().is_ok() {
        return Some(text.into());
    }
    is_name(text).then(|| text.to_ascii_lowercase())
}

/// Labels of letters, digits, `-` and `_` (not a letter of host names by RFC 952, but usual inside container networks),
/// the last of them not a number: that would be an IPv4 address gone wrong (WHATWG URL, "ends in a number").
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| {
        (1..=LABEL_LIMIT).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number = text.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= NAME_LIMIT && text.split('.').all(is_label) && !last_is_number
}

fn advise(text: &str) -> String {
    if !text.is_ascii() {
        return "write the name as DNS has it, with `xn--` labels (Punycode)".into();
    }
    if text == "*" {
        return "leave `host` out: the route is then for every host".into();
    }
    if text.contains("://") {
        return "write the host alone, without scheme and path".into();
    }
    if text.strip_prefix("*.").unwrap_or(text).contains('*') {
        return "a wildcard stands at the start and for whole labels: \"*.example.com\"".into();
    }
    if let Some(name) = text.strip_suffix('.').filter(|name| parse_pattern(name).is_some()) {
        return format!("write \"{name}\", without the dot at the end");
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && parse_pattern(host).is_some() => {
            format!("write \"{host}\", without the port")
        }
        _ => "write labels of letters, digits, `-` and `_`, separated by dots, or an IP address".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_kept_in_one_form() {
        let exact = |text: &str| Some(HostPattern::Exact(text.into()));
        let wildcard = |text: &str| Some(HostPattern::Wildcard(text.into()));
        for (text, expected) in [
            ("API.Example.com", exact("api.example.com")),
            ("localhost", exact("localhost")),
            ("my_service", exact("my_service")),
            ("xn--bcher-kva.example", exact("xn--bcher-kva.example")),
            ("192.0.2.1", exact("192.0.2.1")),
            ("[2001:DB8:0::1]", exact("2001:db8::1")),
            ("::1", exact("::1")),
            ("*.Example.com", wildcard("example.com")),
        ] {
            assert_eq!(parse_pattern(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_advice() {
        let long = "x".repeat(64);
        for (text, advice) in [
            ("", "labels"),
            ("*", "leave `host` out"),
            ("*.*.com", "at the start"),
            ("a*.com", "at the start"),
            ("*.192.0.2.1", "labels"),
            ("256.0.0.1", "labels"),
            ("a..b", "labels"),
            ("-a.com", "labels"),
            ("a b", "labels"),
            ("bücher.example", "Punycode"),
            ("example.com.", "without the dot"),
            ("example.com:80", "without the port"),
            ("https://example.com", "without scheme"),
            (long.as_str(), "labels"),
        ] {
            assert_eq!(parse_pattern(text), None, "{text}");
            assert!(advise(text).contains(advice), "{text}: {}", advise(text));
        }
    }
}
