//! What is counted apart.

use std::net::IpAddr;
use std::str::FromStr;

use witgate_sdk::{HeaderName, Request};

/// Which requests share a bucket.
#[derive(Debug, PartialEq, Eq)]
pub enum Key {
    /// Those of one client.
    Client,
    /// All of the route.
    Route,
    /// Those with the same value of a header field.
    Header(HeaderName),
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "client" => Ok(Self::Client),
            "route" => Ok(Self::Route),
            _ => match text.strip_prefix("header:") {
                Some(name) => name.parse().map(Self::Header).map_err(|error| format!("`header:NAME`: {error}")),
                None => Err(format!("expected `client`, `route` or `header:NAME`, not {text:?}")),
            },
        }
    }
}

impl Key {
    /// The key of a request. A letter in front keeps a header's value from passing as an address.
    pub fn of(&self, request: &Request<'_>) -> Vec<u8> {
        match self {
            Self::Route => [b"r", request.route().as_bytes()].concat(),
            Self::Client => client(request),
            Self::Header(name) => match request.header(name.as_str()) {
                Some(value) => [b"h", value.as_slice()].concat(),
                None => client(request),
            },
        }
    }
}

fn client(request: &Request<'_>) -> Vec<u8> {
    let address = request.client().address;
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => [b"4", v4.octets().as_slice()].concat(),
        Ok(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => [b"4", v4.octets().as_slice()].concat(),
            None => [b"6".as_slice(), v6.octets().first_chunk::<8>().map_or(&[], |network| network)].concat(),
        },
        Err(_) => [b"?", address.as_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use witgate_sdk::testing::TestRequest;

    fn key(key: &str, request: TestRequest) -> Vec<u8> {
        key.parse::<Key>().unwrap().of(&request.request())
    }

    fn from(address: &str) -> TestRequest {
        TestRequest::new("GET", "/").client(address)
    }

    #[test]
    fn clients_are_told_apart_by_address() {
        assert_ne!(key("client", from("192.0.2.1")), key("client", from("192.0.2.2")));
        assert_eq!(key("client", from("192.0.2.1")), key("client", from("::ffff:192.0.2.1")));
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client() {
        assert_eq!(key("client", from("2001:db8::1")), key("client", from("2001:db8::ffff:1")));
        assert_ne!(key("client", from("2001:db8::1")), key("client", from("2001:db8:0:1::1")));
    }

    #[test]
    fn a_missing_header_counts_by_client() {
        assert_eq!(key("header:x-key", from("192.0.2.1")), key("client", from("192.0.2.1")));
        assert_eq!(
            key("header:X-Key", from("192.0.2.1").header("x-key", "a")),
            key("header:x-key", from("192.0.2.2").header("x-key", "a"))
        );
    }

    #[test]
    fn a_header_cannot_pass_as_an_address() {
        let forged = from("192.0.2.9").header("x-key", [b"4".as_slice(), &[192, 0, 2, 1]].concat());
        assert_ne!(key("header:x-key", forged), key("client", from("192.0.2.1")));
    }

    #[test]
    fn a_route_is_one_key_for_all() {
        assert_eq!(key("route", from("192.0.2.1")), key("route", from("192.0.2.2")));
    }
}
