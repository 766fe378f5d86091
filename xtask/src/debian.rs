//! Programs that the end-to-end tests put around the gateway, from Debian's packages.

use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::process;
use crate::progress::Progress;

/// Program, or another file, and the package that has it.
const PROGRAMS: [(&str, &str); 9] = [
    ("nginx", "nginx"),
    ("curl", "curl"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("make", "make"),
    REDIS,
    ("memcached", "memcached"),
    // With lua-resty-core.
    ("/usr/share/nginx/modules-available/mod-http-lua.conf", "libnginx-mod-http-lua"),
    ("/usr/share/lua/5.1/cjson/util.lua", "lua-cjson"),
];

const REDIS: (&str, &str) = ("redis-server", "redis-server");

/// Installs what the tests lack: as root, or through a `sudo` that does not ask.
pub fn ensure_test_programs(progress: &Progress) -> Result<(), Failure> {
    ensure(&PROGRAMS, progress)
}

/// Installs Redis, for examples that ask it.
pub fn ensure_redis(progress: &Progress) -> Result<(), Failure> {
    ensure(&[REDIS], progress)
}

fn ensure(programs: &[(&'static str, &'static str)], progress: &Progress) -> Result<(), Failure> {
    let packages: Vec<&str> =
        programs.iter().filter(|(program, _)| !is_installed(program)).map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let impossible = |reason| {
        let packages = packages.join(" ");
        let command = format!("apt-get install --no-install-recommends {packages}");
        Failure::Packages { packages, reason, command }
    };
    let prefix = privileges().map_err(impossible)?;
    progress.step(&format!("install the Debian packages {}", packages.join(", ")));
    apt(&prefix, &["update"])?;
    apt(&prefix, &[&["install", "-y", "--no-install-recommends"], packages.as_slice()].concat())
}

/// Puts what is in packages below a directory, without installing them.
pub fn unpack(packages: &[&str], into: &Path) -> Result<(), Failure> {
    let folder = into.join("packages");
    let failed = |path: &Path| Failure::io(path.display().to_string());
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder).map_err(failed(&folder))?;
    }
    std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let mut download = Command::new("apt-get");
    // It would complain that its own user cannot write here.
    download.args(["download", "-q", "-o", "APT::Sandbox::User=root"]).args(packages).current_dir(&folder);
    if !process::succeeds(&mut download) {
        // Most often its lists are missing or old; otherwise this shows what is wrong.
        let impossible = |reason| {
            let packages = packages.join(" ");
            let command = format!("apt-get update && apt-get download {packages}");
            Failure::Packages { packages, reason, command }
        };
        apt(&privileges().map_err(impossible)?, &["update"])?;
        process::complete(&mut download)?;
    }
    for entry in std::fs::read_dir(&folder).map_err(failed(&folder))? {
        let package = entry.map_err(failed(&folder))?.path();
        process::complete(Command::new("dpkg").arg("-x").arg(&package).arg(into))?;
    }
    Ok(())
}

/// The words before `apt-get` and its arguments; or why it cannot install anything.
fn privileges() -> Result<Vec<&'static str>, &'static str> {
    if !is_installed("apt-get") {
        return Err("this system has no apt-get");
    }
    let apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    if rustix::process::geteuid().is_root() {
        return Ok(apt.to_vec());
    }
    if !process::succeeds(Command::new("sudo").args(["-n", "true"])) {
        return Err("neither root nor a sudo without password");
    }
    Ok([&["sudo", "-n"], apt.as_slice()].concat())
}

fn apt(prefix: &[&str], arguments: &[&str]) -> Result<(), Failure> {
    let mut words = prefix.iter().chain(arguments);
    let mut command = Command::new(words.next().copied().unwrap_or("env"));
    process::complete(command.args(words))
}

/// Debian keeps daemons in `/usr/sbin`, which is not in everybody's `PATH`.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory: std::path::PathBuf| Path::new(&directory).join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_it_is_and_nowhere_else() {
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program"));
    }
}
