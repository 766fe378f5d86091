//! Fields that come behind a body.

use http::header::{self as h, HeaderName};

/// Whether a field may come after the body: not what decides about framing, routing or access (RFC 9110, section 6.5.1).
pub fn may_trail(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 16] = [
        h::AUTHORIZATION,
        h::CACHE_CONTROL,
        h::CONNECTION,
        h::CONTENT_ENCODING,
        h::CONTENT_LENGTH,
        h::CONTENT_RANGE,
        h::CONTENT_TYPE,
        h::COOKIE,
        h::EXPECT,
        h::HOST,
        h::PROXY_AUTHORIZATION,
        h::SET_COOKIE,
        h::TE,
        h::TRAILER,
        h::TRANSFER_ENCODING,
        h::UPGRADE,
    ];
    !NEVER.contains(name)
}
