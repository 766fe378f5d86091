//! API keys: the gateway's key set says whom they stand for.

use witgate_sdk::{ConfigError, crypto};

use crate::denial::{Denial, Stop};
use crate::field::{FieldName, is_identity};

/// Longest API key or token that is looked at, in bytes: what common servers take as one header line. It bounds the work
/// that a stranger can ask for.
pub const CREDENTIAL_LIMIT: usize = 8 * 1024;

/// A key set and where clients send their keys.
pub struct ApiKeys {
    key_set: String,
    header: FieldName,
}

impl ApiKeys {
    pub fn configure(key_set: String, header: &str) -> Result<Self, ConfigError> {
        let header = FieldName::parse("api_key_header", header)?;
        if crypto::identify(&key_set, b"").is_err() {
            let reason = if crypto::names().contains(&key_set) {
                format!("is a key: expected a key set, `[key_sets.{key_set}]` in the configuration")
            } else {
                format!(
                    "is not granted: add \"crypto:{key_set}\" to the stage's grants and [key_sets.{key_set}] to the configuration"
                )
            };
            return Err(format!("key_set = {key_set:?} {reason}").into());
        }
        Ok(Self { key_set, header })
    }

    pub fn header(&self) -> &FieldName {
        &self.header
    }

    /// Whom a key stands for.
    pub fn identify(&self, key: &[u8]) -> Result<String, Stop> {
        if key.is_empty() || key.len() > CREDENTIAL_LIMIT {
            return Err(Denial::ApiKey.into());
        }
        let identity = crypto::identify(&self.key_set, key).map_err(Stop::Fail)?;
        // An identity that no header can carry is the operator's slip. It must not count as a failure of the plugin, or the
        // holder of that one key could bring the plugin down for everybody.
        identity.filter(|identity| is_identity(identity)).ok_or(Denial::ApiKey.into())
    }
}
