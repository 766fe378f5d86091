//! `ngx.socket`. An object of a script is a table with the number of its socket, which changes when it is connected anew, and
//! what the script has set for the next operations. A number that belongs to another request is refused.
//!
//! The methods of most calls are functions of [`methods`]; the others are made in `../../lua/socket.lua` from functions here.
//! What can be had at once is returned at once. Otherwise these return `false` and the number of an operation, whose results
//! are what they would have returned.

mod datagrams;
mod methods;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use mlua::prelude::*;
use rustls::pki_types::ServerName;

use super::wait::millis;
use crate::deadline::Deadlines;
use crate::raw::{Answer, Call, Given, Outcome, function};
use crate::request::{Results, results};
use crate::socket::{Busy, Read, Reading, Refusal, Socket, Until, Want, defaults, tls};
use crate::vm::Core;

/// Longest pattern of `receiveuntil`: its table is made anew for each call.
const PATTERN_LIMIT: usize = 4096;

type Own = Rc<Core>;
/// A function for scripts that gets it.
type Run = fn(&Own, &Call<'_>, &mut Answer) -> Outcome;

/// What a handshake gives scripts to hand to the next one.
struct Session;

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Own) -> LuaResult<()> {
    host.set("socket_timeout", defaults::TIMEOUT_MS)?;
    let table = lua.create_table()?;
    let set = |name: &str, run: Run| {
        let core = Rc::clone(core);
        table.raw_set(name, function(lua, &[], move |call, answer| run(&core, call, answer))?)
    };
    set("until", until)?;
    set("handshake", handshake)?;
    set("option", option)?;
    set("descriptor", descriptor)?;
    set("address", known_address)?;
    methods::install(lua, host, &table, core)?;
    host.set("session", lua.create_any_userdata(Session)?)?;
    host.set("socket", table)
}

/// A number that is not negative, without what is behind its point.
fn whole(given: Given<'_>) -> Option<u64> {
    let number = given.number().filter(|number| *number >= 0.0)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is meant")]
    Some(number as u64)
}

fn size(given: Given<'_>) -> usize {
    usize::try_from(whole(given).unwrap_or(0)).unwrap_or(usize::MAX)
}

/// A time in milliseconds.
fn time(call: &Call<'_>, index: i32) -> Duration {
    millis(call.given(index).number().unwrap_or(0.0))
}

/// The socket that the first argument is the number of, unless there is none or it cannot be used now.
fn found(core: &Own, call: &Call<'_>) -> Result<Rc<Socket>, Refusal> {
    let owner = core.request().map_or(0, |request| request.number);
    find(core, owner, call.given(1))
}

/// The socket of a number, if it is this request's and can be used now.
fn find(core: &Own, owner: u64, number: Given<'_>) -> Result<Rc<Socket>, Refusal> {
    let closed = Cow::Borrowed("closed");
    let Some(socket) = whole(number).and_then(|number| core.sockets.get(number)) else { return Err(closed) };
    if socket.owner != owner {
        return Err(Cow::Borrowed(BAD_REQUEST));
    }
    if socket.connecting.get() {
        return Err(Cow::Borrowed("socket busy connecting"));
    }
    if socket.is_closed() {
        return Err(closed);
    }
    Ok(socket)
}

/// Scripts get this one as an error.
const BAD_REQUEST: &str = "bad request";

fn is_reading(socket: &Socket) -> Result<(), Refusal> {
    if socket.reading.get() { Err(Cow::Borrowed("socket busy reading")) } else { Ok(()) }
}

fn is_writing(socket: &Socket) -> Result<(), Refusal> {
    if socket.writing.get() { Err(Cow::Borrowed("socket busy writing")) } else { Ok(()) }
}

/// Says that something was not possible.
fn refuse(answer: &mut Answer, refusal: &Refusal) -> Outcome {
    answer.refuse(refusal.as_bytes())
}

