//! Where two things meet: what the client speaks and sends, what is answered, what stands on the route, what the upstream speaks, and
//! what happens in the middle of it. Each pair of values meets at least once, in hundreds of requests through the real gateway, and
//! each of these is compared with the same request over a route without stages, with what the stage is there to do, with its one
//! access record, and with the metrics.
//!
//! [`dimensions`] says what there is and what cannot meet, [`generate`] which combinations are tried; [`request`], [`client`] and
//! [`upstream`] are the two ends of a request, which know of each other by [`gates`]; [`site`] is the gateway between them; [`trial`]
//! and [`matrix`] make things happen, and [`expect`] says what is to come of them.
//!
//! A combination that goes wrong is printed as one line, and `WITGATE_PAIRS` tries only those whose line has all of these words:
//!
//! ```console
//! $ WITGATE_PAIRS="stage=waits event=cut-in-response client=http2" cargo test --release -p witgate-tests --test pairs
//! ```

mod client;
mod dimensions;
mod expect;
mod gates;
mod generate;
mod matrix;
mod request;
mod site;
mod trial;
mod upstream;

use std::time::Instant;

#[test]
fn whatever_meets_does_what_the_route_without_stages_does_or_what_its_stage_is_there_for() {
    let words = std::env::var("WITGATE_PAIRS").unwrap_or_default();
    let all = if words.is_empty() { generate::combinations() } else { dimensions::Combination::all() };
    let is_wanted = |one: &dimensions::Combination| {
        let line = one.to_string();
        words.split_whitespace().all(|word| line.split(' ').any(|part| part == word))
    };
    let tried: Vec<_> = all.into_iter().filter(is_wanted).collect();
    assert!(!tried.is_empty(), "no combination has all of {words:?}");
    let started = Instant::now();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let faults = runtime.block_on(matrix::run(&tried));
    eprintln!("{:.1?} in all", started.elapsed());
    assert!(faults.is_empty(), "{} went wrong:\n{}", faults.len(), faults.join("\n"));
}
