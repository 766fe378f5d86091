//! Reload as a transaction: read, validate, refuse what is static, build, then swap in one store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, error, info};
use witgate_config::Diagnostic;

use crate::gateway::Gateway;
use crate::snapshot::{Builder, Listed, Moved, Snapshot, Sources, moved, named, names, read, read_noting};
use crate::telemetry::ReloadOutcome;

/// How often files are read in one attempt if they change while they are read. What changes all the time is taken as it is.
const READS_LIMIT: u32 = 3;

/// What set a reload off; it says nothing about what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    File,
    Signal,
    Admin,
    /// A name did not resolve: it is looked up again.
    Name,
}

impl Trigger {
    fn label(self) -> &'static str {
        match self {
            Self::File => "file change",
            Self::Signal => "SIGHUP",
            Self::Admin => "admin call",
            Self::Name => "names looked up again",
        }
    }
}

/// How a reload ended.
#[derive(Debug)]
pub enum Reloaded {
    /// Nothing that the configuration names has changed.
    Unchanged {
        generation: u64,
        /// What does not run as it is configured.
        warnings: Vec<Diagnostic>,
    },
    Swapped {
        generation: u64,
        /// Plugins that could not be loaded, where the policy of their stage lets the reload go on, and names that do not
        /// resolve.
        warnings: Vec<Diagnostic>,
        /// Names that stand for other addresses now.
        moved: Vec<Moved>,
    },
    /// The old generation keeps serving.
    Refused { diagnostics: Vec<Diagnostic> },
}

impl Reloaded {
    pub fn outcome(&self) -> ReloadOutcome {
        match self {
            Self::Unchanged { .. } => ReloadOutcome::Unchanged,
            Self::Swapped { .. } => ReloadOutcome::Swapped,
            Self::Refused { .. } => ReloadOutcome::Refused,
        }
    }
}

/// The one gate that every reload passes.
pub struct Reloader {
    path: PathBuf,
    builder: Builder,
    gateway: Arc<Gateway>,
    /// Told what was read by each attempt, refused or not: what has to be mended is what the new configuration names.
    listed: tokio::sync::watch::Sender<Listed>,
    gate: tokio::sync::Mutex<()>,
    /// What the last attempt was refused for; empty if it was not.
    refused: parking_lot::Mutex<Vec<Diagnostic>>,
}

impl Reloader {
    pub fn new(
        path: PathBuf,
        builder: Builder,
        gateway: Arc<Gateway>,
        listed: tokio::sync::watch::Sender<Listed>,
    ) -> Arc<Self> {
        let (gate, refused) = Default::default();
        Arc::new(Self { path, builder, gateway, listed, gate, refused })
    }

    /// What outlives generations.
    pub fn builder(&self) -> &Builder {
        &self.builder
    }

