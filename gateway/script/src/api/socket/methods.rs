//! The methods of sockets that most calls of scripts are: functions that the script calls with nothing between.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use mlua::prelude::*;

use super::{
    BAD_REQUEST, Own, Run, address, find, is_reading, is_writing, quiet, read, read_on, readable, refused, size, whole,
};
use crate::api::log::log;
use crate::api::text::Written;
use crate::api::wait::millis;
use crate::api::{WAITS, number_text, request_in};
use crate::raw::{Answer, Arguments, Call, Elements, Fault, Given, Outcome, function_of, function_with};
use crate::request::{Request, Results, results};
use crate::socket::{Busy, Options, Place, PoolName, Reading, Refusal, Socket, Turn, Unconnected, Want, defaults};

/// Elements of an object, as in `../../lua/socket.lua`: the number of its socket, times in milliseconds, and where to connect
/// from.
pub(super) const NUMBER: i32 = 1;
pub(super) const CONNECT_TIMEOUT: i32 = 2;
pub(super) const SEND_TIMEOUT: i32 = 3;
pub(super) const READ_TIMEOUT: i32 = 4;
pub(super) const FROM: i32 = 5;
const FROM_PORT: i32 = 6;
const ELEMENTS: usize = 6;

/// Times must be less than this, in milliseconds.
const TIMEOUTS_END: f64 = 2_147_483_648.0;

/// What nginx logs of sockets has the levels of `ngx.ERR` and `ngx.DEBUG`.
pub(super) const ERROR: i64 = 4;
const DEBUG: i64 = 8;

/// Puts what makes objects into `table`, and their methods, which `../../lua/socket.lua` adds others to.
pub(super) fn install(lua: &Lua, host: &LuaTable, table: &LuaTable, core: &Own) -> LuaResult<()> {
    let wait: LuaTable = host.get("wait")?;
    let (streams, datagrams) = (lua.create_table()?, lua.create_table()?);
    let set = |methods: &LuaTable, name: &str, arguments: Arguments, run: Run| {
        let core = Rc::clone(core);
        methods.raw_set(name, function_of(lua, arguments, &wait, move |call, answer| run(&core, call, answer))?)
    };
    let plain = Arguments::default();
    let options = Arguments { texts: &[-2], fields: &[c"pool_size", c"backlog", c"pool"] };
    set(&streams, "connect", options, connect)?;
    set(&streams, "send", plain, send)?;
    set(&streams, "receive", plain, receive)?;
    set(&streams, "receiveany", plain, receive_any)?;
    set(&streams, "setkeepalive", plain, set_keepalive)?;
    set(&streams, "getreusedtimes", plain, reused_times)?;
    set(&streams, "close", plain, close)?;
    set(&streams, "settimeout", plain, set_timeout)?;
    set(&streams, "settimeouts", plain, set_timeouts)?;
    set(&datagrams, "setpeername", Arguments { texts: &[-2], fields: &[] }, super::datagrams::set_peer_name)?;
    set(&datagrams, "send", plain, super::datagrams::send)?;
    set(&datagrams, "receive", plain, super::datagrams::receive)?;
    set(&datagrams, "close", plain, super::datagrams::close)?;
    set(&datagrams, "settimeout", plain, set_timeout)?;
    for (name, methods) in [("tcp", streams), ("udp", datagrams)] {
        let meta = lua.create_table()?;
        meta.raw_set("__index", &methods)?;
        let core = Rc::clone(core);
        let new = function_with(lua, &[], meta, move |call, answer| new(&core, call, answer))?;
        table.raw_set(format!("new_{name}"), new)?;
        table.raw_set(name, methods)?;
    }
    Ok(())
}

/// `ngx.socket.tcp()`, `ngx.socket.udp()`: an object with room for its elements. The first value that is kept is its metatable.
fn new(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    check_count(call, 0..=0, "expecting zero arguments, but got")?;
    request_in(core, WAITS)?;
    answer.table(ELEMENTS, 0);
    answer.kept(1);
    answer.metatable();
    Ok(())
}

/// An object that a method is called of.
pub(super) type Object<'c, 'a> = Elements<'c, 'a>;