/// Begins an operation, and says so.
fn later(core: &Own, answer: &mut Answer, future: impl Future<Output = Results> + 'static) -> Outcome {
    match core.request() {
        Ok(request) => {
            answer.boolean(false);
            #[expect(clippy::cast_precision_loss, reason = "no request has so many operations")]
            answer.number(request.begin(future) as f64);
            Ok(())
        }
        Err(_) => answer.refuse("no request found"),
    }
}

/// As [`refuse`], as results of an operation.
fn refused(refusal: Refusal) -> Results {
    results(move |answer| answer.refusal(refusal.as_bytes()))
}

fn address(text: &[u8], port: u16) -> Option<SocketAddr> {
    let address = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

/// `address(text)`: an IP address as it is usually written, or nothing.
fn known_address(_: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let text = call.text(1).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    match text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => answer.bytes(address.to_string().as_bytes()),
        Err(_) => answer.nil(),
    }
    Ok(())
}

/// `descriptor(number)`: the socket's file descriptor.
fn descriptor(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let socket = match found(core, call) {
        Ok(socket) => socket,
        Err(refusal) => return refuse(answer, &refusal),
    };
    match &*socket.connection.borrow() {
        Some(connection) => answer.number(f64::from(connection.transport.descriptor())),
        None => return answer.refuse("closed"),
    }
    Ok(())
}

/// What a read that has ended gives the script: the data, or `nil`, the reason and what there was.
fn read(socket: &Socket, ended: Read, answer: &mut Answer) {
    match ended {
        Read::Data(taken) => socket.with(taken, |bytes| answer.bytes(bytes)),
        Read::Failed(refusal, partial) => {
            answer.refusal(refusal.as_bytes());
            socket.with(partial, |bytes| answer.bytes(bytes));
        }
    }
}

/// Reads on in an operation.
async fn read_on(deadlines: &Rc<Deadlines>, socket: &Socket, reading: &mut Reading, limit: Duration) -> Read {
    let read = std::future::poll_fn(|context| socket.poll_read(Some(context), reading));
    let read = deadlines.within(limit, read).await;
    read.unwrap_or_else(|| Read::Failed(Cow::Borrowed("timeout"), socket.give_up(reading)))
}

/// The socket, if it can be read from.
fn readable(socket: Rc<Socket>) -> Result<Rc<Socket>, Refusal> {
    if socket.read_closed.get() {
        return Err(Cow::Borrowed("closed"));
    }
    is_reading(&socket)?;
    Ok(socket)
}

/// How far into the pattern a reader has got, for the next piece; -1: the pattern has come.
#[expect(clippy::cast_precision_loss, reason = "patterns are short")]
fn progress(reading: &Reading) -> f64 {
    match &reading.want {
        Want::Until(until) if until.ended => -1.0,
        Want::Until(until) => until.matched as f64,
        _ => 0.0,
    }
}

/// `until(number, pattern, inclusive, size, progress, timeout)`: the new progress, and what `receive` gives.
fn until(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let former = call.given(5).number().unwrap_or(0.0);
    let socket = match found(core, call).and_then(readable) {
        Ok(socket) => socket,
        Err(refusal) => {
            answer.number(former);
            return refuse(answer, &refusal);
        }
    };
    let pattern = call.text(2).unwrap_or_default();
    if pattern.len() > PATTERN_LIMIT {
        answer.number(former);
        return answer.refuse(format!("the pattern is longer than {PATTERN_LIMIT} bytes"));
    }
    let until = Until::new(pattern, call.given(3).is_true(), size(call.given(4)), size(call.given(5)));
    let mut reading = Reading::new(Want::Until(until));
    if let Poll::Ready(ended) = socket.poll_read(None, &mut reading) {
        answer.number(progress(&reading));
        read(&socket, ended, answer);
        return Ok(());
    }
    let (limit, deadlines) = (time(call, 6), Rc::clone(&core.deadlines));
    let busy = Busy::new(&socket, |socket| &socket.reading);
    later(core, answer, async move {
        let ended = read_on(&deadlines, &socket, &mut reading, limit).await;
        results(move |answer| {
            let _busy = busy;
            answer.number(progress(&reading));
            read(&socket, ended, answer);
        })
    })
}

