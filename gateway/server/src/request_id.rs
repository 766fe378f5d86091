//! The id under which a request is logged, here and upstream.

use std::sync::Arc;

use http::HeaderMap;
use http::header::HeaderValue;
use witgate_http::request_id::given;

/// The client's id if it sent exactly one valid one, else a new one.
pub fn of(headers: &HeaderMap) -> Arc<str> {
    given(headers).map_or_else(mint, Arc::from)
}

/// An id as a field's value.
pub fn field(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// 128 random bits as 32 hexadecimal digits: unique without coordination, not secret.
pub fn mint() -> Arc<str> {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let mut digits = [0_u8; 32];
    let (pairs, _) = digits.as_chunks_mut();
    for (pair, byte) in pairs.iter_mut().zip(fastrand::u128(..).to_le_bytes()) {
        *pair = [digit(byte >> 4), digit(byte & 0xf)];
    }
    Arc::from(std::str::from_utf8(&digits).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use witgate_http::request_id::FIELD;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|v| (FIELD, v.parse().unwrap())).collect()
    }

    #[test]
    fn a_valid_id_is_kept() {
        for id in ["a", "6f1f2c0e-4c8b-4d0e-9b7e-0a1b2c3d4e5f", "Root=1-67891233-abcdef012345678912345678"] {
            let kept = of(&headers(&[id]));
            assert_eq!((&*kept, field(&kept).to_str().unwrap()), (id, id));
        }
    }

    #[test]
    fn an_invalid_or_doubled_id_is_replaced() {
        let long = "x".repeat(129);
        for ids in [&["a b"][..], &["\"x\""], &[""], &[&long], &["a", "b"], &[]] {
            let id = of(&headers(ids));
            assert_eq!(field(&id).to_str().unwrap(), &*id);
            assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{ids:?} gave {id}");
        }
    }

    #[test]
    fn minted_ids_differ() {
        assert_ne!(mint(), mint());
    }
}
