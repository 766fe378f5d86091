//! `[lua.NAME]`, `[scripts.NAME]` and `[shared_dicts.NAME]`: Lua.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kind::{
    At, Choice, FilePath, GIB, Json, KIB, LibraryName, List, LuaGrantName, LuaText, MIB, NameOf, Number, Size, Time,
};
use crate::node::quote;
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{Code, Located, LuaTrust, LuaVm, Places, Script, SharedDict, Spot};

const DICTS: Section = Section {
    name: "shared_dicts",
    reload: Reload::Live,
    doc: "Dictionaries that scripts of all threads share (`ngx.shared.NAME`), where they are granted. They keep what is in them \
          when the configuration is reloaded.",
};

const SIZE: Key<Size> = Key {
    name: "size",
    kind: Size { least: 12 * KIB, most: 4 * GIB },
    example: "\"10MiB\"",
    doc: "Memory for keys, values and what they cost to keep. When it is full, what was not used for longest makes room.",
};

const VMS: Section = Section {
    name: "lua",
    reload: Reload::Live,
    doc: "Settings of Lua VMs. Each proxy thread has a VM of its own for each of these, which the scripts that name it share: \
          modules, and what they keep in them. A change makes new VMs.",
};

/// Sixteen times what a VM with a few libraries has; two threads may have sixteen such before a GiB is gone.
const MEMORY_LIMIT: u64 = 64 * MIB;
/// Much for one request, and little enough for several at once below the limit of the VM.
const REQUEST_MEMORY_LIMIT: u64 = 16 * MIB;
/// A phase takes microseconds; this is far beyond one that works, and other requests of the thread wait meanwhile.
const CPU_LIMIT: Duration = Duration::from_millis(50);
/// Twice what the request of a plugin to an upstream has by default, and a third of a route's default deadline.
const WALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Far more than any request needs at once.
const COROUTINES_LIMIT: u32 = 1000;
/// As in OpenResty (`lua_max_pending_timers`).
const TIMERS_LIMIT: u32 = 1024;
/// A busy thread has some tens of requests in flight.
const SOCKETS_LIMIT: u32 = 256;
/// What most APIs answer is far below.
const RESPONSE_LIMIT: u64 = 8 * MIB;

/// Directories, libraries and grants: a handful is usual.
const LIST_LIMIT: usize = 64;

const PATH: Key<List<At<FilePath>>> = Key {
    name: "path",
    kind: List { kind: At(FilePath), least: 0, most: LIST_LIMIT },
    example: "[\"lua\", \"/usr/share/lua/5.1\"]",
    doc: "Directories of modules: `require \"a.b\"` finds `a/b.lua` or `a/b/init.lua` in the first that has it. All `.lua` files \
          below them are read when the configuration is, so that no request waits for a disk; a change of one is a change of \
          the configuration.",
};

const NATIVE_PATH: Key<List<At<FilePath>>> = Key {
    name: "native_path",
    kind: List { kind: At(FilePath), least: 0, most: LIST_LIMIT },
    example: "[\"/usr/lib/x86_64-linux-gnu/lua/5.1\"]",
    doc: "Directories of modules in C. Only beside `trust = \"full\"`.",
};

const LIBRARIES: Key<List<At<LibraryName>>> = Key {
    name: "libraries",
    kind: List { kind: At(LibraryName), least: 0, most: LIST_LIMIT },
    example: "[\"libcrypto.so.3\"]",
    doc: "Shared libraries that are loaded so that `ffi.C` sees their symbols. Only beside `trust = \"full\"`.",
};

const CA: Key<At<FilePath>> = Key {
    name: "ca",
    kind: At(FilePath),
    example: "\"ca.pem\"",
    doc: "PEM file of the authorities that sockets trust when they check a server's certificate (`sock:sslhandshake`). Without \
          it, those of the system.",
};

const TRUST: Key<Choice<LuaTrust>> = Key {
    name: "trust",
    kind: Choice(&[("sandbox", LuaTrust::Sandbox), ("full", LuaTrust::Full)]),
    example: "\"full\"",
    doc: "`\"sandbox\"`: scripts reach nothing of the process and the machine but what is granted. `\"full\"`: `ffi`, `io`, `os`, \
          `debug` and modules in C as well, for code that you trust as you trust the gateway: it can crash the process and \
          block its threads. Limits on run time and memory hold for both, as far as it is Lua that runs.",
};

