//! Who listens on an address that is taken: for telling whether it is the gateway itself that a configuration is checked for.
//!
//! From what the kernel tells of processes (`proc(5)`): sockets that listen, with their numbers; whose they are; and what that
//! process was started with. On other systems, and for processes that this user may not look at, nothing is known.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Processes and open files that are looked at: more are on no machine, and each costs microseconds.
const LOOKED_AT_LIMIT: usize = 1_000_000;
/// An admin listener answers at once; nobody wants to wait for another program.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// Who has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupant {
    /// A gateway that serves this very configuration.
    SameConfiguration {
        process: u32,
    },
    Other {
        process: u32,
        name: String,
        /// Of a gateway: what it serves.
        configuration: Option<PathBuf>,
    },
    Unknown,
}

/// Who listens on `address`, as seen by whoever checks the configuration at `path`.
pub fn of(address: SocketAddr, path: &Path) -> Occupant {
    let sockets = listening(address);
    let Some(process) = (!sockets.is_empty()).then(|| owner(&sockets)).flatten() else { return Occupant::Unknown };
    let configuration = configuration(process);
    if configuration.as_deref().is_some_and(|served| is_same(served, path)) {
        return Occupant::SameConfiguration { process };
    }
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    Occupant::Other { process, name: name.trim().to_owned(), configuration }
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().ok().zip(other.canonicalize().ok()).is_some_and(|(one, other)| one == other)
}

/// Whether a gateway answers at an address of an admin listener.
pub fn answers_as_gateway(admin: SocketAddr) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&admin, ANSWER_TIME)?;
        stream.set_read_timeout(Some(ANSWER_TIME))?;
        stream.set_write_timeout(Some(ANSWER_TIME))?;
        stream.write_all(format!("GET /live HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"live\n"))
}

/// Numbers of the sockets that listen where `address` cannot be bound because of them.
fn listening(address: SocketAddr) -> Vec<u64> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let lines: Vec<String> = tables.into_iter().filter_map(|table| fs::read_to_string(table).ok()).collect();
    let entries = lines.iter().flat_map(|table| table.lines().skip(1)).filter_map(entry);
    let conflicts = |other: SocketAddr| {
        let (one, two) = (address.ip(), other.ip().to_canonical());
        other.port() == address.port() && (one == two || one.is_unspecified() || two.is_unspecified())
    };
    entries.filter(|(other, _)| conflicts(*other)).map(|(_, socket)| socket).collect()
}

/// A line of the kernel's table: where a socket listens, and its number; none: it does something else.
fn entry(line: &str) -> Option<(SocketAddr, u64)> {
    const LISTENS: &str = "0A";
    let mut columns = line.split_whitespace();
    let (local, state) = (columns.nth(1)?, columns.nth(1)?);
    let socket = columns.nth(5)?.parse().ok()?;
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == LISTENS).then_some((SocketAddr::new(address(ip)?, port), socket))
}

/// An address as the kernel writes it: words of 32 bits in the machine's order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
        }
        _ => None,
    }
}

/// The process that has one of these sockets open.
fn owner(sockets: &[u64]) -> Option<u32> {
    let links: Vec<PathBuf> = sockets.iter().map(|socket| PathBuf::from(format!("socket:[{socket}]"))).collect();
    let mut looked_at = 0;
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(number) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // One that this user may not look at, or that has just ended.
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        for file in open.flatten() {
            looked_at += 1;
            if fs::read_link(file.path()).is_ok_and(|link| links.contains(&link)) {
                return Some(number);
            }
        }
        if looked_at > LOOKED_AT_LIMIT {
            break;
        }
    }
    None
}

/// The configuration that a process serves, if it is a gateway.
fn configuration(process: u32) -> Option<PathBuf> {
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let words: Vec<&str> = line.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok()).collect();
    let started_in = fs::read_link(format!("/proc/{process}/cwd")).ok()?;
    served(&words).map(|path| started_in.join(path))
}

/// The file that a command line has `witgate run` serve.
fn served<'w>(words: &[&'w str]) -> Option<&'w str> {
    let mut words = words.iter().copied();
    let program = Path::new(words.next()?).file_name()?.to_str()?;
    if !program.starts_with("witgate") || words.next()? != "run" {
        return None;
    }
    while let Some(word) = words.next() {
        match word {
            "-c" | "--config" => return words.next(),
            word if word.starts_with("--config=") => return word.strip_prefix("--config="),
            word if word.starts_with("-c") => return word.strip_prefix("-c").map(|rest| rest.trim_start_matches('=')),
            word if !word.starts_with('-') && !word.is_empty() => return Some(word),
            _ => {}
        }
    }
    Some("gateway.toml")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 36093 1 0 100 0";
        assert_eq!(entry(line), Some(("127.0.0.1:8080".parse().unwrap(), 36093)));
        let line = "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 \
                    00:00000000 00000000     0        0 7 1 0 100 0 0 10 0";
        assert_eq!(entry(line), Some(("[::1]:80".parse().unwrap(), 7)));
        assert_eq!(entry(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(entry("rubbish"), None);
    }

    #[test]
    fn who_listens_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = of(listener.local_addr().unwrap(), Path::new("gateway.toml"));
        let Occupant::Other { process, name, configuration } = found else { panic!("{found:?}") };
        assert_eq!((process, configuration), (std::process::id(), None));
        assert!(!name.is_empty());
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(of(address, Path::new("gateway.toml")), Occupant::Unknown);
    }

    #[test]
    fn command_lines_tell_the_configuration() {
        for (line, file) in [
            ("/usr/bin/witgate run", Some("gateway.toml")),
            ("witgate run -c a.toml", Some("a.toml")),
            ("witgate run --config a.toml", Some("a.toml")),
            ("witgate run --config=a.toml", Some("a.toml")),
            ("witgate run -ca.toml", Some("a.toml")),
            ("witgate run a.toml", Some("a.toml")),
            ("witgate check a.toml", None),
            ("nginx -c a.toml", None),
            ("", None),
        ] {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(served(&words), file, "{line}");
        }
    }

    #[test]
    fn only_a_gateway_answers_as_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = |answer: &'static str| {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            stream.write_all(answer.as_bytes()).unwrap();
        };
        for (answer, is_gateway) in
            [("HTTP/1.1 200 OK\r\n\r\nlive\n", true), ("HTTP/1.1 404 Not Found\r\n\r\n", false), ("", false)]
        {
            std::thread::scope(|scope| {
                scope.spawn(|| serve(answer));
                assert_eq!(answers_as_gateway(address), is_gateway, "{answer}");
            });
        }
    }
}
