//! Reload as a transaction: read, validate, refuse what is static, build, then swap in one store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, error, info};
use witgate_config::Diagnostic;

use crate::gateway::Gateway;
use crate::snapshot::{Builder, Moved, Snapshot, moved, names, read};
use crate::telemetry::ReloadOutcome;

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
    /// Told which files to watch after each swap.
    watched: tokio::sync::watch::Sender<Vec<PathBuf>>,
    gate: tokio::sync::Mutex<()>,
}

impl Reloader {
    pub fn new(
        path: PathBuf,
        builder: Builder,
        gateway: Arc<Gateway>,
        watched: tokio::sync::watch::Sender<Vec<PathBuf>>,
    ) -> Arc<Self> {
        Arc::new(Self { path, builder, gateway, watched, gate: tokio::sync::Mutex::default() })
    }

    /// What outlives generations.
    pub fn builder(&self) -> &Builder {
        &self.builder
    }

    /// Reloads; waits for a reload that is under way. The work is done on a blocking thread.
    pub async fn reload(self: &Arc<Self>, trigger: Trigger) -> Reloaded {
        let _gate = self.gate.lock().await;
        let started = Instant::now();
        let this = Arc::clone(self);
        let reloaded = tokio::task::spawn_blocking(move || this.attempt(trigger)).await.unwrap_or_else(|error| {
            Reloaded::Refused {
                diagnostics: vec![Diagnostic {
                    file: self.path.clone(),
                    spot: None,
                    message: format!("the reload itself failed: {error}"),
                    help: Some("report this; the old configuration keeps serving".to_owned()),
                }],
            }
        });
        if trigger == Trigger::Name && reloaded.outcome() == ReloadOutcome::Unchanged {
            return reloaded;
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
            Reloaded::Refused { diagnostics } => {
                let problems = diagnostics.len();
                error!(trigger, problems, "reload refused; the old configuration keeps serving");
                // Without the lines that they point at: somebody may have put a secret there, and this goes to logs.
                diagnostics.iter().for_each(|diagnostic| eprintln!("{diagnostic}"));
            }
        }
        reloaded
    }

    fn attempt(&self, trigger: Trigger) -> Reloaded {
        let current = self.gateway.snapshot();
        let resolve = || self.builder.resolve(&current.config, Some(&current));
        // Files are not read for a name, which may be looked up every few seconds.
        let resolution = (trigger == Trigger::Name).then(resolve);
        if let Some(resolution) = &resolution
            && moved(names(resolution), &current).is_empty()
        {
            self.builder.registry.looked_up(names(resolution));
            return unchanged(&current, Vec::new());
        }
        let sources = match read(&self.path) {
            Ok(sources) => sources,
            Err(diagnostics) => return Reloaded::Refused { diagnostics },
        };
        // Also after a refusal below: the files that have to be mended are those that the new configuration names.
        self.watched.send_replace(sources.paths().map(Path::to_owned).collect());
        let is_same = sources.digest == current.digest;
        match trigger {
            // Something happened in a folder that is watched, which says nothing of names.
            Trigger::File if is_same => return unchanged(&current, Vec::new()),
            // A file has changed, perhaps in part: whoever watches it sees to that, and to the name along with it.
            Trigger::Name if !is_same => return unchanged(&current, Vec::new()),
            _ => {}
        }
        if is_same {
            let resolution = resolution.unwrap_or_else(resolve);
            if moved(names(&resolution), &current).is_empty() {
                self.builder.registry.looked_up(names(&resolution));
                return unchanged(&current, self.builder.unresolved(&sources, &resolution, &current));
            }
            return self.swap(self.builder.build_with(&sources, Some(&current), resolution), &current);
        }
        let diagnostics = sources.config.static_changes(&current.config, &self.path);
        if !diagnostics.is_empty() {
            return Reloaded::Refused { diagnostics };
        }
        self.swap(self.builder.build(&sources, Some(&current)), &current)
    }

    /// Puts a new generation in place, if there is one.
    fn swap(&self, built: Result<Snapshot, Vec<Diagnostic>>, current: &Snapshot) -> Reloaded {
        match built {
            Ok(next) => {
                let (generation, moved) = (next.generation, moved(next.names(), current));
                let warnings = next.warnings().chain(next.unresolved()).cloned().collect();
                self.builder.registry.looked_up(next.names());
                self.gateway.swap(Arc::new(next));
                Reloaded::Swapped { generation, warnings, moved }
            }
            Err(diagnostics) => Reloaded::Refused { diagnostics },
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

/// Prints diagnostics for a person, with the lines that they point at.
pub fn report(path: &Path, diagnostics: &[Diagnostic]) {
    let read = |file: &Path| std::fs::read(file).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let source = read(path);
    for diagnostic in diagnostics {
        // A script's mistakes are in files of their own.
        let other = (diagnostic.file != path).then(|| read(&diagnostic.file)).flatten();
        let source = if diagnostic.file == path { source.as_deref() } else { other.as_deref() };
        eprintln!("{}", diagnostic.render(source));
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
            let (sources, builder, first) = build_first(&self.path(), resolver).expect("it starts");
            let metrics = Arc::clone(&builder.metrics);
            let log = AccessLog::open(&sources.config.access_log, metrics.access_records_dropped.clone());
            builder.registry.looked_up(first.names());
            let gateway = Gateway::new(Arc::new(first), metrics, log.expect("no log"));
            let (watched, _) = tokio::sync::watch::channel(Vec::new());
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
        assert_eq!(diagnostics[0].message, "`new.test` cannot be resolved: no such name");

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
