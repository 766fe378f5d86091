//! Doubles of the host, so that a plugin's logic can be tested without a gateway.
//!
//! [`TestRequest`] and [`TestResponse`] stand for the heads; [`World`] for what the route grants. They exist on native
//! targets only. They enforce the host's rules: grants, the fields that belong to the gateway, and what a hook may change.
//! Where the host would trap the plugin or refuse to load it, they panic and say why.

use crate::{ConfigError, Plugin};

mod fields;
#[doc(hidden)]
pub mod host;
mod request;
mod response;

pub use host::World;
#[doc(hidden)]
pub use request::RawRequest;
pub use request::TestRequest;
#[doc(hidden)]
pub use response::RawResponse;
pub use response::TestResponse;

/// Makes a plugin from its configuration in JSON, as the gateway does: with the same errors, and without the calls that
/// only hooks may make.
///
/// # Errors
/// What the operator would read.
pub fn configure<P: Plugin>(json: &str) -> Result<P, ConfigError> {
    host::outside_hook(|| crate::config::configure(json))
}
