//! The composition root: puts the parts together, runs them, and takes them apart again.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pingora_runtime::Runtime as Threads;
use rustls::server::ResolvesServerCert;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};
use witgate_code_cache::{CodeCache, OpenError};
use witgate_config::{self as config, Located, ModelRuntime};
use witgate_inference::backend::Runtime;
use witgate_inference::{Executor, Inference};
use witgate_plugin_host::{HostError, PluginHost};

use crate::admin::Admin;
use crate::check::{cannot_listen, cannot_log};
use crate::gateway::Gateway;
use crate::listen::{self, Bound, CurrentCertificate};
use crate::proxy::connection::Connections;
use crate::reload::{Reloader, Trigger, resolve_again};
use crate::snapshot::{Builder, Listed, ScriptHost, Snapshot, Sources, read};
use crate::telemetry::{AccessLog, Metrics};
use crate::unreadable::{Purpose, Unusable, unusable};
use crate::upstream::{Resolve, System};
use crate::watch::{Watcher, reload_on_change};

/// After the last request has ended: time for the last bytes of HTTP/2 connections to leave.
const FLUSH_TIME: Duration = Duration::from_millis(100);

/// After requests were cut off: time for them to end. They wait for nobody, but for stages that want to hear of it.
const CUT_OFF_TIME: Duration = Duration::from_secs(1);

/// Why a start failed: problems of the configuration are shown as such.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the configuration has problems")]
    Config(Vec<witgate_config::Diagnostic>),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// What a start has in common with a check: the first generation, and the builder of those that follow.
pub(crate) fn build_first(sources: &Sources, resolver: Arc<dyn Resolve>) -> Result<(Builder, Snapshot), StartError> {
    let metrics = Metrics::new().context("metrics")?;
    let inference_threads = inference_threads(&sources.config.inference);
    let builder = Builder {
        host: plugin_host(sources)?,
        inference: inference(sources, inference_threads)?,
        inference_threads,
        scripts: Arc::new(ScriptHost::new(threads(&sources.config.runtime)).context("scripts cannot be watched")?),
        metrics,
        registry: Arc::default(),
        resolver,
    };
    let first = builder.build(sources, None).map_err(StartError::Config)?;
    Ok((builder, first))
}

fn plugin_host(sources: &Sources) -> Result<PluginHost, StartError> {
    let runtime = &sources.config.runtime;
    let cache_dir = cache_directory(runtime);
    let settings = witgate_plugin_host::HostSettings { cache_dir, threads: threads(runtime), ..Default::default() };
    PluginHost::new(settings).map_err(|error| match error {
        HostError::Cache { path, source } => no_cache(sources, &OpenError::Directory { path, source }),
        HostError::CacheOpen { path, mode } => no_cache(sources, &OpenError::Shared { path, mode }),
        HostError::Engine { .. } | HostError::Thread(_) => {
            StartError::Other(anyhow::Error::new(error).context("the plugin host cannot be started"))
        }
    })
}

/// Where machine code of models is kept: beside that of plugins.
fn model_code(sources: &Sources) -> Result<Option<Arc<CodeCache>>, StartError> {
    let Some(directory) = cache_directory(&sources.config.runtime) else { return Ok(None) };
    let opened = CodeCache::open(&directory.join("models"));
    opened.map(|code| Some(Arc::new(code))).map_err(|error| no_cache(sources, &error))
}

fn no_cache(sources: &Sources, error: &OpenError) -> StartError {
    let Unusable { message, help } = match error {
        OpenError::Directory { path, source } => unusable(path, Purpose::Listing, source),
        OpenError::Shared { path, mode } => Unusable::new(
            format!(
                "expected a plugin cache that only this user can read and write, got `{}` with mode {mode:03o}",
                path.display()
            ),
            "whoever writes there runs code in the gateway: make it a directory of its own, or `chmod 700` it",
        ),
    };
    let named = sources.config.runtime.plugin_cache.as_ref();
    let help = match named {
        Some(_) => help,
        None => format!("{help}; or name another one as `plugin_cache` under `[runtime]`"),
    };
    let spot = named.map(|dir| dir.spot.clone()).unwrap_or_default();
    StartError::Config(vec![sources.diagnostic(&spot, message, help)])
}

