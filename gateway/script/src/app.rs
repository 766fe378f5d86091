//! What scripts share: the settings of their VMs, and what they may reach.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use witgate_stage::Store;

use crate::dict::Dict;
use crate::reach::Reach;
use crate::socket::tls::Configs;
use crate::subrequest::Subrequests;

/// Lua source with the name that errors give it: `@FILE`, or `=NAME` for what stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub name: String,
    pub source: Bytes,
}

/// Whether scripts are the operator's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// Nothing of the process or the machine is in reach but what is granted.
    #[default]
    Sandbox,
    /// `ffi`, `io`, `os` and modules in C as well: such a script can do whatever the gateway can.
    Full,
}

/// What scripts may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one VM.
    pub memory: usize,
    /// Bytes by which one hook of a request may make its VM grow.
    pub request_memory: usize,
    /// Run time of one phase.
    pub cpu: Duration,
    /// Time of one hook in all.
    pub wall: Duration,
    /// Coroutines that one hook makes, light threads included.
    pub coroutines: u32,
    /// Timers of one VM that are pending, and those that run at once.
    pub timers: u32,
    /// Sockets of one VM that are open, idle ones included.
    pub sockets: u32,
    /// Bytes of a response that a script makes.
    pub response: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            memory: 64 * MIB,
            request_memory: 16 * MIB,
            cpu: Duration::from_millis(50),
            wall: Duration::from_secs(10),
            coroutines: 1000,
            timers: 1000,
            sockets: 256,
            response: 8 * MIB,
        }
    }
}

/// Modules for `require`, by name: read when the configuration is, so that no request waits for a disk and a reload is all or
/// nothing.
pub type Modules = BTreeMap<String, Chunk>;

/// Stores by name. Two are equal if they are of the same.
#[derive(Debug, Clone, Default)]
pub struct Stores(pub BTreeMap<String, Arc<dyn Store>>);

impl PartialEq for Stores {
    fn eq(&self, other: &Self) -> bool {
        let of = |stores: &Self| -> Vec<(String, usize)> {
            stores.iter().map(|(name, store)| (name.clone(), Arc::as_ptr(store).addr())).collect()
        };
        of(self) == of(other)
    }
}

impl Eq for Stores {}

impl std::ops::Deref for Stores {
    type Target = BTreeMap<String, Arc<dyn Store>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// One `[lua.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppSpec {
    pub name: Arc<str>,
    pub trust: Trust,
    pub modules: Arc<Modules>,
    /// Where the modules come from, for `package.path`.
    pub module_paths: Vec<PathBuf>,
    /// Directories of modules in C (trusted scripts only).
    pub native_paths: Vec<PathBuf>,
    /// Shared libraries whose symbols `ffi.C` sees (trusted scripts only).
    pub libraries: Vec<PathBuf>,
    pub init: Option<Chunk>,
    pub init_worker: Option<Chunk>,
    pub limits: Limits,
    /// Shared dictionaries in reach, with their sizes in bytes.
    pub dicts: BTreeMap<String, usize>,
    /// What plugins keep, by their names.
    pub stores: Stores,
    pub reach: Reach,
    /// Certificate authorities in PEM by which sockets check the certificates of servers, instead of the system's.
    pub authorities: Option<Bytes>,
    /// Whether requests to the gateway's own routes are granted.
    pub routes: bool,
}

/// A `[lua.NAME]` that is served: what every VM of it is made from.
pub struct App {
    pub(crate) spec: AppSpec,
    pub(crate) dicts: BTreeMap<String, Arc<Dict>>,
    pub(crate) subrequests: Option<Arc<dyn Subrequests>>,
    pub(crate) figures: Figures,
    pub(crate) tls: Configs,
    /// Threads that make its VMs.
    pub(crate) workers: usize,
    /// Ends when no generation has it any more.
    pub(crate) retired: watch::Receiver<bool>,
}

/// What the VMs of an app have done, since it began.
#[derive(Debug, Default)]
pub struct Figures {
    pub vms: AtomicU64,
    pub vms_replaced: AtomicU64,
    pub timers: AtomicU64,
    pub sockets: AtomicU64,
}

impl App {
    pub(crate) fn begin(
        spec: AppSpec,
        dicts: BTreeMap<String, Arc<Dict>>,
        subrequests: Option<Arc<dyn Subrequests>>,
        workers: usize,
    ) -> AppHandle {
        let (retire, retired) = watch::channel(false);
        let app =
            Self { spec, dicts, subrequests, figures: Figures::default(), tls: Configs::default(), workers, retired };
        AppHandle { app: Arc::new(app), retire }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    /// A shared dictionary that its scripts may use.
    pub fn dict(&self, name: &str) -> Option<&Arc<Dict>> {
        self.dicts.get(name)
    }

    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Whether no generation has it any more.
    pub(crate) fn is_retired(&self) -> bool {
        // Reading what it is takes a lock; that there is nothing new is seen without.
        self.retired.has_changed().unwrap_or(true) && *self.retired.borrow()
    }
}

/// Keeps an app in service: when the last generation drops it, its timers are told.
pub struct AppHandle {
    pub(crate) app: Arc<App>,
    retire: watch::Sender<bool>,
}

impl AppHandle {
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }
}

impl Drop for AppHandle {
    fn drop(&mut self) {
        self.retire.send_replace(true);
    }
}
