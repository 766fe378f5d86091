//! The slice of WASI 0.2 that guests get because their language's runtime asks for it: nothing outside is reachable.
//!
//! There are no files, sockets, arguments or environment; standard input is closed; standard output and error go to the
//! debug log, so that a panic message can be read; `exit` is a trap. Randomness is real, for runtimes keep their maps safe
//! with it: Python draws some before the first call of a plugin, and whatever it makes of predictable bytes would look
//! like a good token. Clocks need the grant `clock`. Everything else is linked as a trap, because languages other than
//! Rust import much that they never call. Nothing here can wait, and whoever tries is told that it is time: a guest that
//! could sleep would hold its instance without spending run time.

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource, ResourceType};
use wasmtime::{Engine, StoreContextMut};

use super::{HostState, random};
use crate::bindings::witgate::plugin::log::Level;
use crate::service::{Surroundings, machine_nanos};

/// Packages of which guests may import anything.
pub(crate) const PACKAGES: [&str; 6] =
    ["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random", "wasi:sockets"];

/// Stands for every resource of WASI: only the standard streams ever exist.
enum Handle {}

/// What the handles of streams are made of.
const STREAM: u32 = 0;
/// Bytes that a standard stream takes in one write: a log line.
const WRITE_LIMIT: u64 = 4096;
/// Random bytes in one call. Python's largest seed is 2.5 KiB.
const RANDOM_LIMIT: u64 = 4096;

/// `wasi:io/streams.stream-error`.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    Failed(Resource<Handle>),
    #[component(name = "closed")]
    Closed,
}

/// `wasi:clocks/wall-clock.datetime`.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

type Store<'a> = StoreContextMut<'a, HostState>;

