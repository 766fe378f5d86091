//! Doubles of the host, so that a plugin's logic can be tested without a gateway.
//!
//! [`TestRequest`] and [`TestResponse`] stand for the heads; [`World`] for what the route grants. They exist on native
//! targets only. They enforce what plugins rely on (grants, reading one's own changes), not every limit of the host.

mod head;
#[doc(hidden)]
pub mod host;

#[doc(hidden)]
pub use head::{RawRequest, RawResponse};
pub use head::{TestRequest, TestResponse};
pub use host::World;
