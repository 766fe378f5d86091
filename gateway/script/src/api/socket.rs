//! Host functions of `ngx.socket`: the objects that scripts see are made in `../lua/socket.lua`.
//!
//! What can be had at once is returned at once. Otherwise a function returns `false` and the number of an operation, whose
//! results are what it would have returned.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mlua::prelude::*;
use rustls::pki_types::ServerName;
use tokio::io::ReadBuf;

use super::wait::millis;
use crate::deadline::Deadlines;
use crate::raw::{Answer, Call, Outcome, function};
use crate::request::{Results, results};
use crate::socket::{
    Busy, Datagrams, Options, Peer, Place, Read, Reading, Refusal, Share, Socket, Turn, Unconnected, Until, Want,
    defaults, tls,
};
use crate::vm::Core;

/// Longest pattern of `receiveuntil`: its table is made anew for each call.
const PATTERN_LIMIT: usize = 4096;

type Own = Rc<Core>;

/// What a handshake gives scripts to hand to the next one.
struct Session;

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Own) -> LuaResult<()> {
    host.set("socket_timeout", defaults::TIMEOUT_MS)?;
    host.set("socket_keepalive", defaults::KEEPALIVE_MS)?;
    host.set("socket_pool_size", defaults::POOL_SIZE)?;
    let table = lua.create_table()?;
    let set = |name: &str, run: fn(&Own, &Call<'_>, &mut Answer) -> Outcome| {
        let core = Rc::clone(core);
        table.raw_set(name, function(lua, &[], move |call, answer| run(&core, call, answer))?)
    };
    set("connect", connect)?;
    set("receive", receive)?;
    set("until", until)?;
    set("send", send)?;
    set("keepalive", keepalive)?;
    set("handshake", handshake)?;
    set("close", close)?;
    set("reused", reused)?;
    set("option", option)?;
    set("descriptor", descriptor)?;
    set("address", known_address)?;
    set("peer", peer)?;
    set("send_datagram", send_datagram)?;
    set("receive_datagram", receive_datagram)?;
    set("close_datagrams", close_datagrams)?;
    host.set("session", lua.create_any_userdata(Session)?)?;
    host.set("socket", table)
}

fn whole(call: &Call<'_>, index: i32) -> Option<u64> {
    let number = call.given(index).number().filter(|number| *number >= 0.0)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers that scripts get are whole")]
    Some(number as u64)
}

fn size(call: &Call<'_>, index: i32) -> usize {
    usize::try_from(whole(call, index).unwrap_or(0)).unwrap_or(usize::MAX)
}

/// A time in milliseconds.
fn time(call: &Call<'_>, index: i32) -> Duration {
    millis(call.given(index).number().unwrap_or(0.0))
}