    /// What the configuration names now, as far as it can be told; see [`named`].
    pub async fn named(&self) -> Option<Listed> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || named(&path)).await.ok().flatten()
    }

    /// Reloads; waits for a reload that is under way. The work is done on a blocking thread. Somebody's word has the access log
    /// opened anew as well, whether or not the configuration has changed or is taken.
    pub async fn reload(self: &Arc<Self>, trigger: Trigger) -> Reloaded {
        match self.reload_unless(trigger, || false).await {
            Some(reloaded) => reloaded,
            None => unchanged(&self.gateway.snapshot(), Vec::new()),
        }
    }

    /// As [`Self::reload`], but throws away what has been read, and returns none, if `disturbed` says then that files were
    /// changed while they were read.
    pub async fn reload_unless(
        self: &Arc<Self>,
        trigger: Trigger,
        mut disturbed: impl FnMut() -> bool,
    ) -> Option<Reloaded> {
        let _gate = self.gate.lock().await;
        let started = Instant::now();
        let this = Arc::clone(self);
        let attempted = tokio::task::spawn_blocking(move || this.attempt(trigger)).await.unwrap_or_else(|error| {
            Attempt::refused(vec![Diagnostic {
                file: self.path.clone(),
                spot: None,
                message: format!("the reload itself failed: {error}"),
                help: Some("report this; the old configuration keeps serving".to_owned()),
            }])
        });
        if disturbed() {
            debug!("files have changed while they were read; they are read again");
            return None;
        }
        let reloaded = match attempted {
            Attempt::Over(reloaded) => reloaded,
            Attempt::Built(next) => self.swap(*next),
        };
        if trigger == Trigger::Name && reloaded.outcome() == ReloadOutcome::Unchanged {
            return Some(reloaded);
        }
        self.gateway.metrics.reload_ended(reloaded.outcome());
        let (by, trigger, elapsed_ms) = (trigger, trigger.label(), started.elapsed().as_millis());
        match &reloaded {
            // Anything may happen in a watched folder.
            Reloaded::Unchanged { generation, .. } if by == Trigger::File => {
                debug!(generation, "reload: nothing has changed")
            }
            Reloaded::Unchanged { generation, .. } => info!(trigger, generation, "reload: nothing has changed"),
            Reloaded::Swapped { generation, warnings, moved } => {
                let warnings = warnings.len();
                for Moved { upstream, name, before, now } in moved {
                    info!(%upstream, %name, ?before, ?now, "a name stands for other addresses");
                }
                info!(trigger, generation, elapsed_ms, warnings, "reload: new generation serves")
            }
            // Looked at again for another reason than a change.
            Reloaded::Refused { diagnostics } if by == Trigger::File && !self.is_news(diagnostics) => {
                debug!("reload refused for the same reasons as before")
            }
            Reloaded::Refused { diagnostics } => {
                let problems = diagnostics.len();
                error!(trigger, problems, "reload refused; the old configuration keeps serving");
                // Without the lines that they point at: somebody may have put a secret there, and this goes to logs.
                diagnostics.iter().for_each(|diagnostic| eprintln!("{diagnostic}"));
            }
        }
        *self.refused.lock() = match &reloaded {
            Reloaded::Refused { diagnostics } => diagnostics.clone(),
            Reloaded::Unchanged { .. } | Reloaded::Swapped { .. } => Vec::new(),
        };
        Some(reloaded)
    }

    fn is_news(&self, diagnostics: &[Diagnostic]) -> bool {
        *self.refused.lock() != diagnostics
    }

    /// Reads all files as they are at one time: again, if one of them has changed meanwhile. Whoever watches them is told.
    fn read(&self) -> Result<Sources, Vec<Diagnostic>> {
        let mut turn = 1;
        loop {
            let mut listed = Listed::default();
            let read = read_noting(&self.path, &mut listed);
            if turn < READS_LIMIT && listed.has_changed() {
                turn += 1;
                continue;
            }
            self.listed.send_replace(listed);
            return read;
        }
    }

    fn attempt(&self, trigger: Trigger) -> Attempt {
        if matches!(trigger, Trigger::Signal | Trigger::Admin) {
            self.gateway.access_log.reopen();
        }
        let current = self.gateway.snapshot();
        let resolve = || self.builder.resolve(&current.config, Some(&current));
        // Files are not read for a name, which may be looked up every few seconds.
        let resolution = (trigger == Trigger::Name).then(resolve);
        if let Some(resolution) = &resolution
            && moved(names(resolution), &current).is_empty()
        {
            self.builder.registry.looked_up(names(resolution));
            return Attempt::Over(unchanged(&current, Vec::new()));
        }
        let read = if trigger == Trigger::Name { read(&self.path) } else { self.read() };
        let sources = match read {
            Ok(sources) => sources,
            Err(diagnostics) => return Attempt::refused(diagnostics),
        };
        let is_same = sources.digest == current.digest;
        match trigger {
            // Something happened in a folder that is watched, which says nothing of names.
            Trigger::File if is_same => return Attempt::Over(unchanged(&current, Vec::new())),
            // A file has changed, perhaps in part: whoever watches it sees to that, and to the name along with it.
            Trigger::Name if !is_same => return Attempt::Over(unchanged(&current, Vec::new())),
            _ => {}
        }
        if is_same {
            let resolution = resolution.unwrap_or_else(resolve);
            if moved(names(&resolution), &current).is_empty() {
                self.builder.registry.looked_up(names(&resolution));
                let unresolved = self.builder.unresolved(&sources, &resolution, &current);
                return Attempt::Over(unchanged(&current, unresolved));
            }
            return self.builder.build_with(&sources, Some(&current), resolution).into();
        }
        let diagnostics = sources.config.static_changes(&current.config, &self.path);
        if !diagnostics.is_empty() {
            return Attempt::refused(diagnostics);
        }
        self.builder.build(&sources, Some(&current)).into()
    }

    /// Puts a new generation in place.
    fn swap(&self, next: Snapshot) -> Reloaded {
        next.warn();
        let (generation, moved) = (next.generation, moved(next.names(), &self.gateway.snapshot()));
        let warnings = next.warnings().chain(next.unresolved()).cloned().collect();
        self.builder.registry.looked_up(next.names());
        self.gateway.swap(Arc::new(next));
        Reloaded::Swapped { generation, warnings, moved }
    }
}