const INIT: Key<At<LuaText>> = Key {
    name: "init",
    kind: At(LuaText),
    example: "\"require 'cjson'\"",
    doc: "Runs in each VM when it is made, and once before a configuration is served, which is refused if it fails.",
};

const INIT_FILE: Key<At<FilePath>> =
    Key { name: "init_file", kind: At(FilePath), example: "\"lua/init.lua\"", doc: "The same, from a file." };

const INIT_WORKER: Key<At<LuaText>> = Key {
    name: "init_worker",
    kind: At(LuaText),
    example: "\"ngx.timer.every(60, refresh)\"",
    doc: "Runs in each VM that serves requests, before its first one.",
};

const INIT_WORKER_FILE: Key<At<FilePath>> = Key {
    name: "init_worker_file",
    kind: At(FilePath),
    example: "\"lua/init_worker.lua\"",
    doc: "The same, from a file.",
};

const MEMORY: Key<Size> = Key {
    name: "memory_limit",
    kind: Size { least: MIB, most: 4 * GIB },
    example: "\"64MiB\"",
    doc: "Bytes of one VM. A script that wants more fails, and the VM is replaced by a new one.",
};

const REQUEST_MEMORY: Key<Size> = Key {
    name: "request_memory_limit",
    kind: Size { least: 64 * KIB, most: 4 * GIB },
    example: "\"16MiB\"",
    doc: "Bytes by which one hook of a request, or a timer, may make its VM grow.",
};

const CPU: Key<Time> = Key {
    name: "cpu_limit",
    kind: Time { least: Duration::from_millis(1), most: Duration::from_secs(60) },
    example: "\"50ms\"",
    doc: "Run time of one phase, without what it waits for, to about ten milliseconds. A script that takes longer is stopped \
          wherever it is, and its VM is replaced.",
};

const WALL: Key<Time> = Key {
    name: "wall_timeout",
    kind: Time { least: Duration::from_millis(1), most: Duration::from_secs(3600) },
    example: "\"10s\"",
    doc: "Time of one hook in all, with what its phases wait for.",
};

const COROUTINES: Key<Number> = Key {
    name: "coroutines_limit",
    kind: Number { least: 1, most: 1_000_000 },
    example: "1000",
    doc: "Coroutines and light threads that one phase of a request may make.",
};

const TIMERS: Key<Number> = Key {
    name: "timers_limit",
    kind: Number { least: 0, most: 1_000_000 },
    example: "1024",
    doc: "Timers of one VM that wait; as many may run at once.",
};

const SOCKETS: Key<Number> = Key {
    name: "sockets_limit",
    kind: Number { least: 0, most: 65_535 },
    example: "256",
    doc: "Sockets of one VM that are open, those that wait in pools included.",
};

const RESPONSE: Key<Size> = Key {
    name: "response_limit",
    kind: Size { least: KIB, most: GIB },
    example: "\"8MiB\"",
    doc: "Bytes of a response that a script makes, which is held until the script has ended.",
};

pub(super) fn read_dicts(root: &mut Table<'_>) -> Read<BTreeMap<String, SharedDict>> {
    root.map(&DICTS, |table, _| {
        let size = table.required(&SIZE);
        Ok(SharedDict { size: usize::try_from(size?).unwrap_or(usize::MAX) })
    })
}

/// What grants of VMs can name.
pub(super) struct Names<'n> {
    pub(super) dicts: &'n [String],
    pub(super) upstreams: &'n [String],
    pub(super) plugins: &'n [String],
}