/// Refuses a call with another number of arguments than one of these, which `expecting` tells.
pub(super) fn check_count(call: &Call<'_>, counts: RangeInclusive<usize>, expecting: &str) -> Outcome {
    let count = call.count();
    if counts.contains(&count) { Ok(()) } else { Err(Fault::new(format!("{expecting} {count}"))) }
}

/// The request that a method is called for, and its object.
pub(super) fn begin<'c, 'a>(core: &Own, call: &'c Call<'a>) -> Result<(Rc<Request>, Object<'c, 'a>), Fault> {
    Ok((request_in(core, WAITS)?, object_of(call)?))
}

fn object_of<'c, 'a>(call: &'c Call<'a>) -> Result<Object<'c, 'a>, Fault> {
    call.table(1).ok_or_else(|| Fault::expected(1, "table", call.given(1)))
}

/// The object's socket, if it can be used now.
fn socket_of(core: &Own, request: &Request, object: Object<'_, '_>) -> Result<Rc<Socket>, Refusal> {
    find(core, request.number, object.get(NUMBER))
}

/// A time of the object, or what it is unless a script sets it.
pub(super) fn timeout(object: Object<'_, '_>, element: i32) -> Duration {
    match object.get(element) {
        Given::Number(time) => millis(time),
        _ => Duration::from_millis(defaults::TIMEOUT_MS),
    }
}

/// Says that something was not possible; what is the script's mistake is raised.
pub(super) fn refuse(answer: &mut Answer, refusal: &Refusal) -> Outcome {
    if refusal == BAD_REQUEST {
        return Err(Fault::new(BAD_REQUEST));
    }
    answer.refuse(refusal.as_bytes())
}

/// Waits for an operation, whose results are the method's.
pub(super) fn wait(request: &Request, answer: &mut Answer, future: impl Future<Output = Results> + 'static) -> Outcome {
    answer.kept(1);
    #[expect(clippy::cast_precision_loss, reason = "no request has so many operations")]
    answer.number(request.begin(future) as f64);
    answer.yields();
    Ok(())
}

/// What a script gives as a time: nothing is the default, and so is what is no number, for libraries hand over all kinds of things.
fn time_given(given: Given<'_>) -> Result<Option<f64>, Fault> {
    let time = given.number().unwrap_or(0.0);
    if !(0.0..TIMEOUTS_END).contains(&time) {
        return Err(Fault::new("bad timeout value"));
    }
    Ok((time >= 1.0).then_some(time.floor()))
}

/// Sets elements of the object to a time.
fn put_time(answer: &mut Answer, time: Option<f64>, first: i32, last: i32) {
    match time {
        Some(time) => answer.number(time),
        None => answer.nil(),
    }
    answer.put(1, first, last);
}

/// `sock:settimeout(time)`
fn set_timeout(_: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    check_count(call, 2..=2, "ngx.socket settimeout: expecting 2 arguments (including the object) but seen")?;
    object_of(call)?;
    put_time(answer, time_given(call.given(2))?, CONNECT_TIMEOUT, READ_TIMEOUT);
    Ok(())
}

/// `sock:settimeouts(connect, send, read)`
fn set_timeouts(_: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    check_count(call, 4..=4, "ngx.socket settimeout: expecting 4 arguments (including the object) but seen")?;
    object_of(call)?;
    for (argument, element) in [(2, CONNECT_TIMEOUT), (3, SEND_TIMEOUT), (4, READ_TIMEOUT)] {
        put_time(answer, time_given(call.given(argument))?, element, element);
    }
    Ok(())
}

/// What a script wants of the pool, and the name that it has for it.
#[derive(Default)]
struct Asked {
    options: Options,
    pool: Option<PoolName>,
}

