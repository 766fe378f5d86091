//! Methods of sockets for datagrams.

use std::borrow::Cow;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::ReadBuf;

use super::methods::{
    CONNECT_TIMEOUT, ERROR, FROM, NUMBER, Object, READ_TIMEOUT, SEND_TIMEOUT, becomes, begin, check_count, port_given,
    refuse, text_given, timeout, wait,
};
use super::{BAD_REQUEST, Own, address, refused, size, whole};
use crate::api::log::log;
use crate::raw::{Answer, Call, Fault, Given, Outcome};
use crate::request::{Request, results};
use crate::socket::{DATAGRAM_LIMIT, Datagrams, Peer, Refusal, Share, Target};

/// Bytes that `receive` takes unless a script says how many.
const RECEIVED: usize = 8192;

/// `sock:setpeername(host[, port])`
pub(super) fn set_peer_name(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let expecting = "ngx.socket.udp setpeername: expecting 2 or 3 arguments (including the object), but seen";
    check_count(call, 2..=3, expecting)?;
    let (request, object) = begin(core, call)?;
    let Given::Text(host) = call.given(2) else { return Err(Fault::expected(2, "string", call.given(2))) };
    let port = match port_given(call.given(3)) {
        Ok(port) => port,
        Err(refusal) => return refuse(answer, &refusal),
    };
    if let Some(former) = whole(object.get(NUMBER)).and_then(|number| core.sockets.datagrams(number)) {
        if former.owner != request.number {
            return Err(Fault::new(BAD_REQUEST));
        }
        if former.busy.get() {
            return answer.refuse("socket busy");
        }
        core.sockets.close_datagrams(former.number);
    }
    let target = match core.sockets.target(host, port) {
        Ok(target) => target,
        Err(refusal) => return refuse(answer, &refusal),
    };
    let from = match object.get(FROM) {
        Given::Text(text) => address(text, 0),
        _ => None,
    };
    let owner = request.number;
    let _ = core.sockets.guest_of(&request);
    let peer = match target {
        Target::Name(name, port) => {
            // The number is known before the peer is: so the object has it already.
            let number = core.sockets.next_number();
            becomes(answer, number);
            let (own, limit) = (Rc::clone(core), timeout(object, CONNECT_TIMEOUT));
            return wait(&request, answer, async move {
                let found = own.deadlines.within(limit, own.sockets.look_up(name, port)).await;
                let found = found.unwrap_or(Err(Cow::Borrowed("timeout")));
                let opened = match found.map(|found| found.first().copied()) {
                    Ok(Some(address)) => own.sockets.open_datagrams((number, owner), Peer::Resolved(address), from),
                    Ok(None) => Err(Cow::Borrowed("no address")),
                    Err(refusal) => Err(refusal),
                };
                opened.map_or_else(refused, |()| results(|answer| answer.number(1.0)))
            });
        }
        target => Peer::Known(target),
    };
    let number = core.sockets.next_number();
    match core.sockets.open_datagrams((number, owner), peer, from) {
        Ok(()) => {
            becomes(answer, number);
            answer.number(1.0);
            Ok(())
        }
        Err(refusal) => refuse(answer, &refusal),
    }
}

/// The object's socket, unless there is none.
fn datagrams(core: &Own, request: &Request, object: Object<'_, '_>) -> Result<Rc<Datagrams>, Refusal> {
    let found = whole(object.get(NUMBER)).and_then(|number| core.sockets.datagrams(number));
    let socket = found.ok_or(Cow::Borrowed("closed"))?;
    if request.number != socket.owner {
        return Err(Cow::Borrowed(BAD_REQUEST));
    }
    Ok(socket)
}

/// `sock:send(data)`
pub(super) fn send(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    check_count(call, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let (request, object) = begin(core, call)?;
    let text = text_given(core, call)?;
    let socket = match datagrams(core, &request, object) {
        Ok(socket) => socket,
        Err(refusal) => {
            if refusal == "closed" {
                log(core, ERROR, b"attempt to send data on a closed udp socket");
            }
            return refuse(answer, &refusal);
        }
    };
    match socket.poll_send(&mut Context::from_waker(Waker::noop()), &text) {
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
            let (text, limit, own) = (text.into_owned(), timeout(object, SEND_TIMEOUT), Rc::clone(core));
            wait(&request, answer, async move {
                let _share = share;
                let send = std::future::poll_fn(|context| socket.poll_send(context, &text));
                match own.deadlines.within(limit, send).await.unwrap_or(Err(Cow::Borrowed("timeout"))) {
                    Ok(()) => results(|answer| answer.number(1.0)),
                    Err(refusal) => refused(refusal),
                }
            })
        }
    }
}

/// `sock:receive([size])`
pub(super) fn receive(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    check_count(call, 0..=2, "expecting 1 or 2 arguments (including the object), but got")?;
    let (request, object) = begin(core, call)?;
    let room = match (call.given(2), call.given(2).number()) {
        (Given::Nothing, _) => RECEIVED,
        (_, Some(room)) if room >= 1.0 => size(Given::Number(room)).min(DATAGRAM_LIMIT),
        _ => return Err(Fault::argument(2, "bad number argument")),
    };
    let socket = match datagrams(core, &request, object) {
        Ok(socket) if socket.busy.get() => return answer.refuse("socket busy"),
        Ok(socket) => socket,
        Err(refusal) => {
            log_unreceived(core, &refusal);
            return refuse(answer, &refusal);
        }
    };
    let mut buffer = vec![0; room];
    let mut into = ReadBuf::new(&mut buffer);
    match socket.poll_receive(&mut Context::from_waker(Waker::noop()), &mut into) {
        Poll::Ready(Ok(())) => {
            answer.bytes(into.filled());
            return Ok(());
        }
        Poll::Ready(Err(refusal)) => {
            log_unreceived(core, &refusal);
            return refuse(answer, &refusal);
        }
        Poll::Pending => {}
    }
    let (limit, own) = (timeout(object, READ_TIMEOUT), Rc::clone(core));
    let busy = Receiving::new(&socket);
    wait(&request, answer, async move {
        let _busy = busy;
        let mut into = ReadBuf::new(&mut buffer);
        let received = own.deadlines.within(limit, socket.receive(&mut into)).await;
        let filled = into.filled().len();
        match received.unwrap_or(Err(Cow::Borrowed("timeout"))) {
            Ok(()) => results(move |answer| answer.bytes(buffer.get(..filled).unwrap_or_default())),
            Err(refusal) => results(move |answer| {
                log_unreceived(&own, &refusal);
                answer.refusal(refusal.as_bytes());
            }),
        }
    })
}

/// Logs as nginx does why nothing was received.
fn log_unreceived(core: &Own, refusal: &Refusal) {
    match &**refusal {
        "timeout" => log(core, ERROR, b"lua udp socket read timed out"),
        "closed" => log(core, ERROR, b"attempt to receive data on a closed udp socket"),
        BAD_REQUEST => {}
        other => log(core, ERROR, format!("recv() failed: {other}").as_bytes()),
    }
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

/// `sock:close()`
pub(super) fn close(core: &Own, call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let (request, object) = begin(core, call)?;
    match datagrams(core, &request, object) {
        Ok(socket) if socket.busy.get() => answer.refuse("socket busy"),
        Ok(socket) => {
            core.sockets.close_datagrams(socket.number);
            answer.number(1.0);
            Ok(())
        }
        Err(refusal) => refuse(answer, &refusal),
    }
}
