//! Bearer tokens (RFC 6750) that are JSON Web Tokens (RFC 7519).

use witgate_sdk::{ConfigError, Edits, clock, crypto};

use crate::api_key::CREDENTIAL_LIMIT;
use crate::config::{Algorithm, JwtConfig};
use crate::denial::{Denial, Stop, TokenFault};
use crate::field::{FieldName, is_field_value};
use crate::jws::Jws;
use crate::object::{Object, Value};
use crate::policy::Policy;

/// More than an hour is no clock that is off, but a token that is no longer valid.
pub const LEEWAY_LIMIT_SECONDS: u32 = 3600;

/// Where tokens come from, what they must be, and what is passed on.
pub struct BearerTokens {
    key: String,
    header: FieldName,
    algorithms: Vec<Algorithm>,
    policy: Policy,
    claims_headers: Vec<(String, FieldName)>,
}

/// A token that was verified.
pub struct Token {
    pub subject: String,
    claims: Object,
}

impl BearerTokens {
    pub fn configure(config: JwtConfig) -> Result<Self, ConfigError> {
        let JwtConfig { key, header, algorithms, issuer, audience, leeway_seconds, claims_headers } = config;
        let header = FieldName::parse("jwt.header", &header)?;
        let Some(algorithm) = algorithms.first() else {
            return Err("jwt.algorithms: expected at least one of \"HS256\", \"HS384\" and \"HS512\"".into());
        };
        check_key(&key, *algorithm)?;
        if leeway_seconds > LEEWAY_LIMIT_SECONDS {
            return Err(format!("jwt.leeway_seconds: expected at most {LEEWAY_LIMIT_SECONDS}").into());
        }
        for (name, value) in [("issuer", &issuer), ("audience", &audience)] {
            if value.as_deref() == Some("") {
                return Err(format!("jwt.{name}: expected a text that is not empty").into());
            }
        }
        let claims_headers = claims_headers
            .into_iter()
            .map(|(claim, header)| FieldName::parse_trusted(&claims_key(&claim), &header).map(|header| (claim, header)))
            .collect::<Result<_, _>>()?;
        let policy = Policy::new(issuer, audience, leeway_seconds);
        Ok(Self { key, header, algorithms, policy, claims_headers })
    }

    pub fn header(&self) -> &FieldName {
        &self.header
    }

    /// Every header concerned, with the key of the configuration that names it.
    pub fn fields(&self) -> impl Iterator<Item = (String, &FieldName)> {
        let claims = self.claims_headers.iter().map(|(claim, header)| (claims_key(claim), header));
        std::iter::once(("jwt.header".to_owned(), &self.header)).chain(claims)
    }

    /// The headers of claims.
    pub fn claims_headers(&self) -> impl Iterator<Item = &FieldName> {
        self.claims_headers.iter().map(|(_, header)| header)
    }

    /// Takes the value of the token's header.
    pub fn verify(&self, credentials: &[u8]) -> Result<Token, Stop> {
        let token = bearer_token(credentials).ok_or(Denial::MissingCredential)?;
        if token.len() > CREDENTIAL_LIMIT {
            return Err(TokenFault::Invalid.into());
        }
        let claims = Jws::parse(token, &self.algorithms)?.verify(&self.key)?;
        let subject = self.policy.check(&claims, clock::now())?.to_owned();
        Ok(Token { subject, claims })
    }

    /// Takes the token's header away, and gives the headers of claims the values that were verified, or none.
    pub fn pass_on(&self, token: Option<&Token>, mut edits: Edits) -> Result<Edits, TokenFault> {
        if token.is_some() {
            edits = edits.remove(self.header.as_str());
        }
        for (claim, header) in &self.claims_headers {
            let value = match token.and_then(|token| token.claims.get(claim)) {
                None | Some(Value::Null) => None,
                Some(value) => {
                    Some(value.as_scalar().filter(|text| is_field_value(text)).ok_or(TokenFault::HeaderClaim)?)
                }
            };
            edits = match value {
                Some(value) => edits.set(header.as_str(), value.into_owned()),
                None => edits.remove(header.as_str()),
            };
        }
        Ok(edits)
    }
}

fn claims_key(claim: &str) -> String {
    format!("jwt.claims_headers.{claim}")
}

fn check_key(key: &str, algorithm: Algorithm) -> Result<(), ConfigError> {
    if crypto::hmac_verify(algorithm.hash(), key, b"", b"").is_ok() {
        return Ok(());
    }
    Err(if crypto::names().iter().any(|name| name == key) {
        format!("jwt.key = {key:?} is a key set: expected a key, `[keys.{key}]` in the configuration")
    } else {
        format!("jwt.key = {key:?} is not granted: add \"crypto:{key}\" to the stage's grants and [keys.{key}] to the configuration")
    }
    .into())
}

/// The token of credentials in the `Bearer` scheme, whose name has no case (RFC 9110, section 11.1); none if they are in
/// another scheme. An empty token is one, and wrong.
fn bearer_token(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = credentials.split_at_checked("bearer".len())?;
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && (spaces > 0 || rest.is_empty());
    if is_bearer { rest.get(spaces..) } else { None }
}
