//! How many hooks run at once, how many wait, and how long one may take in all.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use witgate_plugin_host::{Isolation, LoadedPlugin, PluginLimits, PluginSpec};
use witgate_stage::{FailureKind, Hook};

use crate::exchange::{hook, request, run, stage, succeeds, told};
use crate::guest::{Guest, LIMITS, host, spec};

const SPIN: &str = "(loop $again (br $again))";

fn load(isolation: Isolation, limits: PluginLimits) -> Arc<LoadedPlugin> {
    let limits = PluginLimits { hook_timeout: Duration::from_secs(60), ..limits };
    host().load(PluginSpec { limits, isolation, ..spec(Guest::when_told(SPIN).build()) }).unwrap()
}

fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Option<F::Output> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn whoever_finds_no_turn_waits_for_one_up_to_the_length_of_the_queue() {
    for isolation in [Isolation::Shared, Isolation::Request] {
        let plugin = load(isolation, PluginLimits { concurrency: 1, queue: 1, instances: 8, ..LIMITS });
        let stage = stage(&plugin);
        let mut runs = Box::pin(hook(&stage, Hook::RequestHeaders, told()));
        assert!(poll(&mut runs).is_none());
        let mut waits = Box::pin(hook(&stage, Hook::RequestHeaders, request(&[])));
        assert!(poll(&mut waits).is_none());
        assert_eq!(plugin.stats().waiting, 1);

        let (exchange, refused) = run(&plugin, request(&[("x-mine", "1")])).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Unavailable);
        assert!(refused.source.to_string().contains("1 wait"), "{}", refused.source);
        assert_eq!(exchange.request.headers["x-mine"], "1", "the exchange is as it was");

        // The client of the first one leaves.
        drop(runs);
        let (exchange, result) = waits.await;
        result.unwrap();
        assert!(!exchange.usage.queued.is_zero());
        let stats = plugin.stats();
        assert_eq!((stats.waiting, stats.exhausted), (0, 1));
        succeeds(&plugin).await;
    }
}

#[tokio::test]
async fn without_a_queue_the_limit_on_hooks_at_once_is_an_error_at_once() {
    let plugin = load(Isolation::Shared, PluginLimits { concurrency: 2, instances: 8, ..LIMITS });
    let stage = stage(&plugin);
    let mut running: Vec<_> = (0..2).map(|_| Box::pin(hook(&stage, Hook::RequestHeaders, told()))).collect();
    assert!(running.iter_mut().all(|hook| poll(hook).is_none()));
    let refused = run(&plugin, request(&[])).await.1.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Unavailable);
    drop(running);
    succeeds(&plugin).await;
}

#[tokio::test]
async fn nobody_waits_for_longer_than_the_queue_allows() {
    let limits = PluginLimits { concurrency: 1, queue: 10, queue_timeout: Duration::from_millis(20), ..LIMITS };
    let plugin = load(Isolation::Shared, limits);
    let stage = stage(&plugin);
    let mut runs = Box::pin(hook(&stage, Hook::RequestHeaders, told()));
    assert!(poll(&mut runs).is_none());
    let refused = run(&plugin, request(&[])).await.1.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Unavailable);
    assert!(refused.source.to_string().contains("waited for 20ms"), "{}", refused.source);
}

#[tokio::test]
async fn a_hook_may_take_only_so_long_in_all() {
    let plugin = load(Isolation::Shared, PluginLimits { wall_timeout: Duration::from_millis(200), ..LIMITS });
    let (exchange, result) = run(&plugin, told()).await;
    let failed = result.unwrap_err();
    assert_eq!(failed.kind, FailureKind::Deadline);
    assert!(failed.source.to_string().contains("took more than 200ms in all"), "{}", failed.source);
    assert_eq!(exchange.request.headers, told().request.headers, "the exchange is back");
    let stats = plugin.stats();
    assert_eq!((stats.instances, stats.discarded), (0, 1), "in the middle of a call an instance is of no use");
    succeeds(&plugin).await;
}
