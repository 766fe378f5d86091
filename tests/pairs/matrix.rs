//! Drives the trials: those that nothing disturbs, or only the client, go side by side through one gateway; those that meet an event of
//! the gateway's all come to their middle first, and then it happens to all of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, block_in_place};
use witgate_tests::gateway::PATIENCE;
use witgate_tests::{Gateway, Site};

use crate::dimensions::Combination;
use crate::expect::{complaints, series};
use crate::gates::{Gates, patiently};
use crate::request::Request;
use crate::site::{TAG, TAG_AFTER_RELOAD, config};
use crate::trial::{Trial, World, is_midway};
use crate::upstream::Addresses;

/// Requests that are under way at once where nothing makes them wait for each other.
const SIDE_BY_SIDE: usize = 48;

/// What happens to all requests of a gateway at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    Nothing,
    Reload,
    /// SIGTERM; requests have the time to end.
    Drain,
    /// SIGTERM; they have not.
    Cut,
}

impl Happening {
    fn of(combination: &Combination) -> Self {
        match combination.event {
            event if event.reloads() => Self::Reload,
            event if event.drains() => Self::Drain,
            event if event.cuts() => Self::Cut,
            _ => Self::Nothing,
        }
    }
}

/// Tries them all; gives a line for each that went wrong.
pub async fn run(combinations: &[Combination]) -> Vec<String> {
    let gates = Arc::new(Gates::default());
    let addresses = crate::upstream::start(&gates).await;
    let mut plain: HashMap<Combination, Trial> = HashMap::new();
    let mut faults = Vec::new();
    for happening in [Happening::Nothing, Happening::Reload, Happening::Drain, Happening::Cut] {
        let mut tried: Vec<_> = combinations.iter().copied().filter(|one| Happening::of(one) == happening).collect();
        if happening == Happening::Nothing {
            // Those that the others are compared with.
            tried.extend(combinations.iter().filter(|one| !one.stage.answers()).map(Combination::plain));
            tried.sort();
            tried.dedup();
        }
        if tried.is_empty() {
            continue;
        }
        let started = Instant::now();
        let group = Group::start(happening, &gates, &addresses);
        let (trials, records, mut wrong) = group.run(&tried).await;
        faults.append(&mut wrong);
        if happening == Happening::Nothing {
            plain.extend(trials.iter().map(|trial| (trial.combination, trial.clone())));
        }
        for trial in &trials {
            let compared = plain.get(&trial.combination.plain()).filter(|plain| plain.id != trial.id);
            let wrong = complaints(trial, &records, compared);
            if !wrong.is_empty() {
                faults.push(format!("{}: {}", trial.combination, wrong.join("; ")));
            }
        }
        eprintln!("{happening:?}: {} requests in {:.1?}", trials.len(), started.elapsed());
    }
    faults
}

/// A gateway, and what happens to it.
struct Group<'a> {
    happening: Happening,
    gateway: Gateway,
    world: World,
    addresses: &'a Addresses,
}

impl<'a> Group<'a> {
    fn start(happening: Happening, gates: &Arc<Gates>, addresses: &'a Addresses) -> Self {
        let drain = if happening == Happening::Cut { "500ms" } else { "5m" };
        let gateway = block_in_place(|| Site::new(&config(addresses, drain, TAG)).start());
        let world = World { gateway: gateway.address(), gates: Arc::clone(gates) };
        Self { happening, gateway, world, addresses }
    }

    /// The trials, the access records by their ids, and what is wrong with the gateway itself.
    async fn run(self, combinations: &[Combination]) -> (Vec<Trial>, HashMap<String, Vec<Value>>, Vec<String>) {
        let mut wrong = Vec::new();
        let trials = match self.happening {
            Happening::Nothing => self.side_by_side(combinations).await,
            _ => self.together(combinations, &mut wrong).await,
        };
        let counted = block_in_place(|| self.settle(&mut wrong));
        let (status, lines) = block_in_place(|| self.gateway.last_words());
        if !status.success() {
            wrong.push(format!("{:?}: the gateway ended with {status}", self.happening));
        }
        let mut records: HashMap<String, Vec<Value>> = HashMap::new();
        for line in &lines {
            if line.starts_with("err ") && line.contains("panicked") {
                wrong.push(format!("{:?}: {line}", self.happening));
            }
            if let Some(json) = line.strip_prefix("out ").filter(|text| text.starts_with('{')) {
                let record: Value = serde_json::from_str(json).expect("a record is JSON");
                let id = record["request_id"].as_str().unwrap_or_default().to_owned();
                records.entry(id).or_default().push(record);
            }
        }
        if let Some(counted) = counted {
            let mut recorded: BTreeMap<_, u64> = BTreeMap::new();
            records.values().flatten().for_each(|record| *recorded.entry(series(record)).or_default() += 1);
            for series in counted.keys().chain(recorded.keys()).collect::<std::collections::BTreeSet<_>>() {
                let (metric, lines) = (counted.get(series), recorded.get(series));
                if metric != lines {
                    wrong.push(format!(
                        "{:?}: {series:?} is counted {metric:?} times, and recorded {lines:?}",
                        self.happening
                    ));
                }
            }
        }
        (trials, records, wrong)
    }