/// Links one interface, such as `wasi:cli/stdout`, as the component wants it.
pub(crate) fn link(
    engine: &Engine,
    linker: &mut LinkerInstance<'_, HostState>,
    (interface, wanted): (&str, &ComponentInstance),
    clock_granted: bool,
) -> wasmtime::Result<()> {
    for (name, item) in wanted.exports(engine) {
        match item.ty {
            ComponentItem::Resource(_) => linker.resource(name, ResourceType::host::<Handle>(), |_, _| Ok(()))?,
            ComponentItem::ComponentFunc(_) => {
                let served = serve(linker, interface, name)? || clock_granted && serve_clock(linker, interface, name)?;
                if !served {
                    let reason = format!("the guest called {interface}.{name}, which plugins do not have");
                    linker.func_new(name, move |_, _, _, _| Err(wasmtime::Error::msg(reason.clone())))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Links a function that works; says if it is none.
fn serve(linker: &mut LinkerInstance<'_, HostState>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("wasi:cli/environment", "get-environment") => {
            linker.func_wrap(name, |_: Store, ()| Ok((Vec::<(String, String)>::new(),)))?;
        }
        ("wasi:cli/environment", "get-arguments") => {
            linker.func_wrap(name, |_: Store, ()| Ok((Vec::<String>::new(),)))?;
        }
        ("wasi:cli/environment", "initial-cwd") => linker.func_wrap(name, |_: Store, ()| Ok((None::<String>,)))?,
        ("wasi:cli/exit", "exit") => linker.func_wrap(name, |_: Store, (_,): (Result<(), ()>,)| -> Never {
            Err(wasmtime::Error::msg("the guest called exit"))
        })?,
        ("wasi:cli/stdin" | "wasi:cli/stdout" | "wasi:cli/stderr", _) => {
            linker.func_wrap(name, |_: Store, ()| Ok((Resource::<Handle>::new_own(STREAM),)))?;
        }
        ("wasi:cli/terminal-stdin" | "wasi:cli/terminal-stdout" | "wasi:cli/terminal-stderr", _) => {
            linker.func_wrap(name, |_: Store, ()| Ok((None::<Resource<Handle>>,)))?;
        }
        ("wasi:filesystem/preopens", "get-directories") => {
            linker.func_wrap(name, |_: Store, ()| Ok((Vec::<(Resource<Handle>, String)>::new(),)))?;
        }
        ("wasi:random/insecure-seed", _) => {
            linker.func_wrap(name, |store: Store, ()| Ok((insecure_seed(store.data().surroundings()),)))?;
        }
        ("wasi:random/random", "get-random-bytes") => {
            linker.func_wrap(name, |store: Store, (length,): (u64,)| {
                Ok((random_bytes(store.data().surroundings(), length)?,))
            })?;
        }
        ("wasi:random/random", "get-random-u64") => {
            linker.func_wrap(name, |store: Store, ()| {
                let bytes = random_bytes(store.data().surroundings(), 8)?;
                Ok((bytes.into_iter().fold(0, |number, byte| number << 8 | u64::from(byte)),))
            })?;
        }
        ("wasi:io/streams", _) => return serve_stream(linker, name),
        ("wasi:io/poll", _) => return serve_poll(linker, name),
        _ => return Ok(false),
    }
    Ok(true)
}

/// For hash tables: quick to make, and not fit for keys.
fn insecure_seed(surroundings: &Surroundings) -> (u64, u64) {
    let Some(simulation) = surroundings.simulation() else { return (fastrand::u64(..), fastrand::u64(..)) };
    let (mut one, mut other) = ([0; 8], [0; 8]);
    simulation.seed(&mut one);
    simulation.seed(&mut other);
    (u64::from_le_bytes(one), u64::from_le_bytes(other))
}

/// From the operating system, and fit for keys, unless they are simulated.
fn random_bytes(surroundings: &Surroundings, length: u64) -> wasmtime::Result<Vec<u8>> {
    if length > RANDOM_LIMIT {
        return Err(wasmtime::Error::msg(format!(
            "the guest asked for {length} random bytes, at most {RANDOM_LIMIT} come"
        )));
    }
    let mut bytes = vec![0; usize::try_from(length)?];
    match surroundings.simulation() {
        None => random::fill(&mut bytes)?,
        Some(simulation) => simulation.seed(&mut bytes),
    }
    Ok(bytes)
}

type Never = wasmtime::Result<()>;
type Written = (Result<(), StreamError>,);

/// Output goes to the log, input is at its end.
fn serve_stream(linker: &mut LinkerInstance<'_, HostState>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            linker.func_wrap(name, |_: Store, (_, _): (Resource<Handle>, u64)| {
                Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
            })?;
        }
        "[method]output-stream.check-write" => {
            linker.func_wrap(name, |_: Store, (_,): (Resource<Handle>,)| Ok((Ok::<_, StreamError>(WRITE_LIMIT),)))?;
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            linker.func_wrap(name, |mut store: Store, (_, text): (Resource<Handle>, Vec<u8>)| {
                let text = String::from_utf8_lossy(&text);
                store.data_mut().log_line(Level::Debug, text.trim_end());
                Ok::<Written, _>((Ok(()),))
            })?;
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            linker.func_wrap(name, |_: Store, (_,): (Resource<Handle>,)| Ok::<Written, _>((Ok(()),)))?;
        }
        "[method]input-stream.subscribe" | "[method]output-stream.subscribe" => {
            linker.func_wrap(name, |_: Store, (_,): (Resource<Handle>,)| Ok((Resource::<Handle>::new_own(STREAM),)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Standard streams and times are all that a guest can wait for, and they are always ready.
fn serve_poll(linker: &mut LinkerInstance<'_, HostState>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]pollable.ready" => linker.func_wrap(name, |_: Store, (_,): (Resource<Handle>,)| Ok((true,)))?,
        "[method]pollable.block" => linker.func_wrap(name, |_: Store, (_,): (Resource<Handle>,)| Ok(()))?,
        "poll" => linker.func_wrap(name, |_: Store, (polled,): (Vec<Resource<Handle>>,)| {
            Ok(((0..).zip(&polled).map(|(at, _)| at).collect::<Vec<u32>>(),))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Clocks to read. What waits for a time is ready at once: Go's runtime does so now and then, looks at the clock, and waits
/// once more, on its run time.
fn serve_clock(linker: &mut LinkerInstance<'_, HostState>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("wasi:clocks/wall-clock", "now") => linker.func_wrap(name, |store: Store, ()| {
            let now = store.data().surroundings().since_epoch();
            Ok((Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() },))
        })?,
        ("wasi:clocks/wall-clock", "resolution") => {
            linker.func_wrap(name, |_: Store, ()| Ok((Datetime { seconds: 0, nanoseconds: 1 },)))?;
        }
        ("wasi:clocks/monotonic-clock", "now") => {
            // The machine's, even if time is simulated: runtimes wait by it, and a clock that stands still has no end.
            linker.func_wrap(name, |_: Store, ()| Ok((machine_nanos(),)))?;
        }
        ("wasi:clocks/monotonic-clock", "resolution") => linker.func_wrap(name, |_: Store, ()| Ok((1_u64,)))?,
        ("wasi:clocks/monotonic-clock", "subscribe-duration" | "subscribe-instant") => {
            linker.func_wrap(name, |_: Store, (_,): (u64,)| Ok((Resource::<Handle>::new_own(STREAM),)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: u64) -> wasmtime::Result<Vec<u8>> {
        random_bytes(&Surroundings::default(), length)
    }

    #[test]
    fn random_bytes_come_in_the_number_asked_for_and_never_the_same() {
        let (once, again) = (bytes(RANDOM_LIMIT).unwrap(), bytes(RANDOM_LIMIT).unwrap());
        assert_eq!(once.len(), 4096);
        assert_ne!(once, again);
        assert!(bytes(0).unwrap().is_empty());
    }

    #[test]
    fn a_guest_cannot_make_the_host_fill_memory_with_random_bytes() {
        let refused = bytes(RANDOM_LIMIT + 1).unwrap_err();
        assert!(refused.to_string().contains("4097 random bytes"), "{refused}");
    }
}
