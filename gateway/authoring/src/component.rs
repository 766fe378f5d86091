//! Components and the host that they run on.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use witgate_plugin_host::{HostSettings, PluginHost};

use crate::CommandError;

/// Enough for every command: they make one call at a time.
const INSTANCES: u32 = 16;

/// The bytes of a component.
pub(crate) fn read(path: &Path) -> Result<Arc<[u8]>, CommandError> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes.into()),
        Err(source) => Err(CommandError::Read { what: "component", path: path.to_owned(), source }),
    }
}

/// A host without a cache: what an author tests was built a moment ago.
pub(crate) fn host() -> Result<PluginHost, CommandError> {
    Ok(PluginHost::new(HostSettings { instances_limit: INSTANCES, ..HostSettings::default() })?)
}

/// A host that keeps machine code in this folder.
pub(crate) fn host_with_cache(folder: &Path) -> Result<PluginHost, CommandError> {
    let cache_dir = Some(folder.to_owned());
    Ok(PluginHost::new(HostSettings { cache_dir, instances_limit: INSTANCES, ..HostSettings::default() })?)
}

/// Runs what asks plugins to its end, on this thread.
pub(crate) fn run<F: Future>(future: F) -> Result<F::Output, CommandError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Temporary)?;
    Ok(runtime.block_on(future))
}
