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
    pub grants: Grants,
}

/// Hard caps of one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginLimits {
    /// Bytes of linear memories and tables of one instance.
    pub memory: usize,
    /// Time that one hook may run, in steps of the epoch clock (1 ms). Time in which the guest waits for other tasks of
    /// its thread is not counted.
    pub hook_timeout: Duration,
    /// Instances at once, over all threads. Also the number of hooks that can run at once.
    pub instances: usize,
}

impl PluginSpec {
    /// Equal for specs that can share instances.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let Self { name, wasm, config_json, limits, grants } = self;
        let PluginLimits { memory, hook_timeout, instances } = limits;
        let mut hash = Sha256::new();
        for part in [name.as_bytes(), &Sha256::digest(wasm), config_json.as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update((*memory as u64).to_le_bytes());
        hash.update(hook_timeout.as_nanos().to_le_bytes());
        hash.update((*instances as u64).to_le_bytes());
        grants.digest(&mut hash);
        hash.finalize().into()
    }
}