/// The socket, if nothing is under way on it.
fn quiet(socket: Rc<Socket>) -> Result<Rc<Socket>, Refusal> {
    is_reading(&socket)?;
    is_writing(&socket)?;
    Ok(socket)
}

/// `handshake(number, name, verify, timeout)`.
fn handshake(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let socket = match found(core, call).and_then(quiet) {
        Ok(socket) => socket,
        Err(refusal) => return refuse(answer, &refusal),
    };
    let given = call.text(2).map(String::from_utf8_lossy);
    let check = match (call.given(3).is_true(), &given) {
        (false, _) => tls::Check::Nothing,
        (true, None) => tls::Check::Chain,
        (true, Some(_)) => tls::Check::Name,
    };
    let name = given.as_deref().map(|name| ServerName::try_from(name.to_owned()));
    let name = match name.transpose() {
        Ok(name) => name,
        Err(_) => return answer.refuse(format!("invalid server name \"{}\"", given.unwrap_or_default())),
    };
    let wanted = (check, given.filter(|_| check == tls::Check::Name).map(|name| name.as_ref().into()));
    let refusal = match &*socket.connection.borrow() {
        None => Some("closed"),
        Some(connection) if connection.is_tls() => {
            if check == tls::Check::Nothing || connection.checked == wanted {
                answer.boolean(true);
                return Ok(());
            }
            // lua-nginx-module lets this pass, and so verifies nothing.
            Some("the connection was not verified in this way when it was made: connect with a pool of its own")
        }
        Some(connection) => connection.has_unread().then_some("unread data in buffer"),
    };
    if let Some(refusal) = refusal {
        return answer.refuse(refusal);
    }
    let Some(connection) = socket.connection.borrow_mut().take() else { return answer.refuse("closed") };
    let busy = Busy::new(&socket, |socket| &socket.connecting);
    let (limit, app, deadlines) = (time(call, 4), std::sync::Arc::clone(&core.app), Rc::clone(&core.deadlines));
    later(core, answer, async move {
        let shaken = deadlines.within(limit, async {
            let config = if app.tls.has(check) {
                app.tls.get(check, app.spec.authorities.as_ref())
            } else {
                let app = std::sync::Arc::clone(&app);
                let made = tokio::task::spawn_blocking(move || app.tls.get(check, app.spec.authorities.as_ref()));
                made.await.unwrap_or_else(|error| Err(error.to_string()))
            };
            connection.secure(config?, name, wanted).await
        });
        let shaken = shaken.await.unwrap_or_else(|| Err("timeout".to_owned()));
        drop(busy);
        match shaken {
            Ok(connection) => {
                *socket.connection.borrow_mut() = Some(Box::new(connection));
                results(|answer| answer.boolean(true))
            }
            Err(refusal) => {
                socket.close();
                refused(Cow::Owned(refusal))
            }
        }
    })
}

/// `option(number, name, value)`.
fn option(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let socket = match found(core, call) {
        Ok(socket) => socket,
        Err(refusal) => return refuse(answer, &refusal),
    };
    let name = call.text(2).map(String::from_utf8_lossy).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "the system checks it")]
    let value = call.given(3).number().unwrap_or(0.0) as i64;
    let set = match &*socket.connection.borrow() {
        Some(connection) => connection.transport.set_option(&name, value),
        None => return answer.refuse("closed"),
    };
    match set {
        Ok(()) => answer.boolean(true),
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
            return answer.refuse(format!("unsupported option: {name}"));
        }
        Err(error) => return answer.refuse(crate::socket::describe(&error)),
    }
    Ok(())
}
