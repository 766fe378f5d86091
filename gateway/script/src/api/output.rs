//! The response that a script makes: `ngx.say`, `ngx.print`, `ngx.status`, `ngx.header`, `ngx.resp`.

use std::borrow::Cow;
use std::rc::Rc;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use mlua::prelude::*;
use witgate_stage::{Edit, FieldError, Side};

use super::text::{Written, append};
use super::{RESPONDS, request_in};
use crate::Phase;
use crate::phase::Moment;
use crate::raw::{Answer, Call, Fault, Given, Outcome, function};
use crate::request::{Answered, Request};
use crate::vm::Core;

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    for (name, line) in [("print", false), ("say", true)] {
        let shared = Rc::clone(core);
        host.set(name, function(lua, &[], move |call, answer| write(&shared, call, answer, line))?)?;
    }
    let shared = Rc::clone(core);
    host.set(
        "begin_response",
        lua.create_function(move |_, ()| {
            let request = shared.request()?;
            let mut draft = request.draft.borrow_mut();
            let before = draft.begun;
            draft.begun = true;
            Ok(before)
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set(
        "end_response",
        lua.create_function(move |_, ()| {
            let request = shared.request()?;
            let mut draft = request.draft.borrow_mut();
            if draft.ended {
                return Ok((None, Some("seen eof")));
            }
            (draft.begun, draft.ended) = (true, true);
            Ok((Some(1), None))
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set(
        "response_begun",
        lua.create_function(move |_, ()| {
            let request = shared.request()?;
            let sent = request.exchange(|exchange| exchange.heads_sent).unwrap_or(false);
            // Filters of bodies and logs come after the head, even where it is held back for them.
            let is_past = matches!(request.moment.get(), Moment::Phase(Phase::BodyFilter | Phase::Log));
            Ok(sent || is_past || request.draft.borrow().begun)
        })?,
    )?;
    let shared = Rc::clone(core);
    // What `ngx.exec` answers with has passed the filters of the route that it comes from.
    host.set(
        "answered_elsewhere",
        lua.create_function(move |_, ()| {
            shared.request()?.answered.set(Answered::Elsewhere);
            Ok(())
        })?,
    )?;
    let shared = Rc::clone(core);
    // `ngx.exit` in a header filter: what it comes to is seen when the filter has ended, for it goes on as in nginx.
    host.set(
        "exit_later",
        lua.create_function(move |_, status: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "what is no status is refused")]
            shared.request()?.exit.set(Some(status as i64));
            Ok(())
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set("status", lua.create_function(move |_, ()| status(&*shared.request()?))?)?;
    let shared = Rc::clone(core);
    // `set_status(status)`: whether it was not too late, and an error to raise.
    let set_status = function(lua, &[], move |call, answer| {
        let status = call.given(1).number().unwrap_or(f64::NAN);
        #[expect(clippy::cast_possible_truncation, reason = "what is no status is refused")]
        tell(answer, shared.request().and_then(|request| set_status(&request, status as i64)));
        Ok(())
    })?;
    host.set("set_status", set_status)?;
    let shared = Rc::clone(core);
    host.set("header", lua.create_function(move |lua, name: LuaString| header(lua, &*shared.request()?, &name))?)?;
    let shared = Rc::clone(core);
    // `set_header(name, value, add)`: as `set_status`.
    let set_header = function(lua, &[1], move |call, answer| {
        tell(answer, set_header(&shared, call));
        Ok(())
    })?;
    host.set("set_header", set_header)?;
    let shared = Rc::clone(core);
    host.set(
        "response_fields",
        lua.create_function(move |lua, (limit, raw): (usize, bool)| {
            let request = shared.request()?;
            with_headers(&request, |headers| super::request::fields(lua, headers, limit, raw))?
        })?,
    )
}

/// `ngx.print(...)`, and `ngx.say(...)`, which ends the line.
fn write(core: &Core, call: &Call<'_>, answer: &mut Answer, line: bool) -> Outcome {
    let request = request_in(core, RESPONDS)?;
    let mut draft = request.draft.borrow_mut();
    if draft.ended {
        return answer.refuse("seen eof");
    }
    let limit = core.app.spec.limits.response;
    let before = draft.body.len();
    let made = append_all(call, &mut draft.body, limit).and_then(|()| {
        if line {
            draft.body.push(b'\n');
        }
        if draft.body.len() > limit {
            return Err(Fault::new(format!("the response is larger than `response_limit` ({limit} bytes)")));
        }
        draft.begun |= draft.body.len() > before;
        answer.number(1.0);
        Ok(())
    });
    if made.is_err() {
        draft.body.truncate(before);
    }
    made
}

/// Appends what is written of all arguments, up to a little more than the limit.
fn append_all(call: &Call<'_>, into: &mut Vec<u8>, limit: usize) -> Outcome {
    let mut written = Written::new(limit, false);
    for index in 1..=i32::try_from(call.count()).unwrap_or(i32::MAX) {
        written.append(call, index, into).map_err(|error| Fault::argument(index, error))?;
        if into.len() > limit {
            break;
        }
    }
    Ok(())
}

fn status(request: &Request) -> LuaResult<u16> {
    let known = request.exchange(|exchange| {
        let ended = exchange.ended.as_ref().and_then(|ended| ended.status);
        ended.or(exchange.response.as_ref().map(|response| response.status)).map(|status| status.as_u16())
    })?;
    let draft = request.draft.borrow();
    // A response that has begun has one, even if nobody has said which.
    Ok(known.or(draft.status).unwrap_or(if draft.begun { 200 } else { 0 }))
}

/// Whether it is there to be set: nothing has been sent.
fn set_status(request: &Request, status: i64) -> LuaResult<bool> {
    let is_late = request.exchange(|exchange| exchange.heads_sent)? || request.draft.borrow().begun;
    if is_late {
        return Ok(false);
    }
    let code = u16::try_from(status).ok().filter(|code| (200..=599).contains(code));
    let Some(code) = code else {
        return Err(LuaError::runtime(format!("expected a status from 200 to 599, got {status}")));
    };
    let has_response = request.exchange(|exchange| exchange.response.is_some())?;
    if has_response {
        let refused = |error: FieldError| LuaError::runtime(error.to_string());
        let edit = Edit::status(code).map_err(refused)?;
        request.change(Side::Response, (edit, Vec::new()))?.map_err(refused)?;
    } else {
        request.draft.borrow_mut().status = Some(code);
    }
    Ok(true)
}

fn with_headers<T>(request: &Request, read: impl FnOnce(&HeaderMap) -> T) -> LuaResult<T> {
    let has_response = request.exchange(|exchange| exchange.response.is_some())?;
    if !has_response {
        return Ok(read(&request.draft.borrow().headers));
    }
    let empty = HeaderMap::new();
    request.exchange(|exchange| read(exchange.response.as_ref().map_or(&empty, |response| &response.headers)))
}

fn header(lua: &Lua, request: &Request, name: &LuaString) -> LuaResult<LuaValue> {
    let Ok(name) = HeaderName::from_bytes(name.to_string_lossy().replace('_', "-").as_bytes()) else {
        return Ok(LuaNil);
    };
    if name == CONTENT_LENGTH
        && let Some(said) = &*request.said_length.borrow()
    {
        return said.as_ref().map(|said| lua.create_string(said.as_bytes())).transpose()?.into_lua(lua);
    }
    with_headers(request, |headers| super::request::values(lua, headers, &name))?
}

/// Whether something was in time, and an error.
fn tell(answer: &mut Answer, result: LuaResult<bool>) {
    answer.boolean(result.as_ref().is_ok_and(|in_time| *in_time));
    if let Err(error) = result {
        answer.bytes(crate::vm::describe(&error).as_bytes());
    }
}

/// Sets, adds to, or removes a field; whether it was not too late.
fn set_header(core: &Core, call: &Call<'_>) -> LuaResult<bool> {
    let request = core.request()?;
    let is_late = request.exchange(|exchange| exchange.heads_sent)? || request.draft.borrow().begun;
    if is_late {
        return Ok(false);
    }
    let done = set_field(core, &request, (call, Some(2)), (Side::Response, call.given(3).is_true()));
    done.map(|()| true).map_err(LuaError::runtime)
}

/// Sets, adds to, or removes the field that the first argument names, by the argument that has its values: none removes it.
pub(super) fn set_field(
    core: &Core,
    request: &Request,
    (call, values): (&Call<'_>, Option<i32>),
    (side, add): (Side, bool),
) -> Result<(), Cow<'static, str>> {
    let written = call.text(1).unwrap_or_default();
    let refused = |error: FieldError| {
        let name = String::from_utf8_lossy(written).replace('_', "-");
        Cow::from(format!("cannot set the field `{name}`: {error}"))
    };
    // In names of the request's fields underscores are what they are, as in nginx.
    let name = match side {
        Side::Request if written.contains(&b'_') => HeaderName::from_bytes(written).ok(),
        _ => core.field_names.with(written, HeaderName::clone),
    };
    let name = name.ok_or_else(|| refused(FieldError::InvalidName))?;
    if name == CONTENT_LENGTH {
        // The gateway knows the length of what it sends; that scripts read what they have written is all there is to it.
        if side == Side::Response {
            let said = values.map_or(Given::Nothing, |index| call.given(index));
            let is_none = matches!(said, Given::Nil | Given::Nothing | Given::Null | Given::Text([]) | Given::Table);
            let said = if is_none { None } else { Some(field_value(said)?) };
            *request.said_length.borrow_mut() = Some(said);
        }
        return Ok(());
    }
    let single = side == Side::Response && name == CONTENT_TYPE;
    let begin = if add && !single { Edit::append } else { Edit::set };
    // As in nginx: an empty text removes a field that is set, and is no value among others.
    let is_empty = |given: Given<'_>| !add && matches!(given, Given::Text([]));
    let (mut first, mut others) = (None, Vec::new());
    match values.map_or(Given::Nothing, |index| call.given(index)) {
        Given::Nil | Given::Nothing | Given::Null => {}
        Given::Table => {
            let mut walk = call.walk();
            walk.push_argument(values.unwrap_or(0));
            for index in 1..=walk.len() {
                walk.element(index);
                if walk.top().is_nil() {
                    break;
                }
                if !is_empty(walk.top()) {
                    let value = field_value(walk.top())?;
                    // Of a field that there is once, the last one counts.
                    if first.is_none() || single {
                        first = Some(begin(name.clone(), value, side).map_err(refused)?);
                    } else {
                        others.push(Edit::append(name.clone(), value, side).map_err(refused)?);
                    }
                }
                walk.pop(1);
            }
        }
        given if is_empty(given) => {}
        given => first = Some(begin(name.clone(), field_value(given)?, side).map_err(refused)?),
    }
    let first = match first {
        Some(first) => first,
        None if add => return Ok(()),
        None => Edit::remove(name, side).map_err(refused)?,
    };
    if single {
        // Whoever removes it wants none; whoever has said nothing of it gets the usual one.
        request.draft.borrow_mut().untyped = matches!(first, Edit::Remove(_));
    }
    let made = request.change(side, (first, others));
    made.map_err(|error| Cow::from(crate::vm::describe(&error)))?.map_err(refused)
}

/// A field's value of text.
fn field_value(given: Given<'_>) -> Result<HeaderValue, Cow<'static, str>> {
    let mut bytes = Vec::new();
    let text = match given {
        Given::Text(text) => text,
        Given::Boolean(_) | Given::Number(_) => {
            let _: Result<(), &str> = append(given, &mut bytes);
            &bytes
        }
        other => return Err(format!("expected text as a field's value, got a {}", other.type_name()).into()),
    };
    let value = HeaderValue::from_bytes(text).or_else(|_| HeaderValue::from_bytes(&escaped(text)));
    value.map_err(|error| error.to_string().into())
}

/// A field's value with control characters in hexadecimal, as nginx sends them: a line end would otherwise end the field.
fn escaped(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len() + 16);
    for byte in value {
        if (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f {
            text.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            text.push(*byte);
        }
    }
    text
}
