//! The services behind the gateway while it is trained: only as much of them as the lessons ask for.

use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::failure::Failure;
use crate::http1::{Head, line};

/// Answers with 1 KiB; below a path that ends in `large` or `chunked` with 256 KiB, in chunks in the latter case.
pub fn http() -> Result<SocketAddr, Failure> {
    let [small, large, chunked] = responses();
    listen(move |reader, connection| {
        let Some(head) = Head::read(reader)? else { return Ok(false) };
        head.drain_body(reader)?;
        let path = head.first.split(' ').nth(1).unwrap_or_default();
        let response = match path.rsplit('/').next() {
            Some("large") => &large,
            Some("chunked") => &chunked,
            _ => &small,
        };
        connection.write_all(response.as_bytes())?;
        Ok(true)
    })
}

/// Small, large, and large in chunks.
fn responses() -> [String; 3] {
    let head = "HTTP/1.1 200 OK\r\nServer: training\r\nContent-Type: text/plain\r\n";
    let with_length = |length| format!("{head}Content-Length: {length}\r\n\r\n{}", "x".repeat(length));
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(16));
    [with_length(1024), with_length(256 * 1024), chunked]
}

/// Answers every command of Redis's protocol with a short string.
pub fn redis() -> Result<SocketAddr, Failure> {
    listen(|reader, connection| {
        let Some(count) = line(reader)? else { return Ok(false) };
        let words: u32 = count.trim_start_matches('*').parse().map_err(|_| ErrorKind::InvalidData)?;
        for _ in 0..2 * words {
            line(reader)?;
        }
        connection.write_all(b"$11\r\nconsumer-42\r\n")?;
        Ok(true)
    })
}

/// Serves each connection on a thread of its own, until the process ends.
fn listen(
    answer: impl Fn(&mut BufReader<TcpStream>, &mut TcpStream) -> io::Result<bool> + Send + Sync + 'static,
) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::io("listen on 127.0.0.1"))?;
    let address = listener.local_addr().map_err(Failure::io("the address of a listener"))?;
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || -> io::Result<()> {
                connection.set_nodelay(true)?;
                let mut reader = BufReader::new(connection.try_clone()?);
                while answer(&mut reader, &mut connection)? {}
                Ok(())
            });
        }
    });
    Ok(address)
}
