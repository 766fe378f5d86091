//! What the claims of a token must say (RFC 7519, section 4.1).

use crate::denial::TokenFault;
use crate::field::is_identity;
use crate::object::{Object, Value};

/// The last second of the year 9999, where the calendar of RFC 3339 ends. Later dates are mistakes, such as milliseconds
/// in place of seconds, and would make a token valid for ever.
const LAST_SECOND: i64 = 253_402_300_799;

/// What is expected of the claims.
pub struct Policy {
    issuer: Option<String>,
    audience: Option<String>,
    leeway_ms: u64,
}

impl Policy {
    pub fn new(issuer: Option<String>, audience: Option<String>, leeway_seconds: u32) -> Self {
        Self { issuer, audience, leeway_ms: u64::from(leeway_seconds) * 1000 }
    }

    /// The subject of a token that is valid now, in milliseconds since 1970.
    pub fn check<'c>(&self, claims: &'c Object, now_ms: u64) -> Result<&'c str, TokenFault> {
        let Self { issuer, audience, leeway_ms } = self;
        // A token that never ends cannot be taken back, so `exp` is not optional here.
        let expiry = date(claims, "exp")?.ok_or(TokenFault::Claim("exp"))?;
        if now_ms >= expiry.saturating_add(*leeway_ms) {
            return Err(TokenFault::Expired);
        }
        let latest_start = now_ms.saturating_add(*leeway_ms);
        for name in ["nbf", "iat"] {
            if date(claims, name)?.is_some_and(|start| start > latest_start) {
                return Err(TokenFault::NotYetValid);
            }
        }
        if let Some(issuer) = issuer
            && !is_text(claims.get("iss"), issuer)
        {
            return Err(TokenFault::Issuer);
        }
        check_audience(claims.get("aud"), audience.as_deref())?;
        match claims.get("sub") {
            Some(Value::Text(subject)) if is_identity(subject) => Ok(subject),
            _ => Err(TokenFault::Claim("sub")),
        }
    }
}

/// A token for somebody is not for us unless we are named (RFC 7519, section 4.1.3); one for nobody in particular is for
/// us only if we do not go by a name.
fn check_audience(claim: Option<&Value>, audience: Option<&str>) -> Result<(), TokenFault> {
    let meant = match (claim, audience) {
        (None | Some(Value::Null), None) => true,
        (Some(Value::Texts(texts)), Some(audience)) => texts.iter().any(|text| text == audience),
        (Some(value), Some(audience)) => is_text(Some(value), audience),
        (Some(_), None) | (None, Some(_)) => false,
    };
    if meant { Ok(()) } else { Err(TokenFault::Audience) }
}

fn is_text(value: Option<&Value>, expected: &str) -> bool {
    matches!(value, Some(Value::Text(text)) if text == expected)
}