/// A reload short of its last step.
enum Attempt {
    /// There is nothing to put in place.
    Over(Reloaded),
    Built(Box<Snapshot>),
}

impl Attempt {
    fn refused(diagnostics: Vec<Diagnostic>) -> Self {
        Self::Over(Reloaded::Refused { diagnostics })
    }
}

impl From<Result<Snapshot, Vec<Diagnostic>>> for Attempt {
    fn from(built: Result<Snapshot, Vec<Diagnostic>>) -> Self {
        match built {
            Ok(next) => Self::Built(Box::new(next)),
            Err(diagnostics) => Self::refused(diagnostics),
        }
    }
}

fn unchanged(current: &Snapshot, unresolved: Vec<Diagnostic>) -> Reloaded {
    let warnings = current.warnings().cloned().chain(unresolved).collect();
    Reloaded::Unchanged { generation: current.generation, warnings }
}

/// Pause before a name that does not resolve is looked up again. It doubles up to the second figure, which is about how long
/// DNS servers remember that there is no such name.
const NAME_PAUSE: Duration = Duration::from_secs(1);
const NAME_PAUSE_LIMIT: Duration = Duration::from_secs(60);

/// Looks names up again that do not resolve, until they do. Returns never.
pub async fn resolve_again(reloader: Arc<Reloader>) {
    let registry = Arc::clone(&reloader.builder.registry);
    let mut pause = NAME_PAUSE;
    loop {
        registry.unresolved().await;
        tokio::time::sleep(pause).await;
        reloader.reload(Trigger::Name).await;
        pause = if registry.has_unresolved() { (pause * 2).min(NAME_PAUSE_LIMIT) } else { NAME_PAUSE };
    }
}