impl Asked {
    /// What the table that is the last argument says.
    fn of(call: &Call<'_>) -> Result<Self, Fault> {
        let at = i32::try_from(call.count()).unwrap_or(0);
        if at < 3 || call.given(at) != Given::Table {
            return Ok(Self::default());
        }
        let wrong_type = |name: &str, given: Given<'_>| {
            Fault::argument(at, format!("bad \"{name}\" option type: {}", given.type_name()))
        };
        let whole = |name: &str, given: Given<'_>, least: f64| match given.number().map(f64::floor) {
            None => Ok(None),
            Some(value) if value >= least => Ok(Some(size(Given::Number(value)))),
            Some(value) => Err(Fault::argument(at, format!("bad \"{name}\" option value: {value}"))),
        };
        let pool_size = match call.field(0) {
            Given::Nil => None,
            given => Some(whole("pool_size", given, 1.0)?.ok_or_else(|| wrong_type("pool_size", given))?),
        };
        let backlog = whole("backlog", call.field(1), 0.0)?;
        let pool = match call.field(2) {
            Given::Nil => None,
            Given::Text(name) => Some(Rc::from(name)),
            Given::Number(number) => Some(Rc::from(number_text(number).as_bytes())),
            given => return Err(wrong_type("pool", given)),
        };
        let size = pool_size.or(backlog.map(|_| defaults::POOL_SIZE));
        Ok(Self { options: Options { size, backlog }, pool })
    }
}

/// A port; none: it is no number.
pub(super) fn port_given(given: Given<'_>) -> Result<Option<u16>, Refusal> {
    match given.number().map(f64::floor) {
        None => Ok(None),
        Some(port) if (0.0..=65535.0).contains(&port) => Ok(u16::try_from(size(Given::Number(port))).ok()),
        Some(port) => Err(Cow::Owned(format!("bad port number: {port}"))),
    }
}

/// `sock:connect(host[, port][, options])`
fn connect(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let expecting = "ngx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen";
    check_count(call, 2..=4, expecting)?;
    let (request, object) = begin(core, call)?;
    let Given::Text(host) = call.given(2) else { return Err(Fault::expected(2, "string", call.given(2))) };
    let asked = Asked::of(call)?;
    let port = match port_given(call.given(3)) {
        Ok(port) => port,
        Err(refusal) => return refuse(answer, &refusal),
    };
    if let Some(former) = whole(object.get(NUMBER)).and_then(|number| core.sockets.get(number)) {
        if former.owner != request.number {
            return Err(Fault::new(BAD_REQUEST));
        }
        if former.connecting.get() {
            return answer.refuse("socket busy connecting");
        }
        if let Err(refusal) = is_reading(&former).and_then(|()| is_writing(&former)) {
            return refuse(answer, &refusal);
        }
        former.close();
    }
    // What is usual: an idle connection to where this VM connected before.
    let known = core.sockets.known(host, port);
    if let Some(known) = &known
        && let pool = asked.pool.as_ref().unwrap_or(known)
        && let Some(connection) = core.sockets.pools.take(pool)
    {
        let socket = core.sockets.add(&request, Rc::clone(pool));
        *socket.connection.borrow_mut() = Some(connection);
        becomes(answer, socket.number);
        answer.number(1.0);
        return Ok(());
    }
    let target = match core.sockets.target(host, port) {
        Ok(target) => target,
        Err(refusal) => return refuse(answer, &refusal),
    };
    let known = known.unwrap_or_else(|| core.sockets.know(host, port));
    let from_port = u16::try_from(size(object.get(FROM_PORT))).unwrap_or(0);
    let from = match object.get(FROM) {
        Given::Text(text) => address(text, from_port),
        _ => None,
    };
    let place = Place {
        target,
        from,
        pool: asked.pool.unwrap_or(known),
        options: asked.options,
        timeout: timeout(object, CONNECT_TIMEOUT),
    };
    let turn = match place.turn(&core.sockets) {
        Ok(turn) => turn,
        Err(refusal) => return refuse(answer, &refusal),
    };
    let socket = core.sockets.add(&request, Rc::clone(&place.pool));
    becomes(answer, socket.number);
    let turn = match turn {
        Turn::Reuse(connection) => {
            *socket.connection.borrow_mut() = Some(connection);
            answer.number(1.0);
            return Ok(());
        }
        turn => turn,
    };
    if matches!(turn, Turn::Wait(_)) {
        let pool = String::from_utf8_lossy(&place.pool);
        let text = format!("lua tcp socket queue connect operation for connection pool \"{pool}\"");
        log(core, DEBUG, text.as_bytes());
    }
    let busy = Busy::new(&socket, |socket| &socket.connecting);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let (own, to) = (Rc::clone(core), format!("{}{port}", String::from_utf8_lossy(host)));
    wait(&request, answer, async move {
        let connected = own.deadlines.within(place.timeout, place.connect(&own.sockets, turn)).await;
        drop(busy);
        match connected.unwrap_or(Err(Refusal::Borrowed("timeout").into())) {
            Ok(connection) => {
                *socket.connection.borrow_mut() = Some(connection);
                results(|answer| answer.number(1.0))
            }
            Err(unconnected) => {
                socket.close();
                results(move |answer| {
                    log_unconnected(&own, &unconnected, &to);
                    answer.refusal(unconnected.refusal.as_bytes());
                })
            }
        }
    })
}

