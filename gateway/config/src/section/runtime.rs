//! `[runtime]`: threads, time to end, cache.

use std::time::Duration;

use crate::Runtime;
use crate::kind::{At, FilePath, Number, Time};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};

/// Kubernetes takes an ending pod off its services within a second or two, and other balancers that ask `/ready` every
/// second or two after as many refusals. Longer, and whoever ends a gateway by hand waits in vain.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);

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

const ACCEPT: Key<Time> = Key {
    name: "accept_timeout",
    kind: Time { least: Duration::ZERO, most: Duration::from_secs(3600) },
    example: "\"10s\"",
    doc: "How long connections are still accepted after SIGTERM or SIGINT, while `/ready` says 503 and responses tell clients \
          to close: as long as a balancer takes to notice. A second signal stops at once.",
};

const DRAIN: Key<Time> = Key {
    name: "drain_timeout",
    kind: Time { least: Duration::ZERO, most: Duration::from_secs(3600) },
    example: "\"30s\"",
    doc: "How long requests in flight may take to end after that. As long as the default deadline of a route.",
};

const CACHE: Key<At<FilePath>> = Key {
    name: "plugin_cache",
    kind: At(FilePath),
    example: "\"/var/cache/witgate\"",
    doc: "Directory of compiled plugins and decision trees, which must not be open to other users. Without it, \
          `$XDG_CACHE_HOME/witgate/plugins` or `~/.cache/witgate/plugins`.",
};

pub(super) fn read(root: &mut Table<'_>) -> Read<Runtime> {
    root.section_or_default(&SECTION, |table| {
        let threads = table.optional(&THREADS);
        let accept_timeout = table.or(&ACCEPT, ACCEPT_TIMEOUT);
        let drain_timeout = table.or(&DRAIN, DRAIN_TIMEOUT);
        let plugin_cache = table.optional(&CACHE);
        Ok(Runtime {
            threads: threads?.map(|threads| threads as usize),
            accept_timeout: accept_timeout?,
            drain_timeout: drain_timeout?,
            plugin_cache: plugin_cache?,
        })
    })
}
