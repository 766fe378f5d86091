//! Sends what a case says, and takes what comes back until the server closes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::case::Case;
use super::request::Connection;
use super::text::{Text, from_bytes, to_bytes};

/// The largest answer that is read: the longest of a case has some megabytes.
const ANSWER_LIMIT: usize = 64 << 20;

/// What came back, and whether the client's time ran out before the server had closed.
#[derive(Debug)]
pub struct Answer {
    pub text: Text,
    pub timed_out: bool,
}

/// Makes one connection to `port` and speaks over it. A server that cannot be reached gives no answer.
pub fn exchange(port: u16, connection: &Connection, case: &Case) -> std::io::Result<Answer> {
    let timeout = Duration::from_secs_f64(case.timeout_seconds);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    let mut writer = stream.try_clone()?;
    writer.set_write_timeout(Some(timeout))?;
    let sent = std::thread::scope(|scope| {
        // A server may answer before it has all of a long body; so both directions move at once.
        let sender = scope.spawn(move || -> std::io::Result<()> {
            for packet in &connection.packets {
                if packet.delay_seconds > 0.0 {
                    sleep(Duration::from_secs_f64(packet.delay_seconds.min(10.0)));
                }
                writer.write_all(&to_bytes(&packet.text))?;
            }
            match case.shutdown {
                Some(0) => writer.shutdown(Shutdown::Read),
                Some(1) => writer.shutdown(Shutdown::Write),
                Some(_) => writer.shutdown(Shutdown::Both),
                None => Ok(()),
            }
        });
        let answer = receive(&mut stream, timeout);
        // What could not be sent shows in the answer.
        let _ = stream.shutdown(Shutdown::Both);
        let _ = sender.join();
        answer
    });
    Ok(sent)
}

fn receive(stream: &mut TcpStream, timeout: Duration) -> Answer {
    let mut bytes = Vec::new();
    let mut piece = [0u8; 16 << 10];
    let mut timed_out = false;
    // A server that sends a byte now and then would keep the client for ever.
    let end = Instant::now() + timeout * 10;
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => bytes.extend(piece.iter().take(count)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                timed_out = true;
                break;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        if bytes.len() > ANSWER_LIMIT || Instant::now() > end {
            timed_out = true;
            break;
        }
    }
    Answer { text: from_bytes(&bytes), timed_out }
}
