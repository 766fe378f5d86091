//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use witgate_config::Downstream as Limits;

use crate::drain::Drain;
use crate::snapshot::Snapshot;
use crate::telemetry::{AccessLog, Metrics};

/// The process-wide state that the data path reaches: one mutable cell, the snapshot, and counters.
#[derive(Debug)]
pub struct Gateway {
    snapshot: ArcSwap<Snapshot>,
    pub metrics: Arc<Metrics>,
    pub access_log: AccessLog,
    pub drain: Drain,
    requests_in_flight: AtomicU64,
    ended: tokio::sync::Notify,
    cut_off: tokio::sync::watch::Sender<bool>,
}

impl Gateway {
    pub fn new(first: Arc<Snapshot>, metrics: Arc<Metrics>, access_log: AccessLog) -> Arc<Self> {
        metrics.generation.set(i64::try_from(first.generation).unwrap_or(i64::MAX));
        Arc::new(Self {
            snapshot: ArcSwap::new(first),
            metrics,
            access_log,
            drain: Drain::default(),
            requests_in_flight: AtomicU64::new(0),
            ended: tokio::sync::Notify::new(),
            cut_off: tokio::sync::watch::Sender::new(false),
        })
    }

    /// The generation that serves now. A request asks once, when it begins, and keeps what it got.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// What the generation that serves now allows of its clients.
    pub fn limits(&self) -> Limits {
        self.snapshot.load().config.downstream.clone()
    }

    /// Ends the requests that are in flight, each with its record, as [`Self::idle`] tells.
    pub fn cut_requests_off(&self) {
        self.cut_off.send_replace(true);
    }

    /// Tells requests that they are cut off.
    pub fn cut_off(&self) -> tokio::sync::watch::Receiver<bool> {
        self.cut_off.subscribe()
    }

    /// Puts a new generation in place: requests that begin from now on use it.
    pub fn swap(&self, next: Arc<Snapshot>) {
        self.metrics.generation.set(i64::try_from(next.generation).unwrap_or(i64::MAX));
        self.snapshot.store(next);
    }

    pub fn request_began(&self) {
        self.requests_in_flight.fetch_add(1, Ordering::Relaxed);
        self.metrics.requests_in_flight.inc();
    }

    pub fn request_ended(&self) {
        self.metrics.requests_in_flight.dec();
        if self.requests_in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ended.notify_waiters();
        }
    }

    /// Returns when no request is in flight. Cancel-safe.
    pub async fn idle(&self) {
        loop {
            let ended = self.ended.notified();
            if self.requests_in_flight.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }
}
