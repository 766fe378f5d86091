//! A plugin that fails again and again is not called for a while.

use witgate_plugin_host::BreakerState;
use witgate_stage::FailureKind;

use crate::exchange::{failure, request, succeeds, told};
use crate::guest::{Guest, load};

#[tokio::test]
async fn after_five_traps_in_a_row_calls_fail_without_an_instance() {
    let plugin = load(&Guest::when_told("unreachable"));
    for _ in 0..4 {
        assert_eq!(failure(&plugin, told()).await, FailureKind::Trap);
    }
    succeeds(&plugin).await;
    assert_eq!(plugin.breaker(), BreakerState::Closed, "the success begins the count anew");
    for _ in 0..5 {
        assert_eq!(failure(&plugin, told()).await, FailureKind::Trap);
    }
    let created = plugin.stats().created;
    assert_ne!(plugin.breaker(), BreakerState::Closed);
    for _ in 0..3 {
        assert_eq!(failure(&plugin, request(&[])).await, FailureKind::Breaker);
    }
    assert_eq!(plugin.stats().created, created);
}
