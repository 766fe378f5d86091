//! JSON Web Signature, compact serialisation (RFC 7515), with a shared key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use witgate_sdk::crypto;

use crate::config::Algorithm;
use crate::denial::{Stop, TokenFault};
use crate::object::{Object, Value};

/// Media types of tokens, less `application/` (RFC 7519, section 5.1; RFC 9068, section 2.1). Tokens that say to be
/// something else were made for another purpose (RFC 8725, section 3.11).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// Longest header that is read, in bytes of base64url. It is read before the signature is verified, so strangers choose
/// what is in it; 8 KiB of small members take 160 us instead of 25 (2 vCPU, 2026-11), and no issuer needs them.
const HEADER_LIMIT: usize = 1024;

/// A token whose header is acceptable. The payload cannot be had before the signature was verified.
#[derive(Debug)]
pub struct Jws<'t> {
    algorithm: Algorithm,
    signing_input: &'t [u8],
    payload: &'t [u8],
    signature: Vec<u8>,
}

impl<'t> Jws<'t> {
    /// Takes exactly three segments. Fields of the header that point to keys (`jku`, `jwk`, `kid`, `x5u` and others) have no
    /// effect: the key is the operator's choice.
    pub fn parse(token: &'t [u8], accepted: &[Algorithm]) -> Result<Self, TokenFault> {
        let (signing_input, signature) = split_last_dot(token).ok_or(TokenFault::Invalid)?;
        let (header, payload) = split_last_dot(signing_input).ok_or(TokenFault::Invalid)?;
        if header.len() > HEADER_LIMIT {
            return Err(TokenFault::Invalid);
        }
        // A fourth segment would be part of the header here, and a dot is no base64url.
        let header = Object::parse(&decode(header)?).ok_or(TokenFault::Invalid)?;
        let algorithm = check_header(&header, accepted).ok_or(TokenFault::Invalid)?;
        Ok(Self { algorithm, signing_input, payload, signature: decode(signature)? })
    }

    /// The payload, if the signature is of the key of this name.
    pub fn verify(&self, key: &str) -> Result<Object, Stop> {
        let Self { algorithm, signing_input, payload, signature } = self;
        if !crypto::hmac_verify(algorithm.hash(), key, signing_input, signature).map_err(Stop::Fail)? {
            return Err(TokenFault::Invalid.into());
        }
        Ok(Object::parse(&decode(payload)?).ok_or(TokenFault::Invalid)?)
    }
}

/// The algorithm of the header (RFC 7515, section 4.1), if that is one of those accepted and nothing else is in the way.
fn check_header(header: &Object, accepted: &[Algorithm]) -> Option<Algorithm> {
    // Extensions that must be understood: none is.
    if header.get("crit").is_some() {
        return None;
    }
    match header.get("typ") {
        None => {}
        Some(Value::Text(typ)) if is_token_type(typ) => {}
        Some(_) => return None,
    }
    let Some(Value::Text(name)) = header.get("alg") else { return None };
    accepted.iter().copied().find(|algorithm| algorithm.name() == name)
}

/// Media types have no case, and may leave `application/` out (RFC 7515, section 4.1.9).
fn is_token_type(typ: &str) -> bool {
    const PREFIX: &str = "application/";
    let short = match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    };
    TYPES.iter().any(|known| known.eq_ignore_ascii_case(short))
}

fn split_last_dot(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, rest) = text.split_at_checked(text.iter().rposition(|byte| *byte == b'.')?)?;
    Some((before, rest.strip_prefix(b".")?))
}

/// Strict base64url (RFC 7515, section 2): no padding, no other characters, and no bits left over, so that a token has one
/// spelling only.
fn decode(segment: &[u8]) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| TokenFault::Invalid)
}

#[cfg(test)]
mod tests {
    use witgate_sdk::testing::World;

    use super::*;
    use crate::denial::Denial;