/// A `NumericDate`, which may have a fraction (RFC 7519, section 2), in milliseconds since 1970. `null` is as good as none:
/// there are issuers that write every claim that they know.
fn date(claims: &Object, name: &'static str) -> Result<Option<u64>, TokenFault> {
    let milliseconds = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Integer(seconds)) if (0..=LAST_SECOND).contains(seconds) => seconds.unsigned_abs() * 1000,
        Some(Value::Number(seconds)) if (0.0..=LAST_SECOND as f64).contains(seconds) => (seconds * 1000.0) as u64,
        Some(_) => return Err(TokenFault::Claim(name)),
    };
    Ok(Some(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds since 1970.
    const NOW: i64 = 1_800_000_000;

    fn check_with(policy: &Policy, members: &str) -> Result<String, TokenFault> {
        let claims = Object::parse(format!("{{{members}}}").as_bytes()).unwrap();
        policy.check(&claims, NOW.unsigned_abs() * 1000).map(str::to_owned)
    }

    fn check(members: &str) -> Result<String, TokenFault> {
        check_with(&Policy::new(None, None, 60), members)
    }

    /// The verdict on claims that are good but for these.
    fn check_and(members: &str) -> Result<String, TokenFault> {
        check(&format!(r#""sub":"alice","exp":{}{members}"#, NOW + 10))
    }

    fn named(issuer: Option<&str>, audience: Option<&str>) -> Policy {
        Policy::new(issuer.map(str::to_owned), audience.map(str::to_owned), 0)
    }

    #[test]
    fn a_token_is_valid_up_to_its_expiry_and_the_leeway() {
        for (expiry, valid) in [(NOW + 1, true), (NOW, true), (NOW - 59, true), (NOW - 60, false), (0, false)] {
            let expected = if valid { Ok("alice".to_owned()) } else { Err(TokenFault::Expired) };
            assert_eq!(check(&format!(r#""sub":"alice","exp":{expiry}"#)), expected, "{}", expiry - NOW);
        }
        let strict = Policy::new(None, None, 0);
        assert_eq!(check_with(&strict, &format!(r#""sub":"alice","exp":{NOW}"#)), Err(TokenFault::Expired));
        assert!(check_with(&strict, &format!(r#""sub":"alice","exp":{NOW}.5"#)).is_ok(), "fractions count");
    }

    #[test]
    fn a_token_is_valid_from_its_start_less_the_leeway() {
        for name in ["nbf", "iat"] {
            for (start, valid) in [(0, true), (NOW, true), (NOW + 60, true), (NOW + 61, false)] {
                let expected = if valid { Ok("alice".to_owned()) } else { Err(TokenFault::NotYetValid) };
                assert_eq!(check_and(&format!(r#","{name}":{start}"#)), expected, "{name} {}", start - NOW);
            }
        }
    }

    #[test]
    fn dates_are_numbers_that_a_calendar_has() {
        assert_eq!(check(r#""sub":"alice""#), Err(TokenFault::Claim("exp")), "a token that never ends");
        for date in
            ["-1", "-0.5", "253402300800", "1e300", "18446744073709551615", r#""1800000010""#, "true", "[]", "{}"]
        {
            assert_eq!(check(&format!(r#""sub":"alice","exp":{date}"#)), Err(TokenFault::Claim("exp")), "exp {date}");
            for name in ["nbf", "iat"] {
                assert_eq!(check_and(&format!(r#","{name}":{date}"#)), Err(TokenFault::Claim(name)), "{name} {date}");
            }
        }
        assert!(check(r#""sub":"alice","exp":253402300799"#).is_ok());
        for date in ["1.8e9", "18e8", "1.80000001E+9", "1800000010.0", "1800000000.5", "180000001000e-2"] {
            assert!(check(&format!(r#""sub":"alice","exp":{date},"nbf":{date},"iat":{date}"#)).is_ok(), "{date}");
        }
    }

    #[test]
    fn a_claim_of_null_is_as_good_as_none() {
        assert_eq!(check(r#""sub":"alice","exp":null"#), Err(TokenFault::Claim("exp")), "a token that never ends");
        assert_eq!(check_and(r#","nbf":null,"iat":null,"aud":null,"iss":null,"more":[null]"#), Ok("alice".to_owned()));
    }

    #[test]
    fn the_issuer_is_the_one_that_is_expected() {
        let policy = named(Some("https://issuer.example"), None);
        let with = |issuer: &str| check_with(&policy, &format!(r#""sub":"alice","exp":{}{issuer}"#, NOW + 10));
        assert!(with(r#","iss":"https://issuer.example""#).is_ok());
        for wrong in [
            "",
            r#","iss":"https://issuer.example/""#,
            r#","iss":"""#,
            r#","iss":["https://issuer.example"]"#,
            r#","iss":null"#,
        ] {
            assert_eq!(with(wrong), Err(TokenFault::Issuer), "{wrong}");
        }
        assert!(check_and(r#","iss":"anybody""#).is_ok());
    }

    #[test]
    fn the_audience_has_us_among_it() {
        let policy = named(None, Some("api"));
        let with = |audience: &str| check_with(&policy, &format!(r#""sub":"alice","exp":{}{audience}"#, NOW + 10));
        for right in [r#","aud":"api""#, r#","aud":["api"]"#, r#","aud":["other","api"]"#] {
            assert!(with(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            r#","aud":"API""#,
            r#","aud":[]"#,
            r#","aud":["other"]"#,
            r#","aud":["api",1]"#,
            r#","aud":"other api""#,
            r#","aud":null"#,
        ] {
            assert_eq!(with(wrong), Err(TokenFault::Audience), "{wrong}");
        }
    }

    #[test]
    fn a_token_for_somebody_is_refused_if_we_have_no_name() {
        assert_eq!(check_and(r#","aud":"api""#), Err(TokenFault::Audience));
        assert_eq!(check_and(r#","aud":[]"#), Err(TokenFault::Audience));
        assert!(check_and("").is_ok());
    }

    #[test]
    fn the_subject_is_a_text_that_can_be_an_identity() {
        for subject in [
            "",
            r#","sub":"""#,
            r#","sub":null"#,
            r#","sub":7"#,
            r#","sub":["alice"]"#,
            r#","sub":" alice""#,
            r#","sub":"a\r\nx-admin: 1""#,
            r#","sub":"\u0000""#,
        ] {
            assert_eq!(check(&format!(r#""exp":{}{subject}"#, NOW + 10)), Err(TokenFault::Claim("sub")), "{subject}");
        }
    }
}
