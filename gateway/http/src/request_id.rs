//! The id under which a request is logged, as a client may bring it along.

use http::header::{HeaderMap, HeaderName};

/// Field that carries the id, in requests and responses.
pub const FIELD: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken over from a client, in bytes: enough for every usual scheme (a UUID has 36), short enough for logs.
pub const LENGTH_LIMIT: usize = 128;

/// The client's id, if it sent exactly one valid one.
///
/// Valid are letters, digits and `-._~+/=:@`: what UUIDs, ULIDs, base64 and trace ids are made of, and nothing that
/// could break a log line.
pub fn given(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(&FIELD).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok().filter(|id| is_valid(id))
}

fn is_valid(id: &str) -> bool {
    (1..=LENGTH_LIMIT).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=:@".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (FIELD, value.parse().unwrap())).collect()
    }

    #[test]
    fn a_valid_id_is_taken() {
        for id in ["a", "6f1f2c0e-4c8b-4d0e-9b7e-0a1b2c3d4e5f", "Root=1-67891233-abcdef012345678912345678"] {
            assert_eq!(given(&headers(&[id])), Some(id));
        }
    }

    #[test]
    fn an_invalid_or_doubled_id_is_not() {
        let long = "x".repeat(LENGTH_LIMIT + 1);
        for ids in [&["a b"][..], &["\"x\""], &[""], &[&long], &["a", "b"], &[]] {
            assert_eq!(given(&headers(ids)), None, "{ids:?}");
        }
    }
}