pub(super) fn read_vms(root: &mut Table<'_>, names: &Names<'_>) -> Read<BTreeMap<String, LuaVm>> {
    let grants = Key {
        name: "grants",
        kind: List {
            kind: LuaGrantName { dicts: names.dicts, upstreams: names.upstreams, plugins: names.plugins },
            least: 0,
            most: LIST_LIMIT,
        },
        example: "[\"shared:counters\", \"address:127.0.0.1:6379\"]",
        doc: "What scripts may reach; nothing, without it. `shared:NAME`: that shared dictionary. `kv:NAME`: \
              what the plugin of that name keeps, as `ngx.shared[\"kv:NAME\"]`. `upstream:NAME`: sockets to the \
              endpoints of that upstream, by its name as the host. `address:ADDRESS:PORT`: sockets to that address, or network \
              (`10.0.0.0/8`), `*` for every port; `address:unix:PATH`: to that socket. `routes`: requests to the gateway's own \
              routes (`ngx.location.capture`, `ngx.exec`).",
    };
    root.map(&VMS, |table, _| {
        let (path, native_path, libraries) =
            (table.optional(&PATH), table.optional(&NATIVE_PATH), table.optional(&LIBRARIES));
        let ca = table.optional(&CA);
        let trust = table.or(&TRUST, LuaTrust::Sandbox);
        let init = code(table, &INIT, &INIT_FILE);
        let init_worker = code(table, &INIT_WORKER, &INIT_WORKER_FILE);
        let grants = table.optional(&grants);
        let (memory, request_memory) =
            (table.or(&MEMORY, MEMORY_LIMIT), table.or(&REQUEST_MEMORY, REQUEST_MEMORY_LIMIT));
        let (cpu_limit, wall_timeout) = (table.or(&CPU, CPU_LIMIT), table.or(&WALL, WALL_TIMEOUT));
        let (coroutines, timers) = (table.or(&COROUTINES, COROUTINES_LIMIT), table.or(&TIMERS, TIMERS_LIMIT));
        let (sockets, response) = (table.or(&SOCKETS, SOCKETS_LIMIT), table.or(&RESPONSE, RESPONSE_LIMIT));
        let (trust, native_path, libraries) =
            (trust?, native_path?.unwrap_or_default(), libraries?.unwrap_or_default());
        if trust == LuaTrust::Sandbox {
            let only_trusted = [NATIVE_PATH.name, LIBRARIES.name].into_iter().find(|key| table.has(key));
            if let Some(key) = only_trusted {
                let message = format!("expected `{key}` only beside `trust = \"full\"`");
                return Err(table.fail_at(key, message, "remove it, or trust these scripts as you trust the gateway"));
            }
        }
        let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        Ok(LuaVm {
            spot: table.spot(),
            path: path?.unwrap_or_default(),
            native_path,
            libraries,
            ca: ca?,
            trust,
            init: init?,
            init_worker: init_worker?,
            grants: grants?.unwrap_or_default(),
            memory_limit: bytes(memory?),
            request_memory_limit: bytes(request_memory?),
            cpu_limit: cpu_limit?,
            wall_timeout: wall_timeout?,
            coroutines_limit: coroutines?,
            timers_limit: timers?,
            sockets_limit: sockets?,
            response_limit: bytes(response?),
        })
    })
}

/// Code from one of two keys, or none.
fn code(table: &mut Table<'_>, inline: &Key<At<LuaText>>, file: &Key<At<FilePath>>) -> Read<Option<Code>> {
    let (text, path) = (table.optional(inline), table.optional(file));
    match (text?, path?) {
        (Some(text), None) => Ok(Some(Code::Inline(text))),
        (None, Some(path)) => Ok(Some(Code::File(path))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            let message = format!("expected `{}` or `{}`, got both", inline.name, file.name);
            Err(table.fail_at(file.name, message, "remove one of the two"))
        }
    }
}

const SCRIPTS: Section = Section {
    name: "scripts",
    reload: Reload::Live,
    doc: "Lua scripts that routes can put into their stages: code for the phases of a request, as lua-nginx-module has them. \
          `docs/lua/README.md` tells what scripts can do.",
};