/// Prints diagnostics for a person, with the lines that they point at. `kind` is what each of them is: an error or a warning.
pub fn report(path: &Path, kind: &str, diagnostics: &[Diagnostic]) {
    let read = |file: &Path| std::fs::read(file).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let source = read(path);
    for diagnostic in diagnostics {
        // A script's mistakes are in files of their own.
        let other = (diagnostic.file != path).then(|| read(&diagnostic.file)).flatten();
        let source = if diagnostic.file == path { source.as_deref() } else { other.as_deref() };
        let line = diagnostic.spot.as_ref().and_then(|spot| source?.split('\n').nth(spot.line.checked_sub(1)?));
        eprintln!("{}", diagnostic.render_as(kind, line));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::net::{IpAddr, SocketAddr};

    use parking_lot::Mutex;

    use super::*;
    use crate::app::build_first;
    use crate::telemetry::AccessLog;
    use crate::upstream::Resolve;

    /// Knows what it is told, and counts what it is asked.
    #[derive(Default)]
    struct Names {
        known: Mutex<BTreeMap<String, Vec<IpAddr>>>,
        asked: Mutex<usize>,
    }

    impl Names {
        fn set(&self, host: &str, addresses: &[&str]) {
            let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
            self.known.lock().insert(host.to_owned(), addresses);
        }

        fn forget(&self, host: &str) {
            self.known.lock().remove(host);
        }
    }

    impl Resolve for Names {
        fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
            *self.asked.lock() += 1;
            self.known.lock().get(host).cloned().ok_or_else(|| io::Error::other("no such name"))
        }
    }

    struct Site {
        folder: tempfile::TempDir,
        names: Arc<Names>,
    }

    impl Site {
        fn new(endpoints: &str, names: Names) -> Self {
            let site = Self { folder: tempfile::tempdir().expect("a folder"), names: Arc::new(names) };
            site.configure(endpoints, "");
            site
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("gateway.toml")
        }

        fn configure(&self, endpoints: &str, more: &str) {
            let text = format!(
                "[[listeners]]\naddress = \"127.0.0.1:0\"\n[runtime]\nthreads = 1\nplugin_cache = \"cache\"\n\
                 [access_log]\noutput = \"off\"\n[upstreams.u]\nendpoints = [{endpoints}]\n{more}\
                 [[routes]]\nname = \"all\"\nupstream = \"u\"\n"
            );
            std::fs::write(self.path(), text).expect("written");
        }

        fn start(&self) -> Arc<Reloader> {
            let resolver = Arc::clone(&self.names) as Arc<dyn Resolve>;
            let sources = read(&self.path()).expect("it is right");
            let (builder, first) = build_first(&sources, resolver).expect("it starts");
            let metrics = Arc::clone(&builder.metrics);
            let log = AccessLog::open(&sources.config.access_log, &metrics);
            builder.registry.looked_up(first.names());
            let gateway = Gateway::new(Arc::new(first), metrics, log.expect("no log"));
            let (watched, _) = tokio::sync::watch::channel(Listed::default());
            Reloader::new(self.path(), builder, gateway, watched)
        }
    }

    fn addresses(reloader: &Reloader) -> Vec<String> {
        let snapshot = reloader.gateway.snapshot();
        snapshot.upstreams["u"].addresses().map(|address| address.to_string()).collect()
    }

    fn known(host: &str, addresses: &[&str]) -> Names {
        let names = Names::default();
        names.set(host, addresses);
        names
    }

    #[tokio::test]
    async fn a_reload_that_is_asked_for_resolves_names_again_though_no_file_has_changed() {
        for trigger in [Trigger::Signal, Trigger::Admin, Trigger::Name] {
            let site = Site::new("\"api.test:80\"", known("api.test", &["10.0.0.1"]));
            let reloader = site.start();
            site.names.set("api.test", &["10.0.0.3", "10.0.0.2"]);
            let Reloaded::Swapped { generation: 2, warnings, moved } = reloader.reload(trigger).await else {
                panic!("not swapped by {trigger:?}");
            };
            assert_eq!((warnings.len(), moved.len()), (0, 1));
            assert_eq!((&*moved[0].upstream, moved[0].name.to_string().as_str()), ("u", "api.test:80"));
            assert_eq!(moved[0].before, ["10.0.0.1:80".parse::<SocketAddr>().expect("an address")]);
            assert_eq!(addresses(&reloader), ["10.0.0.2:80", "10.0.0.3:80"]);
            // The same ones in another order.
            site.names.set("api.test", &["10.0.0.2", "10.0.0.3"]);
            assert!(matches!(reloader.reload(trigger).await, Reloaded::Unchanged { generation: 2, .. }), "{trigger:?}");
        }
    }

    #[tokio::test]
    async fn an_event_in_a_folder_without_a_change_looks_nothing_up() {
        let site = Site::new("\"api.test:80\"", known("api.test", &["10.0.0.1"]));
        let reloader = site.start();
        let asked = *site.names.asked.lock();
        site.names.set("api.test", &["10.0.0.2"]);
        assert!(matches!(reloader.reload(Trigger::File).await, Reloaded::Unchanged { .. }));
        assert_eq!(*site.names.asked.lock(), asked);
    }

    #[tokio::test]
    async fn a_name_that_no_longer_resolves_keeps_its_addresses_and_blocks_no_change() {
        let site = Site::new("\"api.test:80\"", known("api.test", &["10.0.0.1"]));
        let reloader = site.start();
        site.names.forget("api.test");
        let Reloaded::Unchanged { warnings, .. } = reloader.reload(Trigger::Signal).await else { panic!("changed") };
        assert!(warnings[0].message.ends_with("its last addresses go on serving"), "{warnings:?}");
        site.configure("\"api.test:80\", \"10.0.0.9:80\"", "");
        let Reloaded::Swapped { warnings, moved, .. } = reloader.reload(Trigger::File).await else { panic!("refused") };
        assert_eq!((warnings.len(), moved.len()), (1, 0));
        assert_eq!(addresses(&reloader), ["10.0.0.1:80", "10.0.0.9:80"]);
        assert!(reloader.builder.registry.has_unresolved());
        site.names.set("api.test", &["10.0.0.1"]);
        assert!(matches!(reloader.reload(Trigger::Name).await, Reloaded::Unchanged { .. }));
        assert!(!reloader.builder.registry.has_unresolved(), "it resolves again, to what it was");
    }

    #[tokio::test]
    async fn a_new_name_has_to_resolve_unless_the_gateway_starts() {
        let site = Site::new("\"10.0.0.1:80\"", Names::default());
        let reloader = site.start();
        site.configure("\"10.0.0.1:80\", \"new.test:80\"", "");
        let Reloaded::Refused { diagnostics } = reloader.reload(Trigger::File).await else { panic!("taken") };
        assert_eq!(diagnostics[0].message, "`new.test` cannot be resolved: no such name is known here");

        let reloader = site.start();
        assert_eq!(addresses(&reloader), ["10.0.0.1:80"]);
        site.names.set("new.test", &["10.0.0.2"]);
        assert!(matches!(reloader.reload(Trigger::Name).await, Reloaded::Swapped { .. }));
        assert_eq!(addresses(&reloader), ["10.0.0.1:80", "10.0.0.2:80"]);
    }

    #[tokio::test]
    async fn a_look_up_again_takes_no_change_of_a_file_along() {
        let site = Site::new("\"api.test:80\"", known("api.test", &["10.0.0.1"]));
        let reloader = site.start();
        site.names.set("api.test", &["10.0.0.2"]);
        site.configure("\"api.test:80\"", "write_timeout = \"1s\"\n");
        assert!(matches!(reloader.reload(Trigger::Name).await, Reloaded::Unchanged { generation: 1, .. }));
        assert!(matches!(reloader.reload(Trigger::File).await, Reloaded::Swapped { .. }));
        assert_eq!(addresses(&reloader), ["10.0.0.2:80"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_does_not_resolve_is_looked_up_again_until_it_does() {
        let site = Site::new("\"late.test:80\"", Names::default());
        let reloader = site.start();
        assert!(addresses(&reloader).is_empty());
        tokio::spawn(resolve_again(Arc::clone(&reloader)));
        let asked = || *site.names.asked.lock();
        while asked() < 4 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        site.names.set("late.test", &["10.0.0.1"]);
        while addresses(&reloader).is_empty() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(!reloader.builder.registry.has_unresolved());
    }
}
