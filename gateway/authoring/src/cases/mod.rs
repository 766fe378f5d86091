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
#[cfg(feature = "lua")]
mod script;
#[cfg(feature = "lua")]
mod sockets;
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
    pub subject: TestSubject,
    /// Of the pieces that bodies are cut into and of random bytes; none: another one at each run.
    pub seed: Option<u64>,
    /// Write golden files instead of comparing with them.
    pub bless: bool,
    pub statuses: Statuses,
    /// What takes the metrics of plugins in the gateway, with nothing in it: names, labels and limits are for it to judge.
    pub metrics: Arc<dyn MetricSink>,
}

/// What the cases are about.
#[derive(Debug, Clone)]
pub enum TestSubject {
    /// A component, in the place of the file's own if there is one here.
    Plugin(Option<PathBuf>),
    /// The script that the file names or has.
    #[cfg(feature = "lua")]
    Script,
}

/// Runs the cases of a file in their order, on one loaded plugin or script: what a case leaves in the key-value namespace and takes
/// from buckets is there for the next, as is what a script leaves in shared dictionaries. Time stands still but for what the file lets pass.
///
/// # Errors
/// A file cannot be read or is wrong, or the plugin does not load. Cases that fail are in the report.
pub fn test(options: &TestOptions) -> Result<Tested, CommandError> {
    let source = Source::read(&options.cases)?;
    let file = source.parse()?;
    let log = CaughtLog::default();
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let caught = log.clone();
    let tested = tracing::subscriber::with_default(caught, || {
        let (world, subject) = world((&source, &file), options, seed)?;
        let runner = Runner { source: &source, file: &file, world: &world, log: &log, options, seed };
        let cases = component::run(runner.run())??;
        Ok::<_, CommandError>((cases, world.described(), subject))
    });
    let (cases, described, subject) = tested?;
    Ok(Tested { file: options.cases.clone(), subject, described, seed, cases })
}

/// What the cases run in, and what is tested: the kind of it, and its path or name.
fn world(
    (source, file): (&Source, &CaseFile),
    options: &TestOptions,
    seed: u64,
) -> Result<(World, (&'static str, String)), CommandError> {
    let metrics = Arc::clone(&options.metrics);
    #[cfg_attr(
        not(feature = "lua"),
        expect(clippy::infallible_destructuring_match, reason = "with scripts there are two")
    )]
    let plugin = match &options.subject {
        #[cfg(feature = "lua")]
        TestSubject::Script => {
            of_scripts_only(source, file)?;
            let world = World::of_script((source, file), seed, metrics)?;
            let name = world.script()?.name.clone();
            return Ok((world, ("script", name)));
        }
        TestSubject::Plugin(plugin) => plugin,
    };
    #[cfg(feature = "lua")]
    of_plugins_only(source, file)?;
    let plugin = match (plugin, &file.plugin) {
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
    let world = World::new((source, file), &plugin, seed, metrics)?;
    Ok((world, ("plugin", plugin.display().to_string())))
}

/// Keys that mean nothing to a plugin are mistakes.
#[cfg(feature = "lua")]
fn of_plugins_only(source: &Source, file: &CaseFile) -> Result<(), CommandError> {
    let given = [
        ("script", file.script.is_some()),
        ("gateway", file.gateway.is_some()),
        ("dicts", !file.dicts.is_empty()),
        ("sockets", !file.sockets.is_empty() || file.cases.iter().any(|case| !case.sockets.is_empty())),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((key, _)) => {
            let message = format!("`{key}` is for scripts, and this is a test of a plugin");
            Err(source.problem(source.key(key), &message, "remove it, or run `witgate lua test`"))
        }
        None => Ok(()),
    }
}

/// Keys that mean nothing to a script are mistakes.
#[cfg(feature = "lua")]
fn of_scripts_only(source: &Source, file: &CaseFile) -> Result<(), CommandError> {
    let given = [
        ("plugin", file.plugin.is_some(), "run `witgate plugin test`, or remove it"),
        ("config", file.config.as_object().is_none_or(|config| !config.is_empty()), "remove it"),
        ("grants", !file.grants.is_empty(), "write it into `[lua.NAME]`, or `[script.lua]`"),
        ("limits", file.limits.is_given(), "write them into `[lua.NAME]`, or `[script.lua]`"),
        ("buckets", !file.buckets.is_empty(), "remove it"),
        ("keys", !file.keys.is_empty(), "remove it"),
        ("key_sets", !file.key_sets.is_empty(), "remove it"),
        ("load", !file.load.is_empty(), "remove it"),
        ("kv", !file.kv.is_empty(), "scripts have shared dictionaries: use `dicts`"),
        ("models", !file.models.is_empty(), "remove it"),
    ];
    if let Some((key, _, help)) = given.into_iter().find(|(_, given, _)| *given) {
        let message = format!("`{key}` is for plugins, and this is a test of a script");
        return Err(source.problem(source.key(key), &message, help));
    }
    if let Some(name) = file.upstreams.keys().find(|name| *name != script::ROUTES) {
        let message = format!("expected only `upstreams.{}`, got `upstreams.{name}`", script::ROUTES);
        let help = "it answers `ngx.location.capture`; what sockets reach is below `sockets`";
        return Err(source.problem(source.key("upstreams"), &message, help));
    }
    Ok(())
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
        #[cfg(feature = "lua")]
        self.known_servers(case)?;
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
            #[cfg(feature = "lua")]
            self.begin_script(case).await?;
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
            #[cfg(feature = "lua")]
            let complaints = self.end_script().await;
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
            #[cfg(feature = "lua")]
            check.sockets(&complaints);
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

    #[cfg(feature = "lua")]
    fn known_servers(&self, case: &Case) -> Result<(), CommandError> {
        match case.sockets.keys().find(|name| !self.file.sockets.contains_key(name.get_ref())) {
            Some(name) => Err(self.source.unknown_name(name, "[[sockets.NAME]]")),
            None => Ok(()),
        }
    }

    /// Has servers expect what the case says, and then what the file says, and lets timers run that are due.
    #[cfg(feature = "lua")]
    async fn begin_script(&self, case: &Case) -> Result<(), CommandError> {
        let world::Subject::Script(script) = &self.world.subject else { return Ok(()) };
        let own = case.sockets.iter().map(|(name, exchanges)| (name.get_ref(), exchanges));
        let mut expected = sockets::script(own, self.source)?;
        for (name, parts) in sockets::script(&self.file.sockets, self.source)? {
            // What a case says takes the place of what is said for all.
            expected.entry(name).or_insert(parts);
        }
        script.servers.expect(expected);
        script.settle().await;
        Ok(())
    }

    /// What went wrong with the servers.
    #[cfg(feature = "lua")]
    async fn end_script(&self) -> Vec<String> {
        let world::Subject::Script(script) = &self.world.subject else { return Vec::new() };
        script.settle().await;
        script.servers.end().await
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
