//! Addresses to listen on.

use std::net::SocketAddr;

use super::{Kind, Shown};
use crate::node::Node;
use crate::source::Read;

/// An IP address and a port; port 0 takes a free one.
pub(crate) struct Address;

impl Kind for Address {
    type Value = SocketAddr;

    fn expected(&self) -> String {
        "an IP address and a port".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<SocketAddr> {
        let text = node.text().unwrap_or_default();
        text.parse().map_err(|_| node.wrong(&self.expected(), advise(text)))
    }
}

impl Shown for Address {
    fn show(&self, value: &SocketAddr) -> String {
        format!("\"{value}\"")
    }
}

fn advise(text: &str) -> String {
    let port = text.strip_prefix(':').unwrap_or(text);
    if port.parse::<u16>().is_ok() {
        return format!("write \"127.0.0.1:{port}\" for this machine only or \"0.0.0.0:{port}\" for every interface");
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return format!("names are not resolved here: write \"127.0.0.1:{port}\" or \"[::1]:{port}\"");
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return format!("IPv6 wants brackets and a port: write \"[{text}]:8080\"");
    }
    if text.parse::<std::net::Ipv4Addr>().is_ok() {
        return format!("add a port: write \"{text}:8080\"");
    }
    "write a string such as \"127.0.0.1:8080\" or \"[::1]:8080\"".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_mends_the_usual_mistakes() {
        for (text, advice) in [
            (":8080", "\"127.0.0.1:8080\""),
            ("8080", "\"0.0.0.0:8080\""),
            ("localhost:80", "\"127.0.0.1:80\""),
            ("::1", "\"[::1]:8080\""),
            ("10.0.0.1", "\"10.0.0.1:8080\""),
            ("", "\"127.0.0.1:8080\""),
        ] {
            assert!(advise(text).contains(advice), "{text}: {}", advise(text));
        }
    }
}
