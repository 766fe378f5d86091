//! Why a request does not pass, and how the client hears of it.

use witgate_sdk::{AccessError, ErrorCode, Refusal};

use crate::field::FieldName;

/// Why a token is not accepted.
///
/// Everything up to the signature is one variant: somebody who guesses learns nothing about what was wrong. The others
/// are seen only by clients with a token that the issuer has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// No JWS, a header or an algorithm that is not accepted, or a signature that does not fit.
    Invalid,
    Expired,
    NotYetValid,
    Issuer,
    Audience,
    /// This claim is missing or cannot be used.
    Claim(&'static str),
    /// A claim that the configuration passes on cannot be a header's value.
    HeaderClaim,
}

impl TokenFault {
    /// Free of quotes and backslashes, as `error_description` has to be (RFC 6750, section 3).
    fn description(self) -> String {
        match self {
            Self::Invalid => "The token is malformed or its signature does not fit".to_owned(),
            Self::Expired => "The token has expired".to_owned(),
            Self::NotYetValid => "The token is not valid yet".to_owned(),
            Self::Issuer => "The token is from another issuer".to_owned(),
            Self::Audience => "The token is meant for another audience".to_owned(),
            Self::Claim(name) => format!("The claim {name} of the token is missing or cannot be used"),
            Self::HeaderClaim => "A claim of the token cannot be passed on".to_owned(),
        }
    }
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Denial {
    /// No credential of a kind that is accepted.
    MissingCredential,
    /// More than one field of a credential.
    RepeatedField(FieldName),
    ApiKey,
    Token(TokenFault),
}

/// Why a request does not go on.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    Deny(Denial),
    /// The plugin could not decide.
    Fail(AccessError),
}

impl From<TokenFault> for Denial {
    fn from(fault: TokenFault) -> Self {
        Self::Token(fault)
    }
}

impl<D: Into<Denial>> From<D> for Stop {
    fn from(denial: D) -> Self {
        Self::Deny(denial.into())
    }
}

/// What clients are asked for: one challenge for each kind of credential (RFC 9110, section 11.6.1).
pub struct Challenges {
    /// No scheme for API keys is registered; this one says where the key belongs.
    api_key: Option<String>,
    bearer: Option<String>,
    advice: String,
}

impl Challenges {
    pub fn new(api_key: Option<&FieldName>, token: Option<&FieldName>) -> Self {
        let ways = [
            api_key.map(|header| format!("an API key in {header}")),
            token.map(|header| format!("a token in {header}, as Bearer TOKEN")),
        ];
        let ways: Vec<_> = ways.into_iter().flatten().collect();
        Self {
            api_key: api_key.map(|header| format!("ApiKey realm=\"witgate\", header=\"{header}\"")),
            bearer: token.map(|_| "Bearer realm=\"witgate\"".to_owned()),
            advice: format!("Send {}.", ways.join(" or ")),
        }
    }

    pub fn refusal(&self, denial: Denial) -> Refusal {
        let Self { api_key, bearer, advice } = self;
        let (code, message, fault) = match denial {
            Denial::MissingCredential => (ErrorCode::Unauthenticated, advice.clone(), None),
            Denial::RepeatedField(field) => (ErrorCode::InvalidRequest, format!("Send {field} only once."), None),
            Denial::ApiKey => {
                (ErrorCode::Unauthenticated, "The API key is not accepted: send a valid one.".to_owned(), None)
            }
            Denial::Token(fault) => {
                let description = fault.description();
                (ErrorCode::Unauthenticated, format!("{description}: send a valid one."), Some(description))
            }
        };
        let mut refusal = Refusal::new(code, message);
        if let Some(challenge) = api_key {
            refusal = refusal.field("www-authenticate", challenge.as_str());
        }
        if let Some(challenge) = bearer {
            refusal = refusal.field("www-authenticate", bearer_challenge(challenge, fault.as_deref()));
        }
        refusal
    }
}

/// A client that has sent no token gets no error code (RFC 6750, section 3.1).
fn bearer_challenge(challenge: &str, description: Option<&str>) -> String {
    match description {
        None => challenge.to_owned(),
        Some(text) => format!("{challenge}, error=\"invalid_token\", error_description=\"{text}\""),
    }
}
