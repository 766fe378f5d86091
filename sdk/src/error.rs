//! What goes wrong inside a plugin.

use std::fmt;
use std::mem::discriminant;

use crate::FieldError;

/// Why a configuration cannot be taken, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    /// A problem of one key; `key` is its path, such as `rules[0].cost`.
    pub fn at(key: &str, problem: impl fmt::Display) -> Self {
        Self(format!("{key}: {problem}"))
    }
}

impl From<String> for ConfigError {
    fn from(message: String) -> Self {
        Self(message)
    }
}

impl From<&str> for ConfigError {
    fn from(message: &str) -> Self {
        Self(message.to_owned())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// A failure of the plugin itself. Anything that is an error can become one with `?`.
#[derive(Debug)]
pub struct Error(Box<dyn std::error::Error>);

impl Error {
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

// The bindings compare enumerations, but not variants.
impl PartialEq for FieldError {
    fn eq(&self, other: &Self) -> bool {
        discriminant(self) == discriminant(other)
    }
}

impl Eq for FieldError {}

/// A named thing that the stage's grants do not reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessError {
    thing: Thing,
    name: String,
}

/// What plugins reach by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    Bucket,
    Key,
    KeySet,
    LoadScope,
}

impl Thing {
    /// Gives the host's answer the name that it lacks; costs nothing if there is no error.
    pub(crate) fn named<T, E>(self, name: &str, answer: Result<T, E>) -> Result<T, AccessError> {
        answer.map_err(|_| AccessError { thing: self, name: name.to_owned() })
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, table, capability) = match self.thing {
            Thing::Bucket => ("bucket", "buckets", "limiter"),
            Thing::Key => ("key", "keys", "crypto"),
            Thing::KeySet => ("key set", "key_sets", "crypto"),
            Thing::LoadScope => ("load scope", "load", "load"),
        };
        let name = &self.name;
        write!(
            f,
            "{kind} `{name}` is not granted; define [{table}.{name}] and add \"{capability}:{name}\" to the stage's grants"
        )
    }
}

impl std::error::Error for AccessError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Hash;
    use crate::testing::World;
    use crate::{crypto, limiter, load};

    /// The text that an operator reads once `?` has made a hook's error of it.
    fn told<T>(call: impl FnOnce() -> Result<T, AccessError>) -> String {
        let hook = || -> Result<T, Error> { Ok(call()?) };
        hook().err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_question_mark_keeps_the_name_of_what_is_not_granted() {
        World::new().install();
        let bucket = "bucket `api` is not granted; define [buckets.api] and add \"limiter:api\" to the stage's grants";
        assert_eq!(told(|| limiter::take("api", b"", 1)), bucket);
        let scope = "load scope `edge` is not granted; define [load.edge] and add \"load:edge\" to the stage's grants";
        assert_eq!(told(|| load::admit("edge", 1)), scope);
        assert_eq!(told(|| load::signal("edge")), scope);
        let key = "key `s` is not granted; define [keys.s] and add \"crypto:s\" to the stage's grants";
        assert_eq!(told(|| crypto::hmac(Hash::Sha256, "s", b"")), key);
        assert_eq!(told(|| crypto::hmac_verify(Hash::Sha256, "s", b"", b"")), key);
        let set = "key set `c` is not granted; define [key_sets.c] and add \"crypto:c\" to the stage's grants";
        assert_eq!(told(|| crypto::identify("c", b"")), set);
    }
}