/// Makes the object that of a socket.
pub(super) fn becomes(answer: &mut Answer, number: u64) {
    #[expect(clippy::cast_precision_loss, reason = "no VM has so many sockets")]
    answer.number(number as f64);
    answer.put(1, NUMBER, NUMBER);
}

/// Logs as nginx does why there is no connection.
fn log_unconnected(core: &Own, Unconnected { refusal, number }: &Unconnected, to: &str) {
    if refusal == "timeout" {
        log(core, ERROR, format!("lua tcp socket connect timed out, when connecting to {to}").as_bytes());
    } else if let Some(number) = number {
        let mut reason = refusal.to_string();
        if let Some(first) = reason.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        log(core, ERROR, format!("connect() failed ({number}: {reason}), when connecting to {to}").as_bytes());
    }
}

/// What is to be sent.
pub(super) fn text_given<'a>(core: &Own, call: &Call<'a>) -> Result<Cow<'a, [u8]>, Fault> {
    if let Given::Text(text) = call.given(2) {
        return Ok(Cow::Borrowed(text));
    }
    let limit = core.app.spec.limits.request_memory;
    let mut text = Vec::new();
    Written::new(limit, true).append(call, 2, &mut text).map_err(|error| Fault::argument(2, error))?;
    if text.len() > limit {
        return Err(Fault::new("not enough memory: the data is too large"));
    }
    Ok(Cow::Owned(text))
}

