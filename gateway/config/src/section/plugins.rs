//! `[plugins.NAME]`: components and their limits.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Plugin;
use crate::kind::{At, FilePath, GIB, MIB, Number, Size, Time};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};

const SECTION: Section =
    Section { name: "plugins", reload: Reload::Live, doc: "WASM components that routes can put into their stages." };

/// A filter in Rust uses one or two; languages that bring a runtime along use five to ten.
const MEMORY_LIMIT: u64 = 16 * MIB;
/// A hook takes microseconds; this is far beyond one that works and short enough for its client not to notice.
const HOOK_TIMEOUT: Duration = Duration::from_millis(10);
/// An instance serves some hundred thousand calls a second, so waiting for one means that hooks hang.
const INSTANCES_LIMIT: u32 = 64;

const PATH: Key<At<FilePath>> = Key {
    name: "path",
    kind: At(FilePath),
    example: "\"auth.wasm\"",
    doc: "The component. A new version is loaded by a reload.",
};

const MEMORY: Key<Size> = Key {
    name: "memory_limit",
    kind: Size { least: 64 * 1024, most: 4 * GIB },
    example: "\"16MiB\"",
    doc: "Bytes of memory and tables of one instance. A filter in Rust uses one or two MiB, one in a language with a \
          runtime of its own five to ten.",
};

const TIMEOUT: Key<Time> = Key {
    name: "hook_timeout",
    kind: Time { least: Duration::from_millis(1), most: Duration::from_secs(60) },
    example: "\"10ms\"",
    doc: "Run time of one hook, to about a millisecond. A hook takes microseconds; one that takes this long hangs.",
};

const INSTANCES: Key<Number> = Key {
    name: "instances_limit",
    kind: Number { least: 1, most: 1000 },
    example: "64",
    doc: "Instances at once, for each distinct configuration of the plugin: as many hooks can run at the same time, and \
          more are failures (`on_overload`). All plugins together have 1000.",
};

pub(super) fn read(root: &mut Table<'_>) -> Read<BTreeMap<String, Plugin>> {
    root.map(&SECTION, |table, _| {
        let path = table.required(&PATH);
        let memory_limit = table.or(&MEMORY, MEMORY_LIMIT);
        let hook_timeout = table.or(&TIMEOUT, HOOK_TIMEOUT);
        let instances_limit = table.or(&INSTANCES, INSTANCES_LIMIT);
        Ok(Plugin {
            path: path?,
            memory_limit: usize::try_from(memory_limit?).unwrap_or(usize::MAX),
            hook_timeout: hook_timeout?,
            instances_limit: instances_limit? as usize,
        })
    })
}