/// What runs models, and its threads.
fn inference(sources: &Sources, threads: usize) -> Result<Arc<Inference>, StartError> {
    let config::Inference { runtime, niceness, .. } = &sources.config.inference;
    let (wanted, spot) = match runtime {
        ModelRuntime::Embedded => (Runtime::Embedded, None),
        ModelRuntime::Auto => (Runtime::Auto(None), None),
        ModelRuntime::Path(path) => (Runtime::Path(path.value.clone()), Some(&path.spot)),
    };
    let chosen = wanted.open().map_err(|error| {
        let spot = spot.cloned().unwrap_or_default();
        StartError::Config(vec![sources.diagnostic(&spot, error.message, error.help)])
    })?;
    if let Some(fallback) = &chosen.fallback {
        warn!("{fallback}");
    }
    let executor = Executor::start(threads, i32::try_from(*niceness).unwrap_or(0)).context("threads for models")?;
    let askers = self::threads(&sources.config.runtime);
    Ok(Inference::keeping(chosen.backend, executor, askers, model_code(sources)?))
}

/// One fewer than there are processors, so that a slow model under load leaves one to the proxy: with all of them taken, p99 of
/// a route without models was several times what it is (tests/bench/README.md, `slow`). A lower priority alone does not help.
fn inference_threads(inference: &config::Inference) -> usize {
    let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
    inference.threads.unwrap_or_else(|| cpus().saturating_sub(1).max(1))
}

fn cache_directory(runtime: &witgate_config::Runtime) -> Option<PathBuf> {
    runtime.plugin_cache.as_ref().map(|dir| dir.value.clone()).or_else(default_cache)
}

/// `$XDG_CACHE_HOME/witgate/plugins`, or `~/.cache/witgate/plugins`; none: plugins are compiled at each start.
fn default_cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .map(|base| base.join("witgate/plugins"))
}

fn threads(runtime: &witgate_config::Runtime) -> usize {
    let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
    runtime.threads.unwrap_or_else(cpus)
}

/// Serves a configuration until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// Whatever keeps the gateway from serving: nothing has been served then.
pub fn run(path: &Path) -> Result<(), StartError> {
    let sources = read(path).map_err(StartError::Config)?;
    let (builder, first) = build_first(&sources, Arc::new(System))?;
    first.warn();
    let metrics = Arc::clone(&builder.metrics);
    let config = Arc::clone(&sources.config);
    let access_log = AccessLog::open(&config.access_log, &metrics);
    let access_log = access_log.map_err(|error| match cannot_log(&sources, &config.access_log, &error) {
        Some(problem) => StartError::Config(vec![problem]),
        None => StartError::Other(anyhow::Error::new(error).context("the access log cannot be opened")),
    })?;
    builder.registry.looked_up(first.names());
    let scripts = Arc::clone(&builder.scripts);
    let gateway = Gateway::new(Arc::new(first), metrics, access_log);
    scripts.serve_by(&gateway);
    let (listed, files) = watch::channel(sources.listed.clone());
    let reloader = Reloader::new(path.to_owned(), builder, Arc::clone(&gateway), listed);

    let bind = |address: &Located<SocketAddr>| {
        let bound = listen::bind(address.value);
        bound.map_err(|error| StartError::Config(vec![cannot_listen(&sources, address, &error)]))
    };
    let bound = config.listeners.iter().map(|listener| bind(&listener.address)).collect::<Result<Vec<_>, _>>()?;
    let admin = config.admin.address.as_ref().map(bind).transpose()?;
    // Threads that do not steal work from each other: a request stays where its connection is (measured 8 to 13 % less
    // processor time than work stealing).
    let proxies = Threads::new_no_steal(threads(&config.runtime), "proxy");
    let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let control = control.context("the control runtime cannot be started")?;
    let parts = Parts { gateway, reloader, files, bound, admin, proxies };
    control.block_on(serve(parts, &config.runtime))?;
    Ok(())
}

/// Everything that is made before anything is served.
struct Parts {
    gateway: Arc<Gateway>,
    reloader: Arc<Reloader>,
    files: watch::Receiver<Listed>,
    bound: Vec<Bound>,
    admin: Option<Bound>,
    proxies: Threads,
}

