//! Libraries for OpenResty that tests of scripts load as they are.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::debian;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::workspace;

/// Where tests look for the libraries: directories as in `PATH`.
pub const LIBRARIES: &str = "WITGATE_LUA_LIBRARIES";

const PACKAGES: [&str; 9] = [
    "lua-cjson",
    "lua-nginx-cookie",
    "lua-nginx-dns",
    "lua-nginx-memcached",
    "lua-nginx-redis",
    "lua-nginx-redis-connector",
    "lua-nginx-string",
    "lua-nginx-websocket",
    "lua-resty-lrucache",
];

/// Debian's packages of them, unpacked below `target`. An own list of directories can be given in [`LIBRARIES`].
pub fn ensure_libraries(progress: &Progress) -> Result<OsString, Failure> {
    if let Some(directories) = std::env::var_os(LIBRARIES) {
        return Ok(directories);
    }
    let folder = workspace::root().join("target/lua");
    // Written last: without it, or with another list in it, not everything is there.
    let (done, wanted) = (folder.join("unpacked"), PACKAGES.join("\n"));
    if std::fs::read_to_string(&done).is_ok_and(|unpacked| unpacked == wanted) {
        return directories(&folder);
    }
    progress.step("unpack libraries for Lua");
    debian::unpack(&PACKAGES, &folder)?;
    std::fs::write(&done, wanted).map_err(Failure::io(done.display().to_string()))?;
    directories(&folder)
}

/// Those with files in Lua, and those with shared libraries, which the architecture is a part of.
fn directories(folder: &std::path::Path) -> Result<OsString, Failure> {
    let mut directories = vec![folder.join("usr/share/lua/5.1")];
    let libraries = folder.join("usr/lib");
    let entries = std::fs::read_dir(&libraries).map_err(Failure::io(libraries.display().to_string()))?;
    directories
        .extend(entries.filter_map(Result::ok).map(|entry| entry.path().join("lua/5.1")).filter(|path| path.is_dir()));
    std::env::join_paths(&directories).map_err(|error| {
        let list: Vec<_> = directories.iter().map(|path: &PathBuf| path.display().to_string()).collect();
        Failure::Output { command: list.join(" "), detail: error.to_string() }
    })
}
