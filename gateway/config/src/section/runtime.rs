//! `[runtime]`: threads, time to end, cache.

use std::time::Duration;

use crate::Runtime;
use crate::kind::{At, FilePath, Number, Time};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};

/// As long as the default deadline of a route: what was admitted may end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

const SECTION: Section =
    Section { name: "runtime", reload: Reload::Restart, doc: "Threads, shutdown and cache of the process." };

const THREADS: Key<Number> = Key {
    name: "threads",
    kind: Number { least: 1, most: 1024 },
    example: "2",
    doc: "Threads that serve requests. Without it, one for each processor.",
};

const DRAIN: Key<Time> = Key {
    name: "drain_timeout",
    kind: Time { least: Duration::ZERO, most: Duration::from_secs(3600) },
    example: "\"30s\"",
    doc: "How long requests in flight may take to end after SIGTERM or SIGINT. As long as the default deadline of a route.",
};

const CACHE: Key<At<FilePath>> = Key {
    name: "plugin_cache",
    kind: At(FilePath),
    example: "\"/var/cache/witgate\"",
    doc: "Directory of compiled plugins, which must not be open to other users. Without it, \
          `$XDG_CACHE_HOME/witgate/plugins` or `~/.cache/witgate/plugins`.",
};

pub(super) fn read(root: &mut Table<'_>) -> Read<Runtime> {
    root.section_or_default(&SECTION, |table| {
        let threads = table.optional(&THREADS);
        let drain_timeout = table.or(&DRAIN, DRAIN_TIMEOUT);
        let plugin_cache = table.optional(&CACHE);
        Ok(Runtime {
            threads: threads?.map(|threads| threads as usize),
            drain_timeout: drain_timeout?,
            plugin_cache: plugin_cache?,
        })
    })
}
