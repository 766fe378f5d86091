//! A Redis for examples that ask one.

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::{debian, process};

/// Where Redis usually listens.
pub const PORT: u16 = 6379;

/// Starts a Redis that keeps nothing and ends with this process, unless something listens there already.
pub fn start(address: SocketAddr, progress: &Progress) -> Result<(), Failure> {
    if TcpStream::connect(address).is_ok() {
        progress.step(&format!("use the Redis that listens on {address}"));
        return Ok(());
    }
    debian::ensure_redis(progress)?;
    progress.step(&format!("start Redis on {address}"));
    let mut command = Command::new("redis-server");
    command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(std::env::temp_dir());
    command.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    process::die_with_parent(&mut command).spawn().map(drop).map_err(process::not_started(&command))
}
