//! Programs that the end-to-end tests put around the gateway, from Debian's packages.

use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::process;
use crate::progress::Progress;

/// Program and the package that has it.
const PROGRAMS: [(&str, &str); 7] = [
    ("nginx", "nginx"),
    ("curl", "curl"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("make", "make"),
    REDIS,
    ("memcached", "memcached"),
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
    if !is_installed("apt-get") {
        return Err(impossible("this system has no apt-get"));
    }
    let mut prefix = Vec::new();
    if !rustix::process::geteuid().is_root() {
        if !process::succeeds(Command::new("sudo").args(["-n", "true"])) {
            return Err(impossible("neither root nor a sudo without password"));
        }
        prefix.extend(["sudo", "-n"]);
    }
    progress.step(&format!("install the Debian packages {}", packages.join(", ")));
    prefix.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    let apt = |arguments: &[&str]| {
        let mut words = prefix.iter().chain(arguments);
        let mut command = Command::new(words.next().copied().unwrap_or("env"));
        process::complete(command.args(words))
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], packages.as_slice()].concat())
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
