//! What a million calls leave behind. A process of its own: it is measured as a whole.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends"
)]

#[allow(dead_code, reason = "shared with the other tests")]
#[path = "it/exchange.rs"]
mod exchange;
#[allow(dead_code, reason = "shared with the other tests")]
#[path = "it/guest.rs"]
mod guest;

use witgate_stage::{Ended, Hook};

use exchange::{hook, response, stage};
use guest::{Guest, load};

const CALLS: usize = 1_000_000;

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A leak of a byte a call shows: nothing else runs in this process.
#[tokio::test]
async fn a_million_calls_of_each_hook_leave_memory_flat() {
    let plugin = load(&Guest::in_every_hook(""));
    let stage = stage(&plugin);
    for called in Hook::ALL {
        let mut exchange = response(&[("x-field", "value")]);
        exchange.ended = Some(Ended { stage: Some("stage".into()), ..Ended::default() });
        let body = bytes::Bytes::from_static(&[7; 1000]);
        let mut before = 0;
        for call in 0..CALLS {
            if call == CALLS / 10 {
                before = resident_bytes();
            }
            exchange.body = body.clone();
            let (returned, result) = hook(&stage, called, exchange).await;
            result.unwrap();
            exchange = returned;
        }
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < CALLS / 2, "{called:?}: {grown} bytes more");
        println!("{called:?}: {grown} bytes more after {CALLS} calls");
    }
    assert!(plugin.stats().recycled >= 5 * 80, "instances are replaced meanwhile: {:?}", plugin.stats());
}
