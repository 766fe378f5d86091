//! Reload as a transaction: read, validate, refuse what is static, build, then swap in one store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, error, info};
use witgate_config::Diagnostic;

use crate::gateway::Gateway;
use crate::snapshot::{Builder, read};
use crate::telemetry::ReloadOutcome;

/// What set a reload off; it says nothing about what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    File,
    Signal,
    Admin,
}

impl Trigger {
    fn label(self) -> &'static str {
        match self {
            Self::File => "file change",
            Self::Signal => "SIGHUP",
            Self::Admin => "admin call",
        }
    }
}

/// How a reload ended.
#[derive(Debug)]
pub enum Reloaded {
    /// Nothing that the configuration names has changed.
    Unchanged { generation: u64 },
    Swapped {
        generation: u64,
        /// Plugins that could not be loaded, where the policy of their stage lets the reload go on.
        warnings: Vec<Diagnostic>,
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
        let reloaded =
            tokio::task::spawn_blocking(move || this.attempt()).await.unwrap_or_else(|error| Reloaded::Refused {
                diagnostics: vec![Diagnostic {
                    file: self.path.clone(),
                    spot: None,
                    message: format!("the reload itself failed: {error}"),
                    help: Some("report this; the old configuration keeps serving".to_owned()),
                }],
            });
        self.gateway.metrics.reload_ended(reloaded.outcome());
        let (by, trigger, elapsed_ms) = (trigger, trigger.label(), started.elapsed().as_millis());
        match &reloaded {
            // Anything may happen in a watched folder.
            Reloaded::Unchanged { generation } if by == Trigger::File => {
                debug!(generation, "reload: nothing has changed")
            }
            Reloaded::Unchanged { generation } => info!(trigger, generation, "reload: nothing has changed"),
            Reloaded::Swapped { generation, warnings } => {
                let warnings = warnings.len();
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

    fn attempt(&self) -> Reloaded {
        let current = self.gateway.snapshot();
        let sources = match read(&self.path) {
            Ok(sources) => sources,
            Err(diagnostics) => return Reloaded::Refused { diagnostics },
        };
        // Also after a refusal below: the files that have to be mended are those that the new configuration names.
        self.watched.send_replace(sources.paths().map(Path::to_owned).collect());
        if sources.digest == current.digest {
            return Reloaded::Unchanged { generation: current.generation };
        }
        let diagnostics = sources.config.static_changes(&current.config, &self.path);
        if !diagnostics.is_empty() {
            return Reloaded::Refused { diagnostics };
        }
        match self.builder.build(&sources, Some(&current)) {
            Ok(next) => {
                let (generation, warnings) = (next.generation, next.warnings().cloned().collect());
                self.gateway.swap(Arc::new(next));
                Reloaded::Swapped { generation, warnings }
            }
            Err(diagnostics) => Reloaded::Refused { diagnostics },
        }
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