    fn id(&self, at: usize) -> String {
        format!("{:?}-{at}", self.happening).to_lowercase()
    }

    async fn side_by_side(&self, combinations: &[Combination]) -> Vec<Trial> {
        let room = Arc::new(Semaphore::new(SIDE_BY_SIDE));
        let tasks: Vec<JoinHandle<Trial>> = combinations
            .iter()
            .enumerate()
            .map(|(at, &combination)| {
                let (world, room, id) = (self.world.clone(), Arc::clone(&room), self.id(at));
                tokio::spawn(async move {
                    let _place = room.acquire().await.expect("never closed");
                    world.attempt(combination, id).await
                })
            })
            .collect();
        ended(tasks).await
    }

    /// All come to their middle, or to an end before it; then it happens, and they go on.
    async fn together(&self, combinations: &[Combination], wrong: &mut Vec<String>) -> Vec<Trial> {
        let gates: Vec<_> = (0..combinations.len()).map(|at| self.world.gates.of(&self.id(at))).collect();
        let tasks: Vec<JoinHandle<Trial>> = combinations
            .iter()
            .enumerate()
            .map(|(at, &combination)| {
                let (world, id) = (self.world.clone(), self.id(at));
                tokio::spawn(async move { world.attempt(combination, id).await })
            })
            .collect();
        // Those that do not come there are no reason for the others not to go on.
        let _ = patiently(async {
            for (combination, gate) in combinations.iter().zip(&gates) {
                let half = Request::of(combination, "", "").halves[0].len();
                gate.until(|state| state.ended || is_midway(combination, half, state)).await;
            }
        })
        .await;
        block_in_place(|| {
            // The gateway may not have read what was sent to it, where nobody behind it hears of that yet.
            let under_way = || gates.iter().filter(|gate| !gate.state().ended).count();
            self.until(wrong, "requests are not in flight", || self.in_flight() >= under_way());
            self.happen(wrong);
        });
        let goes_on = self.happening != Happening::Cut;
        gates.iter().for_each(|gate| gate.tell(|state| (state.happened, state.open) = (true, goes_on)));
        ended(tasks).await
    }

    fn happen(&self, wrong: &mut Vec<String>) {
        match self.happening {
            Happening::Nothing => {}
            Happening::Reload => self.gateway.reconfigure(&config(self.addresses, "5m", TAG_AFTER_RELOAD)),
            Happening::Drain => {
                self.gateway.signal(libc::SIGTERM);
                self.until(wrong, "it does not drain", || self.gateway.admin("/ready").status == 503);
            }
            Happening::Cut => self.gateway.signal(libc::SIGTERM),
        }
    }

    /// The counts of requests when none is left, and tells the gateway to end; none if it is ending by itself.
    fn settle(&self, wrong: &mut Vec<String>) -> Option<BTreeMap<(String, String, &'static str), u64>> {
        if matches!(self.happening, Happening::Drain | Happening::Cut) {
            return None;
        }
        self.until(wrong, "requests stay in flight", || self.in_flight() == 0);
        let exposed = self.gateway.admin("/metrics").text();
        self.gateway.signal(libc::SIGTERM);
        let lines = exposed.lines().filter_map(|line| line.strip_prefix("witgate_requests_total{"));
        Some(lines.filter_map(counted).collect())
    }

    fn in_flight(&self) -> usize {
        let gauge = self.gateway.metric("witgate_requests_in_flight");
        // A small whole number.
        format!("{gauge:.0}").parse().unwrap_or(usize::MAX)
    }

    fn until(&self, wrong: &mut Vec<String>, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            if Instant::now() > end {
                return wrong.push(format!("{:?}: {what}", self.happening));
            }
            std::thread::yield_now();
        }
    }
}

async fn ended(tasks: Vec<JoinHandle<Trial>>) -> Vec<Trial> {
    let mut trials = Vec::with_capacity(tasks.len());
    for task in tasks {
        trials.push(task.await.expect("a trial does not panic"));
    }
    trials
}

/// `method="GET",route="a",status="2xx"} 3`.
fn counted(line: &str) -> Option<((String, String, &'static str), u64)> {
    let (labels, value) = line.split_once("} ")?;
    let label = |name: &str| {
        let from = labels.split(&format!("{name}=\"")).nth(1)?;
        Some(from.split('"').next()?.to_owned())
    };
    let class = label("status")?;
    let class = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().find(|known| *known == class)?;
    Some(((label("route")?, label("method")?, class), value.parse().ok()?))
}
