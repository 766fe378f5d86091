//! What outlives a generation.

use std::time::Duration;

use witgate_plugin_host::{BucketSpec, LoadLimits};

use crate::guest::host;

fn rate(tokens: u32) -> BucketSpec {
    BucketSpec { tokens, period: Duration::from_secs(3600), burst: 2, keys_limit: 100 }
}

#[test]
fn a_bucket_keeps_its_tokens_while_a_generation_uses_it() {
    let host = host();
    let old = host.bucket("api", &rate(1));
    assert_eq!(old.take(b"client", 2).remaining, 0);
    let new = host.bucket("api", &rate(1));
    drop(old);
    assert!(!new.take(b"client", 1).allowed, "the reload did not refill it");
    assert!(host.bucket("api", &rate(2)).take(b"client", 1).allowed, "another rate is another bucket");
    assert!(host.bucket("other", &rate(1)).take(b"client", 1).allowed, "another name, too");
}

#[test]
fn requests_in_flight_are_counted_over_generations() {
    let host = host();
    let old = host.load_scope("api", LoadLimits { in_flight: 10, cpu_permille: 1000 });
    let mut holds = Vec::new();
    old.admit(255, &mut holds);
    let new = host.load_scope("api", LoadLimits { in_flight: 20, cpu_permille: 1000 });
    drop(old);
    assert_eq!((new.signal().in_flight, new.signal().in_flight_limit), (1, 20));
    drop(holds);
    assert_eq!(new.signal().in_flight, 0);
}
