//! The value of `Date` (RFC 9110, section 6.6.1), written anew once a second.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use http::HeaderValue;

thread_local! {
    static DATE: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// The present as a field value.
pub fn now() -> HeaderValue {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    DATE.with_borrow_mut(|(written, value)| {
        if *written != since || value.is_empty() {
            let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(since));
            (*written, *value) = (since, HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("")));
        }
        value.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_date_of_now() {
        let before = SystemTime::now() - Duration::from_secs(1);
        let read = httpdate::parse_http_date(now().to_str().unwrap()).unwrap();
        assert!(read >= before - Duration::from_secs(1) && read <= SystemTime::now(), "{read:?}");
        assert_eq!(now().len(), 29);
    }
}
