//! Hosts and paths of any kind: what is not refused has one form, and stays in it.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use proptest::prelude::*;
use witgate_http::host::host_of;
use witgate_http::path::normalise;

proptest! {
    #[test]
    fn a_host_is_its_own_normal_form(authority in "([a-zA-Z.]{0,9}|\\[[0-9A-F:]{0,9}\\]|.*)(:[0-9]{0,5})?") {
        if let Ok(host) = host_of(&authority) {
            let again = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
            prop_assert_eq!(host_of(&again).unwrap(), host);
        }
    }

    #[test]
    fn a_normal_path_stays_as_it_is_and_has_no_dot_segment(
        path in "(/([ab]|\\.|%2[eE]|%2[fF]|%[0-9a-fA-F]{2}|é|;){0,3}){1,6}|.*",
    ) {
        if let Ok(normal) = normalise(&path) {
            prop_assert!(normal.starts_with('/'));
            prop_assert!(!normal.split('/').any(|segment| segment == "." || segment == ".."), "{}", normal);
            prop_assert!(normal.is_ascii());
            prop_assert_eq!(normalise(&normal), Ok(normal.as_ref().into()));
        }
    }
}
