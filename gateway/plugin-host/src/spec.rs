//! What is asked of the host: a plugin, its configuration, limits and grants.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::Grants;

/// One plugin as a route wants it.
#[derive(Debug, Clone)]
pub struct PluginSpec {
    /// Name in the configuration: of logs, metrics and the key-value namespace.
    pub name: String,
    /// The component, as built. Precompiled artefacts are refused: loading one would execute it.
    pub wasm: Arc<[u8]>,
    /// The plugin's own configuration: JSON text of an object.
    pub config_json: String,
    pub limits: PluginLimits,
    pub isolation: Isolation,
    pub grants: Grants,
}

/// What the calls of one plugin share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Instances serve one call after another, so what a call leaves in its instance's memory is there for later ones, of
    /// other requests as well. For code that the operator trusts with its requests.
    #[default]
    Shared,
    /// Every call has an instance of its own, which nobody has called before. For code of tenants.
    Request,
}

/// Hard caps of one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginLimits {
    /// Bytes of linear memories and tables of one instance.
    pub memory: usize,
    /// Time that one hook may run, in steps of the epoch clock (1 ms). Time in which the guest waits for other tasks of
    /// its thread is not counted.
    pub hook_timeout: Duration,
    /// Time that one hook may take in all, with its host calls and whatever it waits for.
    pub wall_timeout: Duration,
    /// Instances at once, over all threads.
    pub instances: usize,
    /// Hooks that may run at once, over all threads; as many as there are instances, if that is fewer.
    pub concurrency: usize,
    /// Hooks that may wait for their turn when as many run as may.
    pub queue: usize,
    /// The longest that one of them waits.
    pub queue_timeout: Duration,
}

impl PluginLimits {
    /// Without a queue, and with as many hooks at once as there are instances; a hook may take 10 s in all.
    pub const fn new(memory: usize, hook_timeout: Duration, instances: usize) -> Self {
        Self {
            memory,
            hook_timeout,
            wall_timeout: Duration::from_secs(10),
            instances,
            concurrency: usize::MAX,
            queue: 0,
            queue_timeout: Duration::from_secs(1),
        }
    }
}

impl PluginSpec {
    /// Equal for specs that can share instances.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let Self { name, wasm, config_json, limits, isolation, grants } = self;
        let PluginLimits { memory, hook_timeout, wall_timeout, instances, concurrency, queue, queue_timeout } = limits;
        let mut hash = Sha256::new();
        for part in [name.as_bytes(), &Sha256::digest(wasm), config_json.as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        for count in [memory, instances, concurrency, queue] {
            hash.update((*count as u64).to_le_bytes());
        }
        for time in [hook_timeout, wall_timeout, queue_timeout] {
            hash.update(time.as_nanos().to_le_bytes());
        }
        hash.update([u8::from(*isolation == Isolation::Request)]);
        grants.digest(&mut hash);
        hash.finalize().into()
    }
}
