//! `auth`: lets a request pass if it carries a known API key or a valid JSON Web Token, and tells the upstream who calls.
//!
//! Keys and secrets belong to the gateway's configuration; the plugin uses them by name and never sees them:
//!
//! ```toml
//! [[routes.stages]]
//! plugin = "auth"
//! grants = ["clock", "crypto:customers", "crypto:session"]
//! config = { key_set = "customers", jwt = { key = "session", claims_headers = { sub = "x-user" } } }
//! ```
//!
//! The grant `clock` is needed even without `jwt`: a component imports what any of its configurations may call. Every
//! option is described in the plugin's configuration schema (`config.schema.json`).
//!
//! # Who passes
//! * At least one kind of credential that is configured has to be there. A credential that is there has to be good: a
//!   wrong one is refused even if another one would do. API keys are looked at first.
//! * The identity is what the key set says of the API key or, without an API key, the token's `sub` claim. If both are
//!   sent, the API key names the identity and the token only fills the headers of its claims.
//! * A credential's field may be there once; more are refused with 400, because whoever reads the other one would see
//!   someone else.
//!
//! # What the upstream sees
//! * The identity header and the headers of claims hold what was verified or nothing: what a client sent in them is
//!   always removed, also if it wrote underscores for hyphens (`x_consumer`) or the other way round, because upstreams that
//!   descend from CGI make one variable of both.
//! * The fields of the credentials that are configured are always removed. Without `jwt`, `authorization` is the upstream's
//!   own affair and stays.

mod api_key;
mod bearer;
mod config;
mod denial;
mod field;
mod jws;
mod object;
mod policy;

use witgate_sdk::{Action, ConfigError, Edits, Error, OnRequest, Plugin, Request, export};

use crate::api_key::ApiKeys;
use crate::bearer::BearerTokens;
pub use crate::config::{Algorithm, Config, JwtConfig};
use crate::denial::{Challenges, Denial, Stop};
use crate::field::FieldName;

/// Most names that the gateway can be asked for at once.
const NAMES_LIMIT: usize = 1024;

/// The plugin: how callers are known, and where the upstream reads who they are.
pub struct Auth {
    api_keys: Option<ApiKeys>,
    tokens: Option<BearerTokens>,
    identity_header: FieldName,
    /// Other names that the upstream may take for the identity header or one of a claim.
    look_alikes: Vec<String>,
    challenges: Challenges,
}

impl Plugin for Auth {
    const NAME: &'static str = "auth";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Lets known API keys and valid JWTs pass and tells the upstream who calls";
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("config.schema.json"));
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigError> {
        let Config { key_set, api_key_header, identity_header, jwt } = config;
        let identity_header = FieldName::parse_trusted("identity_header", &identity_header)?;
        let api_keys = key_set.map(|key_set| ApiKeys::configure(key_set, &api_key_header)).transpose()?;
        let tokens = jwt.map(BearerTokens::configure).transpose()?;
        if api_keys.is_none() && tokens.is_none() {
            return Err("expected `key_set`, `jwt` or both: with neither nobody could pass".into());
        }
        let mut fields = vec![("identity_header".to_owned(), &identity_header)];
        fields.extend(api_keys.iter().map(|keys| ("api_key_header".to_owned(), keys.header())));
        fields.extend(tokens.iter().flat_map(BearerTokens::fields));
        field::check_distinct(&fields)?;
        let trusted = std::iter::once(&identity_header).chain(tokens.iter().flat_map(BearerTokens::claims_headers));
        let look_alikes = trusted.flat_map(FieldName::other_spellings).collect();
        let challenges =
            Challenges::new(api_keys.as_ref().map(ApiKeys::header), tokens.as_ref().map(BearerTokens::header));
        Ok(Self { api_keys, tokens, identity_header, look_alikes, challenges })
    }
}

impl OnRequest for Auth {
    fn on_request(&self, request: &Request<'_>, _end_of_stream: bool) -> Result<Action, Error> {
        match self.authenticate(request) {
            Ok(edits) => {
                request.apply(edits)?;
                Ok(Action::Continue)
            }
            Err(Stop::Deny(denial)) => Ok(Action::Refuse(self.challenges.refusal(denial))),
            Err(Stop::Fail(error)) => Err(error.into()),
        }
    }
}

impl Auth {
    /// The changes that turn what the client sent into what the upstream may see.
    fn authenticate(&self, request: &Request<'_>) -> Result<Edits, Stop> {
        let mut edits = Edits::new();
        let mut identity = None;
        if let Some(keys) = &self.api_keys
            && let Some(key) = credential(request, keys.header())?
        {
            identity = Some(keys.identify(&key)?);
            edits = edits.remove(keys.header().as_str());
        }
        if let Some(tokens) = &self.tokens {
            let token = credential(request, tokens.header())?.map(|value| tokens.verify(&value)).transpose()?;
            edits = tokens.pass_on(token.as_ref(), edits)?;
            identity = identity.or(token.map(|token| token.subject));
        }
        let identity = identity.ok_or(Denial::MissingCredential)?;
        for names in self.look_alikes.chunks(NAMES_LIMIT) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let sent = names.iter().zip(request.header_many(&names)).filter(|(_, value)| value.is_some());
            edits = sent.fold(edits, |edits, (name, _)| edits.remove(*name));
        }
        Ok(edits.set(self.identity_header.as_str(), identity))
    }
}

/// The only value of a credential's field.
fn credential(request: &Request<'_>, header: &FieldName) -> Result<Option<Vec<u8>>, Denial> {
    let mut values = request.headers(header.as_str()).into_iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Denial::RepeatedField(header.clone())),
    }
}

export!(Auth: request);
