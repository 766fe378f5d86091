//! Redis from Debian's packages, as a real service that scripts ask.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::gateway::PATIENCE;

/// A running Redis with nothing in it.
pub struct Redis {
    _folder: TempDir,
    child: Child,
    pub address: SocketAddr,
}

impl Redis {
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        // Redis cannot report a port that it chose itself.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
            .arg(address.port().to_string())
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server runs: `cargo xtask test` installs it");
        let redis = Self { _folder: folder, child, address };
        let end = Instant::now() + PATIENCE;
        while redis.ask("PING\r\n") != "+PONG" {
            assert!(Instant::now() < end, "Redis does not listen");
            std::thread::yield_now();
        }
        redis
    }

    /// The first line of what it answers to an inline command; empty if it does not.
    pub fn ask(&self, command: &str) -> String {
        let Ok(mut connection) = TcpStream::connect(self.address) else { return String::new() };
        let mut answer = [0; 1024];
        let read = connection.write_all(command.as_bytes()).and_then(|()| connection.read(&mut answer)).unwrap_or(0);
        let text = String::from_utf8_lossy(&answer[..read]).into_owned();
        text.lines().next().unwrap_or_default().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