/// `sock:send(data)`: the number of bytes.
fn send(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    check_count(call, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let (request, object) = begin(core, call)?;
    let text = text_given(core, call)?;
    let socket = socket_of(core, &request, object).and_then(|socket| {
        if socket.write_closed.get() { Err(Cow::Borrowed("closed")) } else { is_writing(&socket).map(|()| socket) }
    });
    let socket = match socket {
        Ok(socket) => socket,
        Err(refusal) => return refuse_to_send(core, answer, &refusal),
    };
    #[expect(clippy::cast_precision_loss, reason = "strings are shorter")]
    let all = text.len() as f64;
    if text.is_empty() {
        answer.number(0.0);
        return Ok(());
    }
    let mut sent = 0;
    match socket.poll_send(None, &text, &mut sent) {
        Poll::Ready(Ok(())) => {
            answer.number(all);
            return Ok(());
        }
        Poll::Ready(Err(refusal)) => return refuse_to_send(core, answer, &refusal),
        Poll::Pending => {}
    }
    let rest = text.get(sent..).unwrap_or_default();
    if !socket.hold_sending(rest.len()) {
        socket.write_closed.set(true);
        return answer.refuse("no memory");
    }
    let (rest, limit, own) = (rest.to_vec(), timeout(object, SEND_TIMEOUT), Rc::clone(core));
    let busy = Sending {
        busy: Busy::new(&socket, |socket| &socket.writing),
        socket: Rc::clone(&socket),
        done: Cell::new(false),
    };
    wait(&request, answer, async move {
        let mut sent = 0;
        let send = std::future::poll_fn(|context| socket.poll_send(Some(context), &rest, &mut sent));
        match own.deadlines.within(limit, send).await {
            Some(Ok(())) => {
                busy.done.set(true);
                results(move |answer| answer.number(all))
            }
            Some(Err(refusal)) => refused(refusal),
            None => results(move |answer| {
                log(&own, ERROR, b"lua tcp socket write timed out");
                answer.refusal("timeout");
            }),
        }
    })
}

fn refuse_to_send(core: &Own, answer: &mut Answer, refusal: &Refusal) -> Outcome {
    if refusal == "closed" {
        log(core, ERROR, b"attempt to send data on a closed socket");
    }
    refuse(answer, refusal)
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

/// `sock:receive([size | pattern])`
fn receive(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    check_count(call, 0..=2, "expecting 1 or 2 arguments (including the object), but got")?;
    let (request, object) = begin(core, call)?;
    let given = call.given(2);
    let want = match (given.number(), given) {
        (_, Given::Nothing) | (None, Given::Text(b"*l")) => Want::Line,
        (Some(size), _) if size < 0.0 => return Err(Fault::argument(2, "bad pattern argument")),
        (Some(size), _) => Want::Exactly(self::size(Given::Number(size))),
        (None, Given::Text(b"*a")) => Want::All,
        (None, Given::Text([b'*', _])) => return Err(Fault::argument(2, "bad pattern argument")),
        (None, Given::Text(other)) => {
            return Err(Fault::argument(2, format!("bad pattern argument: {}", String::from_utf8_lossy(other))));
        }
        _ => return Err(Fault::argument(2, "bad pattern argument")),
    };
    receive_what(core, &request, (object, answer), want)
}

/// `sock:receiveany(max)`
fn receive_any(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    check_count(call, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let (request, object) = begin(core, call)?;
    let most = call.given(2).number().filter(|most| *most >= 1.0);
    let most = most.ok_or_else(|| Fault::argument(2, "bad max argument"))?;
    receive_what(core, &request, (object, answer), Want::Any(size(Given::Number(most))))
}

fn receive_what(core: &Own, request: &Request, (object, answer): (Object<'_, '_>, &mut Answer), want: Want) -> Outcome {
    let socket = match socket_of(core, request, object).and_then(readable) {
        Ok(socket) => socket,
        Err(refusal) => {
            if refusal == "closed" {
                log(core, ERROR, b"attempt to receive data on a closed socket");
            }
            return refuse(answer, &refusal);
        }
    };
    let mut reading = Reading::new(want);
    if let Poll::Ready(ended) = socket.poll_read(None, &mut reading) {
        read(&socket, ended, answer);
        return Ok(());
    }
    let (limit, own) = (timeout(object, READ_TIMEOUT), Rc::clone(core));
    let busy = Busy::new(&socket, |socket| &socket.reading);
    wait(request, answer, async move {
        let ended = read_on(&own.deadlines, &socket, &mut reading, limit).await;
        results(move |answer| {
            // Until here: what was read is still in the socket's buffer.
            let _busy = busy;
            if ended.is_late() {
                log(&own, ERROR, b"lua tcp socket read timed out");
            }
            read(&socket, ended, answer);
        })
    })
}

/// `sock:setkeepalive([time[, size]])`
fn set_keepalive(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    check_count(call, 0..=3, "expecting 1 to 3 arguments (including the object), but got")?;
    let (request, object) = begin(core, call)?;
    let number = |index: i32| match call.given(index) {
        given if given.is_nil() => Ok(None),
        given => given.number().map(Some).ok_or_else(|| Fault::expected(index, "number", given)),
    };
    let time = number(2)?.map_or(Duration::from_millis(defaults::KEEPALIVE_MS), millis);
    let size = match number(3)?.map(f64::floor) {
        None => defaults::POOL_SIZE,
        Some(given) if given >= 1.0 => size(Given::Number(given)),
        Some(given) => return Err(Fault::argument(3, format!("bad \"pool_size\" option value: {given}"))),
    };
    let socket = match socket_of(core, &request, object).and_then(quiet) {
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
        core.sockets.pools.keep(&core.sockets, &socket.pool, size, time, connection);
    }
    answer.number(1.0);
    Ok(())
}

/// `sock:close()`
fn close(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    check_count(call, 0..=1, "expecting 1 argument (including the object) but seen")?;
    let (request, object) = begin(core, call)?;
    match socket_of(core, &request, object).and_then(quiet) {
        Ok(socket) => {
            socket.close();
            answer.number(1.0);
            Ok(())
        }
        Err(refusal) => refuse(answer, &refusal),
    }
}

/// `sock:getreusedtimes()`
fn reused_times(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let (request, object) = begin(core, call)?;
    let socket = match socket_of(core, &request, object) {
        Ok(socket) => socket,
        Err(refusal) => return refuse(answer, &refusal),
    };
    match &*socket.connection.borrow() {
        Some(connection) => answer.number(f64::from(connection.reused)),
        None => return answer.refuse("closed"),
    }
    Ok(())
}