/// The socket that a script means, unless there is none or it cannot be used now.
fn found(core: &Own, call: &Call<'_>) -> Result<Rc<Socket>, Refusal> {
    let closed = Cow::Borrowed("closed");
    let Some(socket) = whole(call, 1).and_then(|number| core.sockets.get(number)) else { return Err(closed) };
    let owner = core.request().map_or(0, |request| request.number);
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

/// `connect(number, host, port, pool, pool_size, backlog, timeout, from, from_port)`: the number of the socket, and `true`
/// or an operation and whether it waits for others.
fn connect(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let Ok(request) = core.request() else { return answer.refuse("no request found") };
    if let Some(former) = whole(call, 1).and_then(|number| core.sockets.get(number)) {
        if former.owner != request.number {
            return answer.refuse(BAD_REQUEST);
        }
        if former.connecting.get() {
            return answer.refuse("socket busy connecting");
        }
        if let Err(refusal) = is_reading(&former).and_then(|()| is_writing(&former)) {
            return refuse(answer, &refusal);
        }
        former.close();
    }
    let host = call.text(2).unwrap_or_default();
    let port = whole(call, 3).and_then(|port| u16::try_from(port).ok());
    let name = call.text(4).unwrap_or_default();
    // What is usual: an idle connection to where this VM connected before.
    let idle = if core.sockets.is_known(host, port) { core.sockets.pools.take(name) } else { None };
    if let Some(connection) = idle {
        let socket = core.sockets.add(&request);
        *socket.connection.borrow_mut() = Some(connection);
        #[expect(clippy::cast_precision_loss, reason = "no VM has so many sockets")]
        answer.number(socket.number as f64);
        answer.boolean(true);
        return Ok(());
    }
    let target = match core.sockets.target(host, port) {
        Ok(target) => target,
        Err(refusal) => return refuse(answer, &refusal),
    };
    core.sockets.know(host, port);
    let from = call.text(8).and_then(|text| address(text, u16::try_from(size(call, 9)).unwrap_or(0)));
    let place = Place {
        target,
        from,
        pool: name.into(),
        options: Options {
            size: (!call.given(5).is_nil()).then(|| size(call, 5)),
            backlog: (!call.given(6).is_nil()).then(|| size(call, 6)),
        },
        timeout: time(call, 7),
    };
    let turn = match place.turn(&core.sockets) {
        Ok(turn) => turn,
        Err(refusal) => return refuse(answer, &refusal),
    };
    let socket = core.sockets.add(&request);
    #[expect(clippy::cast_precision_loss, reason = "no VM has so many sockets")]
    answer.number(socket.number as f64);
    let turn = match turn {
        Turn::Reuse(connection) => {
            *socket.connection.borrow_mut() = Some(connection);
            answer.boolean(true);
            return Ok(());
        }
        turn => turn,
    };
    let waits = matches!(turn, Turn::Wait(_));
    let busy = Busy::new(&socket, |socket| &socket.connecting);
    let (sockets, deadlines) = (Rc::clone(&core.sockets), Rc::clone(&core.deadlines));
    #[expect(clippy::cast_precision_loss, reason = "no request has so many operations")]
    let operation = request.begin(async move {
        let connected = deadlines.within(place.timeout, place.connect(&sockets, turn)).await;
        drop(busy);
        match connected.unwrap_or(Err(Refusal::Borrowed("timeout").into())) {
            Ok(connection) => {
                *socket.connection.borrow_mut() = Some(connection);
                results(|answer| answer.number(1.0))
            }
            Err(Unconnected { refusal, number }) => {
                socket.close();
                results(move |answer| {
                    answer.refusal(refusal.as_bytes());
                    if let Some(number) = number {
                        answer.number(number.into());
                    }
                })
            }
        }
    }) as f64;
    answer.number(operation);
    answer.boolean(waits);
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
    let read = std::future::poll_fn(|context| socket.poll_read(context, reading));
    let read = deadlines.within(limit, read).await;
    read.unwrap_or_else(|| Read::Failed(Cow::Borrowed("timeout"), socket.give_up(reading)))
}

/// `receive(number, kind, size, timeout)`.
fn receive(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let socket = match readable(core, call) {
        Ok(socket) => socket,
        Err(refusal) => return refuse(answer, &refusal),
    };
    let want = match call.text(2) {
        Some(b"l") => Want::Line,
        Some(b"a") => Want::All,
        Some(b"any") => Want::Any(size(call, 3)),
        _ => Want::Exactly(size(call, 3)),
    };
    let mut reading = Reading::new(want);
    if let Poll::Ready(ended) = socket.poll_read(&mut Context::from_waker(Waker::noop()), &mut reading) {
        read(&socket, ended, answer);
        return Ok(());
    }
    let (limit, deadlines) = (time(call, 4), Rc::clone(&core.deadlines));
    let busy = Busy::new(&socket, |socket| &socket.reading);
    later(core, answer, async move {
        let ended = read_on(&deadlines, &socket, &mut reading, limit).await;
        results(move |answer| {
            // Until here: what was read is still in the socket's buffer.
            let _busy = busy;
            read(&socket, ended, answer);
        })
    })
}

/// The socket that is to be read from.
fn readable(core: &Own, call: &Call<'_>) -> Result<Rc<Socket>, Refusal> {
    let socket = found(core, call)?;
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
    let socket = match readable(core, call) {
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
    let until = Until::new(pattern, call.given(3).is_true(), size(call, 4), size(call, 5));
    let mut reading = Reading::new(Want::Until(until));
    if let Poll::Ready(ended) = socket.poll_read(&mut Context::from_waker(Waker::noop()), &mut reading) {
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

/// `send(number, text, timeout)`: the number of bytes.
fn send(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let socket = match found(core, call) {
        Ok(socket) if socket.write_closed.get() => return answer.refuse("closed"),
        Ok(socket) => socket,
        Err(refusal) => return refuse(answer, &refusal),
    };
    if let Err(refusal) = is_writing(&socket) {
        return refuse(answer, &refusal);
    }
    let text = call.text(2).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "strings are shorter")]
    let all = text.len() as f64;
    if text.is_empty() {
        answer.number(0.0);
        return Ok(());
    }
    let mut sent = 0;
    match socket.poll_send(&mut Context::from_waker(Waker::noop()), text, &mut sent) {
        Poll::Ready(Ok(())) => {
            answer.number(all);
            return Ok(());
        }
        Poll::Ready(Err(refusal)) => return refuse(answer, &refusal),
        Poll::Pending => {}
    }
    let rest = text.get(sent..).unwrap_or_default();
    if !socket.hold_sending(rest.len()) {
        socket.write_closed.set(true);
        return answer.refuse("no memory");
    }
    let (rest, limit, deadlines) = (rest.to_vec(), time(call, 3), Rc::clone(&core.deadlines));
    let busy = Sending {
        busy: Busy::new(&socket, |socket| &socket.writing),
        socket: Rc::clone(&socket),
        done: Cell::new(false),
    };
    later(core, answer, async move {
        let mut sent = 0;
        let send = std::future::poll_fn(|context| socket.poll_send(context, &rest, &mut sent));
        match deadlines.within(limit, send).await {
            Some(Ok(())) => {
                busy.done.set(true);
                results(move |answer| answer.number(all))
            }
            Some(Err(refusal)) => refused(refusal),
            None => refused(Cow::Borrowed("timeout")),
        }
    })
}

/// Half a message may have been sent: nothing can follow it.
struct Sending<F: Fn(&Socket) -> &Cell<bool>> {
    #[expect(dead_code, reason = "marks the socket for as long as it lives")]
    busy: Busy<F>,
    socket: Rc<Socket>,
    done: Cell<bool>,
}

impl<F: Fn(&Socket) -> &Cell<bool>> Drop for Sending<F> {
    fn drop(&mut self) {
        self.socket.hold_sending(0);
        if !self.done.get() {
            self.socket.write_closed.set(true);
        }
    }
}

/// The socket, if nothing is under way on it.
fn quiet(core: &Own, call: &Call<'_>) -> Result<Rc<Socket>, Refusal> {
    let socket = found(core, call)?;
    is_reading(&socket)?;
    is_writing(&socket)?;
    Ok(socket)
}

/// `keepalive(number, timeout, size, pool)`.
fn keepalive(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let socket = match quiet(core, call) {
        Ok(socket) => socket,
        Err(refusal) => return refuse(answer, &refusal),
    };
    if socket.read_closed.get() || socket.write_closed.get() {
        return answer.refuse("closed");
    }
    let refusal = match &mut *socket.connection.borrow_mut() {
        None => Some("closed"),
        Some(connection) if connection.has_unread() => Some("unread data in buffer"),
        Some(connection) => (!connection.is_quiet()).then_some("connection in dubious state"),
    };
    if let Some(refusal) = refusal {
        if refusal != "unread data in buffer" {
            socket.close();
        }
        return answer.refuse(refusal);
    }
    let connection = socket.connection.borrow_mut().take();
    socket.close();
    if let Some(connection) = connection
        && !core.sockets.is_over()
        && !core.timers.is_over()
    {
        let pool = call.text(4).unwrap_or_default();
        core.sockets.pools.keep(&core.sockets, pool, size(call, 3), time(call, 2), connection);
    }
    answer.number(1.0);
    Ok(())
}

/// `handshake(number, name, verify, timeout)`.
fn handshake(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let socket = match quiet(core, call) {
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

/// `close(number)`.
fn close(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    match quiet(core, call) {
        Ok(socket) => {
            socket.close();
            answer.number(1.0);
            Ok(())
        }
        Err(refusal) => refuse(answer, &refusal),
    }
}

/// `reused(number)`.
fn reused(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let socket = match found(core, call) {
        Ok(socket) => socket,
        Err(refusal) => return refuse(answer, &refusal),
    };
    match &*socket.connection.borrow() {
        Some(connection) => answer.number(f64::from(connection.reused)),
        None => return answer.refuse("closed"),
    }
    Ok(())
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

/// `peer(number, host, port, from, timeout)`: the number of a socket for datagrams, or an operation that gives it.
fn peer(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let Ok(request) = core.request() else { return answer.refuse("no request found") };
    if let Some(former) = whole(call, 1).and_then(|number| core.sockets.datagrams(number)) {
        if former.owner != request.number {
            return answer.refuse(BAD_REQUEST);
        }
        if former.busy.get() {
            return answer.refuse("socket busy");
        }
        core.sockets.close_datagrams(former.number);
    }
    let port = whole(call, 3).and_then(|port| u16::try_from(port).ok());
    let target = match core.sockets.target(call.text(2).unwrap_or_default(), port) {
        Ok(target) => target,
        Err(refusal) => return refuse(answer, &refusal),
    };
    let from = call.text(4).and_then(|text| address(text, 0));
    let owner = request.number;
    let _ = core.sockets.guest_of(&request);
    let crate::socket::Target::Name(name, port) = target else {
        return match core.sockets.open_datagrams(owner, Peer::Known(target), from) {
            #[expect(clippy::cast_precision_loss, reason = "no VM has so many sockets")]
            Ok(socket) => {
                answer.number(socket.number as f64);
                Ok(())
            }
            Err(refusal) => refuse(answer, &refusal),
        };
    };
    let (sockets, limit, deadlines) = (Rc::clone(&core.sockets), time(call, 5), Rc::clone(&core.deadlines));
    later(core, answer, async move {
        let found = deadlines.within(limit, sockets.look_up(name, port)).await;
        let found = found.unwrap_or(Err(Cow::Borrowed("timeout")));
        let first = found.map(|found| found.first().copied());
        let opened = match first {
            Ok(Some(address)) => sockets.open_datagrams(owner, Peer::Resolved(address), from),
            Ok(None) => Err(Cow::Borrowed("no address")),
            Err(refusal) => Err(refusal),
        };
        #[expect(clippy::cast_precision_loss, reason = "no VM has so many sockets")]
        opened.map_or_else(refused, |socket| results(move |answer| answer.number(socket.number as f64)))
    })
}

fn datagrams(core: &Own, call: &Call<'_>) -> Result<Rc<Datagrams>, Refusal> {
    let socket = whole(call, 1).and_then(|number| core.sockets.datagrams(number)).ok_or(Cow::Borrowed("closed"))?;
    if core.request().map_or(0, |request| request.number) != socket.owner {
        return Err(Cow::Borrowed(BAD_REQUEST));
    }
    Ok(socket)
}

/// `send_datagram(number, text, timeout)`.
fn send_datagram(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let socket = match datagrams(core, call) {
        Ok(socket) => socket,
        Err(refusal) => return refuse(answer, &refusal),
    };
    let text = call.text(2).unwrap_or_default();
    match socket.poll_send(&mut Context::from_waker(Waker::noop()), text) {
        Poll::Ready(Ok(())) => {
            answer.number(1.0);
            Ok(())
        }
        Poll::Ready(Err(refusal)) => refuse(answer, &refusal),
        Poll::Pending => {
            let mut share = Share::new(&core.sockets.held);
            if !share.set(text.len()) {
                return answer.refuse("no memory");
            }
            let (text, limit, deadlines) = (text.to_vec(), time(call, 3), Rc::clone(&core.deadlines));
            later(core, answer, async move {
                let _share = share;
                let send = std::future::poll_fn(|context| socket.poll_send(context, &text));
                match deadlines.within(limit, send).await.unwrap_or(Err(Cow::Borrowed("timeout"))) {
                    Ok(()) => results(|answer| answer.number(1.0)),
                    Err(refusal) => refused(refusal),
                }
            })
        }
    }
}

/// `receive_datagram(number, size, timeout)`.
fn receive_datagram(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let socket = match datagrams(core, call) {
        Ok(socket) if socket.busy.get() => return answer.refuse("socket busy"),
        Ok(socket) => socket,
        Err(refusal) => return refuse(answer, &refusal),
    };
    let room = size(call, 2).min(crate::socket::DATAGRAM_LIMIT);
    let mut buffer = vec![0; room];
    let mut into = ReadBuf::new(&mut buffer);
    match socket.poll_receive(&mut Context::from_waker(Waker::noop()), &mut into) {
        Poll::Ready(Ok(())) => {
            answer.bytes(into.filled());
            return Ok(());
        }
        Poll::Ready(Err(refusal)) => return refuse(answer, &refusal),
        Poll::Pending => {}
    }
    let (limit, deadlines) = (time(call, 3), Rc::clone(&core.deadlines));
    let busy = Receiving::new(&socket);
    later(core, answer, async move {
        let _busy = busy;
        let mut into = ReadBuf::new(&mut buffer);
        let received = deadlines.within(limit, socket.receive(&mut into)).await;
        let filled = into.filled().len();
        match received.unwrap_or(Err(Cow::Borrowed("timeout"))) {
            Ok(()) => results(move |answer| answer.bytes(buffer.get(..filled).unwrap_or_default())),
            Err(refusal) => refused(refusal),
        }
    })
}

struct Receiving(Rc<Datagrams>);

impl Receiving {
    fn new(socket: &Rc<Datagrams>) -> Self {
        socket.busy.set(true);
        Self(Rc::clone(socket))
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.busy.set(false);
    }
}

/// `close_datagrams(number)`.
fn close_datagrams(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    match datagrams(core, call) {
        Ok(socket) if socket.busy.get() => answer.refuse("socket busy"),
        Ok(socket) => {
            core.sockets.close_datagrams(socket.number);
            answer.number(1.0);
            Ok(())
        }
        Err(refusal) => refuse(answer, &refusal),
    }
}
