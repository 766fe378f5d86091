//! Servers that cases speak to: Redis and memcached, as they are installed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;

use super::process::{Ports, Process};

/// Those of one worker: cases of two workers would see each other's keys.
#[derive(Debug)]
pub struct Services {
    /// Ports by the variable that cases know them by.
    pub ports: BTreeMap<&'static str, u16>,
    _processes: Vec<Process>,
}

impl Services {
    /// Starts what is installed; a case that speaks to what is not fails to connect, as it would anywhere.
    pub fn start(folder: &Path, ports: &mut Ports) -> io::Result<Self> {
        let [memcached_port, redis_port] = ports.take(2)?.try_into().map_err(|_| io::ErrorKind::AddrNotAvailable)?;
        let mut memcached = Command::new("memcached");
        let port = memcached_port.to_string();
        memcached.args(["-l", "127.0.0.1", "-p", &port, "-U", &port, "-m", "16", "-u", "nobody"]);
        let mut redis = Command::new("redis-server");
        redis.args(["--port", &redis_port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        redis.arg("--dir").arg(folder);
        let mut by_variable = BTreeMap::new();
        let mut processes = Vec::new();
        for (variable, port, mut command) in
            [("TEST_NGINX_MEMCACHED_PORT", memcached_port, memcached), ("TEST_NGINX_REDIS_PORT", redis_port, redis)]
        {
            by_variable.insert(variable, port);
            match Process::start(&mut command, &folder.join("services.log")) {
                Ok(mut process) => {
                    process.listens(port)?;
                    processes.push(process);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let program = command.get_program().display();
                    tracing::warn!("{program} is not installed: cases that need it will fail");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self { ports: by_variable, _processes: processes })
    }
}
