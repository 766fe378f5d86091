//! `witgate plugin test`: cases from a file.

mod check;
mod content;
mod drive;
mod expect;
mod file;
mod glob;
mod metrics;
mod models;
mod report;
mod surroundings;
mod upstreams;
mod world;

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use report::Tested;

use witgate_plugin_host::MetricSink;

use check::Check;
use drive::{Knife, Prepared};
use file::{Case, CaseFile, Fault, Source};
use report::CaseReport;
use upstreams::Answers;
use world::World;

use crate::log::CaughtLog;
use crate::{CommandError, Statuses, component};

/// What to test and how.
#[derive(Debug, Clone)]
pub struct TestOptions {
    pub cases: PathBuf,
    /// In the place of the file's own.
    pub plugin: Option<PathBuf>,
    /// Of the pieces that bodies are cut into and of random bytes; none: another one at each run.
    pub seed: Option<u64>,
    /// Write golden files instead of comparing with them.
    pub bless: bool,
    pub statuses: Statuses,
    /// What takes the metrics of plugins in the gateway, with nothing in it: names, labels and limits are for it to judge.
    pub metrics: Arc<dyn MetricSink>,
}

/// Runs the cases of a file in their order, on one loaded plugin: what a case leaves in the key-value namespace and takes
/// from buckets is there for the next. Time stands still but for what the file lets pass.
///
/// # Errors
/// A file cannot be read or is wrong, or the plugin does not load. Cases that fail are in the report.
pub fn test(options: &TestOptions) -> Result<Tested, CommandError> {
    let source = Source::read(&options.cases)?;
    let file = source.parse()?;
    let plugin = match (&options.plugin, &file.plugin) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => source.folder().join(path),
        (None, None) => {
            return Err(source.problem(
                0,
                "the file names no `plugin`",
                "add `plugin = \"FILE.wasm\"`, or call with --plugin",
            ));
        }
    };
    let log = CaughtLog::default();
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let caught = log.clone();
    let cases = tracing::subscriber::with_default(caught, || {
        let world = World::new((&source, &file), &plugin, seed, Arc::clone(&options.metrics))?;
        let runner = Runner { source: &source, file: &file, world: &world, log: &log, options, seed };
        let cases = component::run(runner.run())??;
        let described = world.plugin.description();
        Ok::<_, CommandError>((cases, format!("{} {}", described.name, described.version)))
    });
    let (cases, described) = cases?;
    Ok(Tested { file: options.cases.clone(), plugin, described, seed, cases })
}

struct Runner<'a> {
    source: &'a Source,
    file: &'a CaseFile,
    world: &'a World,
    log: &'a CaughtLog,
    options: &'a TestOptions,
    seed: u64,
}

impl Runner<'_> {
    async fn run(&self) -> Result<Vec<CaseReport>, CommandError> {
        // What `configure` wrote belongs to no case.
        self.log.take();
        let mut reports = Vec::new();
        for (at, case) in self.file.cases.iter().enumerate() {
            reports.push(self.case(at, case).await?);
        }
        Ok(reports)
    }

    async fn case(&self, at: usize, case: &Case) -> Result<CaseReport, CommandError> {
        let start = case.name.span().start;
        let wrong = |message: String| self.source.problem(start, &message, "correct the case");
        let prepared = Prepared::new(case, &self.source.folder()).map_err(wrong)?;
        self.known_upstreams(case)?;
        let answers = case.upstreams.iter().map(|(name, answers)| (name.get_ref(), answers));
        let answers = Answers::new(answers, self.source)?;
        // Each case has pieces and random bytes of its own, whatever cases stand before it.
        let seed = self.seed.wrapping_add(at as u64);
        let mut knife = Knife { pieces: self.file.pieces, random: fastrand::Rng::with_seed(seed) };
        let simulated = &self.world.simulated;
        simulated.reseed(seed);
        if let Some(now) = case.now {
            simulated.go_to(now.0);
        }
        let mut report = CaseReport::new(case.name.get_ref(), self.source.place(start).0);
        for repetition in 1..=case.repeat {
            simulated.advance(case.advance.map_or(Duration::ZERO, |time| time.0));
            simulated.give(prepared.random.clone());
            self.world.upstreams.begin(&answers);
            let busy = self.occupy(case)?;
            let full = match case.fault {
                Some(Fault::KvQuota) => Some(self.world.fill_kv()?),
                Some(Fault::Hook(kind)) => {
                    self.world.fail_next(Some(kind));
                    None
                }
                None => None,
            };
            let run = drive::run(self.world, (case, &prepared), &mut knife, self.options.statuses);
            let observed = run.await?;
            self.world.fail_next(None);
            drop((full, busy));
            let calls = self.world.upstreams.end();
            let lines = self.log.take();
            let mut check = Check {
                world: self.world,
                source: self.source,
                route: &case.request.route,
                bless: self.options.bless,
                differences: Vec::new(),
            };
            check.run(&case.expect, &observed, (&calls, &lines))?;
            report.ran(observed.time);
            if !check.differences.is_empty() {
                report.failed((repetition, case.repeat), check.differences, lines);
                break;
            }
        }
        Ok(report)
    }

    /// Whoever mistypes an upstream's name in a case would wait for its answers in vain.
    fn known_upstreams(&self, case: &Case) -> Result<(), CommandError> {
        let called = case.expect.calls.iter().flatten().map(|call| &call.upstream);
        match case.upstreams.keys().chain(called).find(|name| !self.file.upstreams.contains_key(name.get_ref())) {
            Some(name) => Err(self.source.unknown_name(name, "[[upstreams.NAME]]")),
            None => Ok(()),
        }
    }

    /// Requests in flight besides the one of the case.
    fn occupy(&self, case: &Case) -> Result<Vec<Vec<Box<dyn Any + Send + Sync>>>, CommandError> {
        let mut places = Vec::new();
        for (name, count) in &case.in_flight {
            let Some(scope) = self.world.load.get(name.get_ref()) else {
                return Err(self.source.unknown_name(name, "[load.NAME]"));
            };
            for _ in 0..*count {
                let mut place = Vec::new();
                // The highest priority is admitted up to the limit itself; nobody is beyond it.
                scope.admit(u8::MAX, &mut place);
                places.push(place);
            }
        }
        Ok(places)
    }
}
