//! Addresses of services.

use std::net::Ipv6Addr;

use super::{Kind, host};
use crate::Endpoint;
use crate::node::Node;
use crate::source::Read;

/// A host name or an IP address, and a port.
pub(crate) struct EndpointAddress;

impl Kind for EndpointAddress {
    type Value = Endpoint;

    fn expected(&self) -> String {
        "a host or an IP address, and a port".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<Endpoint> {
        let text = node.text().unwrap_or_default();
        parse(text).ok_or_else(|| node.wrong(&self.expected(), advise(text)))
    }
}

fn parse(text: &str) -> Option<Endpoint> {
    let (name, port) = text.rsplit_once(':')?;
    // Without brackets `::1:80` could be an address alone.
    let bracketed = name.starts_with('[') && name.ends_with(']');
    if name.contains(':') != bracketed || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port = port.parse().ok().filter(|port| *port != 0)?;
    host::parse(name).map(|host| Endpoint { host, port })
}

fn advise(text: &str) -> String {
    let example = "such as \"127.0.0.1:9000\", \"backend.local:9000\" or \"[::1]:9000\"";
    if text.contains("://") {
        return format!("leave out scheme and path; `tls` chooses TLS: write a string {example}");
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return format!("IPv6 wants brackets and a port: write \"[{text}]:80\"");
    }
    if host::parse(text).is_some() {
        return format!("add a port: write \"{text}:80\"");
    }
    format!("write a string {example}, with a port from 1 to 65535")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_a_host_and_a_port() {
        for (text, host, port) in [
            ("127.0.0.1:9000", "127.0.0.1", 9000),
            ("Backend.local:1", "backend.local", 1),
            ("[::1]:65535", "::1", 65535),
        ] {
            assert_eq!(parse(text), Some(Endpoint { host: host.into(), port }), "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_advice() {
        for (text, advice) in [
            ("", "a string such as"),
            ("backend", "\"backend:80\""),
            ("::1", "\"[::1]:80\""),
            ("::1:80", "\"[::1:80]:80\""),
            ("http://backend:80", "scheme"),
            ("backend:0", "from 1"),
            ("backend:65536", "from 1"),
            ("backend:+80", "from 1"),
            ("back end:80", "from 1"),
            ("[backend]:80", "from 1"),
        ] {
            assert_eq!(parse(text), None, "{text}");
            assert!(advise(text).contains(advice), "{text}: {}", advise(text));
        }
    }
}
