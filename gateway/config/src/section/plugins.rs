//! `[plugins.NAME]`: components and their limits.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kind::{At, Choice, FilePath, GIB, MIB, Number, Size, Time};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{Isolation, Plugin};

const SECTION: Section =
    Section { name: "plugins", reload: Reload::Live, doc: "WASM components that routes can put into their stages." };

/// A filter in Rust uses one or two; languages that bring a runtime along use five to ten.
const MEMORY_LIMIT: u64 = 16 * MIB;
/// A hook takes microseconds; this is far beyond one that works and short enough for its client not to notice.
const HOOK_TIMEOUT: Duration = Duration::from_millis(10);
/// An instance serves some hundred thousand calls a second, so waiting for one means that hooks hang.
const INSTANCES_LIMIT: u32 = 64;

/// Twice the time that a request to an upstream has by default, and a third of a route's default deadline.
const WALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Whoever waits has a client that waits. An overloaded plugin is better told at once, unless the operator knows better.
const QUEUE_LIMIT: u32 = 0;
/// Clients notice a second, and a burst is over by then.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

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
          more are failures (`on_overload`). All plugins together have 1000. With `isolation = \"request\"` up to a quarter \
          of them, and at most 16, stand by for the next calls.",
};

const WALL: Key<Time> = Key {
    name: "wall_timeout",
    kind: Time { least: Duration::from_millis(1), most: Duration::from_secs(300) },
    example: "\"10s\"",
    doc: "Time of one hook in all: run time, host calls, and whatever it waits for, such as an upstream (`outbound`). One \
          that takes longer is stopped, as at its `hook_timeout`.",
};

const ISOLATION: Key<Choice<Isolation>> = Key {
    name: "isolation",
    kind: Choice(&[("shared", Isolation::Shared), ("request", Isolation::Request)]),
    example: "\"request\"",
    doc: "What calls share. `\"shared\"`: an instance serves one call after another, so what the plugin leaves in its memory \
          is there when it is called for other requests; for code that you trust with all of them. `\"request\"`: every \
          call has an instance that nobody has called before, and that is gone afterwards; for code of tenants. Costs \
          some ten microseconds a call. Attributes carry what one hook of a request leaves for the next either way.",
};

const CONCURRENCY: Key<Number> = Key {
    name: "concurrency_limit",
    kind: Number { least: 1, most: 1000 },
    example: "8",
    doc: "Hooks that run at once, for each distinct configuration of the plugin: at most `instances_limit`, and as many \
          without it. Say less for a plugin that asks an upstream which cannot take more.",
};

const QUEUE: Key<Number> = Key {
    name: "queue_limit",
    kind: Number { least: 0, most: 10_000 },
    example: "100",
    doc: "Hooks that may wait for their turn while as many run as may, first come, first served. More, and all without a \
          queue, are failures (`on_overload`).",
};

const QUEUE_TIME: Key<Time> = Key {
    name: "queue_timeout",
    kind: Time { least: Duration::from_millis(1), most: Duration::from_secs(60) },
    example: "\"1s\"",
    doc: "The longest that a hook waits for its turn; then it is a failure (`on_overload`).",
};

pub(super) fn read(root: &mut Table<'_>) -> Read<BTreeMap<String, Plugin>> {
    root.map(&SECTION, |table, _| {
        let path = table.required(&PATH);
        let memory_limit = table.or(&MEMORY, MEMORY_LIMIT);
        let hook_timeout = table.or(&TIMEOUT, HOOK_TIMEOUT);
        let wall_timeout = table.or(&WALL, WALL_TIMEOUT);
        let isolation = table.or(&ISOLATION, Isolation::Shared);
        let instances_limit = table.or(&INSTANCES, INSTANCES_LIMIT);
        let concurrency_limit = table.optional(&CONCURRENCY);
        let queue_limit = table.or(&QUEUE, QUEUE_LIMIT);
        let queue_timeout = table.or(&QUEUE_TIME, QUEUE_TIMEOUT);
        let (instances_limit, concurrency_limit) = (instances_limit?, concurrency_limit?);
        if concurrency_limit.is_some_and(|concurrency| concurrency > instances_limit) {
            let message = format!("expected at most `instances_limit`, which is {instances_limit}");
            return Err(table.fail_at(CONCURRENCY.name, message, "lower it, or raise `instances_limit`"));
        }
        Ok(Plugin {
            path: path?,
            memory_limit: usize::try_from(memory_limit?).unwrap_or(usize::MAX),
            hook_timeout: hook_timeout?,
            wall_timeout: wall_timeout?,
            isolation: isolation?,
            instances_limit: instances_limit as usize,
            concurrency_limit: concurrency_limit.map(|limit| limit as usize),
            queue_limit: queue_limit? as usize,
            queue_timeout: queue_timeout?,
        })
    })
}