async fn serve(parts: Parts, runtime: &config::Runtime) -> anyhow::Result<()> {
    let Parts { gateway, reloader, files, bound, admin, proxies } = parts;
    let mut ending =
        Ending { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    let mut hangup = signal(SignalKind::hangup())?;
    let (shutdown, shutting_down) = watch::channel(false);

    let mut ready = Vec::new();
    let tls: Vec<bool> = gateway.snapshot().certificates.iter().map(Option::is_some).collect();
    for ((listener, bound), tls) in bound.into_iter().enumerate().zip(tls) {
        ready.push(format!("ready {}://{}", if tls { "https" } else { "http" }, bound.address));
        let certificate = tls.then(|| {
            Arc::new(CurrentCertificate { gateway: Arc::clone(&gateway), listener }) as Arc<dyn ResolvesServerCert>
        });
        let app = Connections::new(Arc::clone(&gateway));
        let serving = listen::serve(bound, certificate, app, shutting_down.clone(), 1);
        proxies.get_handle().spawn(async move {
            if let Err(error) = serving.await {
                warn!(%error, "a listener ended");
            }
        });
    }
    if let Some(bound) = admin {
        info!(address = %bound.address, "admin listener");
        let app = Admin { gateway: Arc::clone(&gateway), reloader: Arc::clone(&reloader) };
        // Its own life: health and metrics are wanted while the gateway drains, too.
        let (keep, lives) = watch::channel(false);
        tokio::spawn(async move {
            let _keep = keep;
            listen::serve(bound, None, app, lives, 1).await
        });
    }
    // Before anybody is told that it is ready, so that no change is missed that somebody makes then.
    let watcher = Watcher::begin(&files.borrow());
    tokio::spawn(reload_on_change(Arc::clone(&reloader), watcher, files));
    tokio::spawn(resolve_again(Arc::clone(&reloader)));
    let registry = Arc::clone(&reloader.builder().registry);
    tokio::spawn(async move { registry.tell().await });
    // To the end: a drain may take an hour, and logs are rotated meanwhile.
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reloader.reload(Trigger::Signal).await;
        }
    });
    announce(&ready)?;

    ending.told().await;
    end(&gateway, runtime, &mut ending, &shutdown).await;
    tokio::task::spawn_blocking(move || proxies.shutdown_timeout(Duration::from_secs(1))).await?;
    Ok(())
}

/// Signals that end the process.
struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    /// Waits for the next one. Cancel-safe.
    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Goes on accepting for a while, closes the listeners, and waits for the requests in flight; a signal ends all of that.
async fn end(gateway: &Gateway, runtime: &config::Runtime, ending: &mut Ending, shutdown: &watch::Sender<bool>) {
    let (accept_timeout, drain_timeout) = (runtime.accept_timeout, runtime.drain_timeout);
    let drained = async {
        gateway.drain.accept_for(accept_timeout);
        if !accept_timeout.is_zero() {
            info!(
                ?accept_timeout,
                "draining: /ready says 503, new connections are still accepted; a second signal stops at once"
            );
            tokio::time::sleep(accept_timeout).await;
        }
        gateway.drain.finish_within(drain_timeout);
        info!(?drain_timeout, "draining: no new connections; requests in flight may end");
        shutdown.send_replace(true);
        tokio::time::timeout(drain_timeout, gateway.idle()).await.is_ok()
    };
    let drained = tokio::select! {
        drained = drained => Some(drained),
        () = ending.told() => None,
    };
    let requests = gateway.metrics.requests_in_flight.get();
    match drained {
        Some(true) => {
            tokio::time::sleep(FLUSH_TIME).await;
            info!("drained");
            return;
        }
        Some(false) => warn!(requests, "not drained in time; requests in flight are cut off"),
        None => warn!(requests, "told to stop a second time; requests in flight are cut off"),
    }
    // Nothing is accepted any more, whenever it was told.
    shutdown.send_replace(true);
    gateway.cut_requests_off();
    // Each has its record to write, and its stages to tell.
    let _ = tokio::time::timeout(CUT_OFF_TIME, gateway.idle()).await;
    tokio::time::sleep(FLUSH_TIME).await;
}

/// Tells on standard output, one line for each listener, that connections are accepted.
fn announce(ready: &[String]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in ready {
        writeln!(out, "{line}")?;
    }
    out.flush()
}