    const ALL: [Algorithm; 3] = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];
    const INVALID: Stop = Stop::Deny(Denial::Token(TokenFault::Invalid));

    fn install_key() {
        World::new().hmac_key("session", b"secret").install();
    }

    fn signed_by(algorithm: Algorithm, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let mac = crypto::hmac(algorithm.hash(), "session", input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    fn signed(header: &str) -> String {
        signed_by(Algorithm::Hs256, header, "{}")
    }

    fn read(token: &str, accepted: &[Algorithm]) -> Result<Object, Stop> {
        Jws::parse(token.as_bytes(), accepted)?.verify("session")
    }

    fn is_accepted(token: &str) -> bool {
        match read(token, &[Algorithm::Hs256]) {
            Ok(_) => true,
            Err(stop) => {
                assert_eq!(stop, INVALID, "nothing tells what was wrong: {token}");
                false
            }
        }
    }

    #[test]
    fn the_token_of_rfc_7515_appendix_a_1_is_verified() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        World::new().hmac_key("session", &URL_SAFE_NO_PAD.decode(key).unwrap()).install();
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
                     .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
                     .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let claims = read(token, &[Algorithm::Hs256]).unwrap();
        assert_eq!(claims.get("iss"), Some(&Value::Text("joe".to_owned())));
        assert_eq!(claims.get("exp"), Some(&Value::Integer(1_300_819_380)));
        assert_eq!(claims.get("http://example.com/is_root"), Some(&Value::Flag(true)));

        World::new().hmac_key("session", b"another").install();
        assert_eq!(read(token, &[Algorithm::Hs256]).unwrap_err(), INVALID);
    }

    #[test]
    fn each_algorithm_is_accepted_only_if_it_is_listed() {
        install_key();
        for algorithm in ALL {
            let token = signed_by(algorithm, format!(r#"{{"alg":"{}"}}"#, algorithm.name()), "{}");
            for accepted in ALL {
                assert_eq!(read(&token, &[accepted]).is_ok(), accepted == algorithm, "{algorithm:?} for {accepted:?}");
            }
            assert!(read(&token, &ALL).is_ok());
        }
    }

    #[test]
    fn the_signature_is_of_the_algorithm_that_the_header_names() {
        install_key();
        for algorithm in [Algorithm::Hs384, Algorithm::Hs512] {
            let token = signed_by(algorithm, r#"{"alg":"HS256"}"#, "{}");
            assert_eq!(read(&token, &ALL).unwrap_err(), INVALID, "{algorithm:?}");
        }
    }

    #[test]
    fn algorithms_other_than_hmac_are_never_accepted() {
        install_key();
        for alg in
            [r#""none""#, r#""None""#, r#""hs256""#, r#""RS256""#, r#""ES256""#, r#""""#, "null", "1", r#"["HS256"]"#]
        {
            assert!(!is_accepted(&signed(&format!(r#"{{"alg":{alg}}}"#))), "{alg}");
        }
        assert!(!is_accepted(&signed(r#"{"typ":"JWT"}"#)), "no algorithm");
        let unsigned = signed(r#"{"alg":"none"}"#);
        assert!(!is_accepted(&unsigned[..=unsigned.rfind('.').unwrap()]), "no signature");
    }

    #[test]
    fn only_tokens_of_the_right_type_are_accepted() {
        install_key();
        for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/jwt", "Application/At+Jwt"] {
            assert!(is_accepted(&signed(&format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#))), "{typ}");
        }
        for typ in [r#""JOSE""#, r#""dpop+jwt""#, r#""application/""#, r#""text/jwt""#, r#""""#, "null", "1"] {
            assert!(!is_accepted(&signed(&format!(r#"{{"alg":"HS256","typ":{typ}}}"#))), "{typ}");
        }
    }

    #[test]
    fn extensions_that_must_be_understood_are_refused() {
        install_key();
        for crit in [r#"["exp"]"#, r#"["b64"],"b64":false"#, "[]", "null"] {
            assert!(!is_accepted(&signed(&format!(r#"{{"alg":"HS256","crit":{crit}}}"#))), "{crit}");
        }
    }

    #[test]
    fn pointers_to_keys_have_no_effect() {
        install_key();
        assert!(is_accepted(&signed(
            r#"{"alg":"HS256","kid":"../../x","jku":"https://evil.example","jwk":{"kty":"oct"}}"#
        )));
    }

    #[test]
    fn a_header_of_more_than_one_kibibyte_is_not_read() {
        install_key();
        // Less the 24 bytes around the padding; four bytes of base64url stand for three.
        let padded = |length: usize| signed(&format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(length - 24)));
        assert!(is_accepted(&padded(HEADER_LIMIT / 4 * 3)));
        assert!(!is_accepted(&padded(HEADER_LIMIT / 4 * 3 + 1)));
    }

    #[test]
    fn header_and_payload_are_objects_with_unique_names() {
        install_key();
        for header in
            ["", "null", r#""HS256""#, r#"["alg"]"#, r#"{"alg":"HS256"}{}"#, r#"{"alg":"HS256","alg":"HS256"}"#]
        {
            assert!(!is_accepted(&signed(header)), "header {header:?}");
        }
        for payload in ["", "null", "[]", "1", "{}{}", r#"{"sub":"a","sub":"b"}"#, "eyJhIjoxfQ"] {
            assert!(!is_accepted(&signed_by(Algorithm::Hs256, r#"{"alg":"HS256"}"#, payload)), "payload {payload:?}");
        }
        assert!(!is_accepted(&signed_by(Algorithm::Hs256, r#"{"alg":"HS256"}"#, b"{\"a\":\"\xff\"}")));
    }

    #[test]
    fn a_token_has_exactly_three_segments() {
        install_key();
        let token = signed(r#"{"alg":"HS256"}"#);
        let segments: Vec<_> = token.split('.').collect();
        assert!(is_accepted(&segments.join(".")));
        for wrong in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "...".to_owned(),
            segments[0].to_owned(),
            segments[..2].join("."),
            segments[1..].join("."),
            format!(".{token}"),
            format!("{token}."),
            format!("{token}.{}", segments[2]),
            format!("{}.{token}", segments[0]),
            format!("{}..{}", segments[0], segments[2]),
            format!(".{}.{}", segments[1], segments[2]),
        ] {
            assert!(!is_accepted(&wrong), "{wrong}");
        }
    }

    #[test]
    fn base64url_has_one_spelling_only() {
        assert_eq!(decode(b"").unwrap(), b"");
        assert_eq!(decode(b"-_8").unwrap(), [0xfb, 0xff]);
        for wrong in ["Zg==", "Zg=", "Zh", "Zm9", "Z", "+/8", "Zm 8", "Zm8\n", " Zm8", "Z\u{e9}"] {
            assert_eq!(decode(wrong.as_bytes()), Err(TokenFault::Invalid), "{wrong:?}");
        }
    }

    #[test]
    fn no_change_of_a_byte_leaves_a_token_acceptable() {
        install_key();
        let token = signed_by(Algorithm::Hs256, r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"sub":"alice","exp":1}"#);
        assert!(is_accepted(&token));
        let replacements: Vec<u8> = (b'!'..=b'~').chain([0, b' ', b'\n', 0x80, 0xff]).collect();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            let original = changed[at];
            for replacement in replacements.iter().filter(|byte| **byte != original) {
                changed[at] = *replacement;
                let read = Jws::parse(&changed, &ALL).map_err(Stop::from).and_then(|jws| jws.verify("session"));
                assert_eq!(read.err(), Some(INVALID), "{replacement:#x} at {at}");
            }
            changed.remove(at);
            let read = Jws::parse(&changed, &ALL).map_err(Stop::from).and_then(|jws| jws.verify("session"));
            assert_eq!(read.err(), Some(INVALID), "none at {at}");
            assert!(!is_accepted(&token[..at]), "cut at {at}");
        }
    }

    #[test]
    fn a_key_that_is_not_granted_is_a_failure_and_no_verdict() {
        install_key();
        let token = signed(r#"{"alg":"HS256"}"#);
        World::new().install();
        assert!(matches!(read(&token, &ALL), Err(Stop::Fail(_))));
    }
}
