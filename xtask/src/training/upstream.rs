//! The services behind the gateway while it is trained: only as much of them as the lessons ask for.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::failure::Failure;

/// Answers with 1 KiB; below a path that ends in `large` or `chunked` with 256 KiB, in chunks in the latter case.
pub fn http() -> Result<SocketAddr, Failure> {
    listen(|reader, connection| {
        let Some(request) = line(reader)? else { return Ok(false) };
        let mut length = Some(0);
        loop {
            let field = line(reader)?.ok_or(ErrorKind::UnexpectedEof)?.to_ascii_lowercase();
            match field.split_once(':') {
                None => break,
                Some(("content-length", value)) => length = value.trim().parse().ok(),
                Some(("transfer-encoding", _)) => length = None,
                Some(_) => {}
            }
        }
        match length {
            Some(length) => discard(reader, length)?,
            None => loop {
                let size =
                    line(reader)?.and_then(|size| u64::from_str_radix(&size, 16).ok()).ok_or(ErrorKind::InvalidData)?;
                discard(reader, size + 2)?;
                if size == 0 {
                    break;
                }
            },
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        connection.write_all(&response(path))?;
        Ok(true)
    })
}

fn response(path: &str) -> Vec<u8> {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: training\r\nContent-Type: text/plain\r\n";
    let large = "x".repeat(16 * 1024);
    if path.ends_with("/chunked") {
        let chunk = format!("{:x}\r\n{large}\r\n", large.len());
        return format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(16)).into_bytes();
    }
    let body = if path.ends_with("/large") { large.repeat(16) } else { "x".repeat(1024) };
    format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
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
    answer: impl Fn(&mut BufReader<TcpStream>, &mut TcpStream) -> io::Result<bool> + Copy + Send + 'static,
) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::io("listen on 127.0.0.1"))?;
    let address = listener.local_addr().map_err(Failure::io("the address of a listener"))?;
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
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

/// A line without its end; none at the end of input.
pub fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end().to_owned()))
}

/// Reads so many bytes away.
pub fn discard(reader: &mut impl Read, length: u64) -> io::Result<()> {
    let read = io::copy(&mut reader.take(length), &mut io::sink())?;
    if read == length { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}
