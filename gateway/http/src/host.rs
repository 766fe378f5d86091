//! The host of a request, in the form that routes are compared in.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Longest host in bytes: the longest name that the DNS can carry (RFC 1035, section 3.1). It also bounds what a hostile
/// host full of dots can cost when wildcards are tried.
pub const HOST_LIMIT: usize = 253;

/// Why an authority has no usable host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("the host is empty")]
    Empty,
    #[error("the host is longer than {HOST_LIMIT} bytes")]
    TooLong,
    #[error("the host has an empty label")]
    EmptyLabel,
    #[error("the host contains a character that no host name has")]
    Character,
    #[error("the host is not an IPv6 address in brackets")]
    Ipv6,
    #[error("the port is not a number from 0 to 65535")]
    Port,
}

/// The host of `authority` (RFC 3986, section 3.2, without user information): no port, no brackets, no dot at the end,
/// lower case; IPv6 in the canonical text of RFC 5952. Borrowed if it was so already, except for IPv6.
///
/// # Errors
/// The authority is none that a client may send: [`HostError`] says why.
pub fn host_of(authority: &str) -> Result<Cow<'_, str>, HostError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(HostError::Ipv6)?;
        if !port.is_empty() {
            check_port(port.strip_prefix(':').ok_or(HostError::Port)?)?;
        }
        let address: Ipv6Addr = address.parse().map_err(|_| HostError::Ipv6)?;
        return Ok(Cow::Owned(address.to_string()));
    }
    let name = match authority.split_once(':') {
        Some((name, port)) => {
            check_port(port)?;
            name
        }
        None => authority,
    };
    host_name(name)
}

/// `name`, without a dot at the end and in lower case. Borrowed if it was so already.
///
/// # Errors
/// It is no name of a host: [`HostError`] says why.
pub fn host_name(name: &str) -> Result<Cow<'_, str>, HostError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if name.len() > HOST_LIMIT {
        return Err(HostError::TooLong);
    }
    let mut previous = b'.';
    let mut upper = false;
    for byte in name.bytes() {
        match byte {
            b'.' if previous == b'.' => return Err(HostError::EmptyLabel),
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {}
            b'A'..=b'Z' => upper = true,
            _ => return Err(HostError::Character),
        }
        previous = byte;
    }
    if previous == b'.' {
        return Err(HostError::EmptyLabel);
    }
    Ok(if upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

/// The port of an authority that [`host_of`] takes; none where it says nothing about it.
pub fn port_of(authority: &str) -> Option<u16> {
    let after_address = authority.rfind(']').map_or(0, |end| end + 1);
    let (_, port) = authority.get(after_address..)?.split_once(':')?;
    port.parse().ok()
}

/// The port may be empty (RFC 3986, section 3.2.3).
fn check_port(port: &str) -> Result<(), HostError> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (port.is_empty() || port.parse::<u16>().is_ok()) { Ok(()) } else { Err(HostError::Port) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_and_final_dot_are_no_part_of_the_host() {
        for authority in ["example.com", "example.com:80", "example.com:", "example.com.", "example.com.:443"] {
            assert_eq!(host_of(authority).unwrap(), "example.com", "{authority}");
        }
    }

    #[test]
    fn a_host_in_lower_case_is_borrowed() {
        assert!(matches!(host_of("example.com:8080"), Ok(Cow::Borrowed("example.com"))));
        assert_eq!(host_of("EXAMPLE.Com").unwrap(), "example.com");
    }

    #[test]
    fn an_ipv6_address_loses_its_brackets_and_becomes_canonical() {
        for authority in ["[::1]", "[::1]:8080", "[0:0:0:0:0:0:0:1]"] {
            assert_eq!(host_of(authority).unwrap(), "::1", "{authority}");
        }
        assert_eq!(host_of("[2001:DB8::A]").unwrap(), "2001:db8::a");
    }

    #[test]
    fn a_port_is_what_stands_behind_the_host() {
        for (authority, port) in [
            ("a.test", None),
            ("a.test:", None),
            ("a.test:8080", Some(8080)),
            ("[::1]", None),
            ("[::1]:", None),
            ("[::1]:443", Some(443)),
        ] {
            assert_eq!(port_of(authority), port, "{authority}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_reason() {
        let long = "a".repeat(HOST_LIMIT + 1);
        for (authority, error) in [
            ("", HostError::Empty),
            (":80", HostError::Empty),
            (".", HostError::Empty),
            ("a..b", HostError::EmptyLabel),
            (".a", HostError::EmptyLabel),
            ("a..", HostError::EmptyLabel),
            ("user@example.com", HostError::Character),
            ("example.com/x", HostError::Character),
            ("exa mple.com", HostError::Character),
            ("bücher.example", HostError::Character),
            ("*.example.com", HostError::Character),
            ("::1", HostError::Port),
            ("[::1", HostError::Ipv6),
            ("[fe80::1%eth0]", HostError::Ipv6),
            ("[example.com]", HostError::Ipv6),
            ("[::1]x", HostError::Port),
            ("example.com:65536", HostError::Port),
            ("example.com:+80", HostError::Port),
            ("example.com:80:80", HostError::Port),
            (long.as_str(), HostError::TooLong),
        ] {
            assert_eq!(host_of(authority), Err(error), "{authority}");
        }
    }
}