/// A phase with the keys for its code and for a file.
type Phase = (&'static str, Key<At<LuaText>>, Key<At<FilePath>>);

/// In the order in which they run.
const PHASES: [Phase; 7] = [
    phase(
        "rewrite",
        "rewrite_file",
        "Runs first, on the request's head: `rewrite_by_lua`.",
        "\"ngx.req.set_uri('/v2' .. ngx.var.uri)\"",
    ),
    phase("access", "access_file", "Runs next: `access_by_lua`. May refuse the request.", "\"ngx.exit(403)\""),
    phase(
        "content",
        "content_file",
        "Answers the request: `content_by_lua`. Nothing behind it sees the request, and its route needs no upstream.",
        "\"ngx.say('hello')\"",
    ),
    phase(
        "balancer",
        "balancer_file",
        "Chooses among the endpoints of the upstream: `balancer_by_lua`.",
        "\"require('ngx.balancer').set_current_peer('10.0.0.1', 9000)\"",
    ),
    phase(
        "header_filter",
        "header_filter_file",
        "Runs on the response's head: `header_filter_by_lua`.",
        "\"ngx.header['X-Served-By'] = 'edge'\"",
    ),
    phase(
        "body_filter",
        "body_filter_file",
        "Runs on each piece of the response's body: `body_filter_by_lua`.",
        "\"ngx.arg[1] = ngx.arg[1]:upper()\"",
    ),
    phase("log", "log_file", "Runs when the request has ended: `log_by_lua`.", "\"ngx.log(ngx.INFO, ngx.status)\""),
];

const fn phase(name: &'static str, file: &'static str, doc: &'static str, example: &'static str) -> Phase {
    (
        name,
        Key { name, kind: At(LuaText), example, doc },
        Key { name: file, kind: At(FilePath), example: "\"lua/handler.lua\"", doc: "The same, from a file." },
    )
}

const VARIABLES: Key<At<Json>> = Key {
    name: "variables",
    kind: At(Json),
    example: "{ color = \"red\" }",
    doc: "Variables of nginx's `set`, with what they are at first: only these can be assigned to (`ngx.var.color = \"blue\"`).",
};

/// Variables of one script.
const VARIABLES_LIMIT: usize = 64;

pub(super) fn read(root: &mut Table<'_>, vms: &[String]) -> Read<BTreeMap<String, Script>> {
    let lua = Key {
        name: "lua",
        kind: NameOf { table: "lua", names: vms },
        example: "\"shop\"",
        doc: "The VMs that it runs in. Without it, some of its own with default settings, which reach nothing.",
    };
    root.map(&SCRIPTS, |table, _| {
        let lua = table.optional(&lua);
        let mut phases = BTreeMap::new();
        let mut failed = None;
        for (name, inline, file) in &PHASES {
            match code(table, inline, file) {
                Ok(code) => phases.extend(code.map(|code| (*name, code))),
                Err(reported) => failed = Some(reported),
            }
        }
        let variables = table.optional(&VARIABLES).and_then(|variables| read_variables(table, variables));
        if let Some(reported) = failed {
            return Err(reported);
        }
        if phases.is_empty() {
            return Err(table.fail("expected code for at least one phase, got none", "add `access = \"…\"`, say"));
        }
        Ok(Script { spot: table.spot(), lua: lua?, phases, variables: variables? })
    })
}

fn read_variables(
    table: &Table<'_>,
    variables: Option<Located<(serde_json::Value, Places)>>,
) -> Read<BTreeMap<String, String>> {
    let Some(Located { value: (serde_json::Value::Object(entries), places), .. }) = variables else {
        return Ok(BTreeMap::new());
    };
    if entries.len() > VARIABLES_LIMIT {
        let message = format!("expected at most {VARIABLES_LIMIT} variables, got {}", entries.len());
        return Err(table.fail_at(VARIABLES.name, message, "keep what belongs together in `ngx.ctx`"));
    }
    let mut read = BTreeMap::new();
    let mut failure = None;
    for (name, value) in entries {
        let valid = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let place = places.of_key(&name);
        let fail = |spot: Option<&Spot>, message: String, help: &str| {
            table.source().report(spot.unwrap_or(&table.spot_of(VARIABLES.name)), message, help)
        };
        match value {
            serde_json::Value::String(text) if valid => drop(read.insert(name, text)),
            serde_json::Value::String(_) => {
                let message = format!("expected a name of letters, digits and `_`, got {}", quote(&name));
                failure = Some(fail(place.map(|place| &place.key), message, "rename it"));
            }
            _ => {
                let message = format!("expected text as the value of {}", quote(&name));
                let help = "write it as a string: variables are text";
                failure = Some(fail(place.map(|place| &place.value), message, help));
            }
        }
    }
    failure.map_or(Ok(read), Err)
}
