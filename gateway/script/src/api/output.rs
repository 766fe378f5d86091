//! The response that a script makes: `ngx.say`, `ngx.print`, `ngx.status`, `ngx.header`, `ngx.resp`.

use std::borrow::Cow;
use std::rc::Rc;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use mlua::prelude::*;
use witgate_stage::{Edit, FieldError, Side};

use crate::raw::{Answer, Call, Fault, Given, Walk, function};
use crate::request::Request;
use crate::vm::Core;

/// Depth of tables in tables in the arguments of `ngx.say`.
const DEPTH_LIMIT: usize = 32;

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    let limit = core.app.spec.limits.response;
    let shared = Rc::clone(core);
    // `write(line, ...)`: an error to raise, and one to return.
    let write = function(lua, &[], move |call, answer| {
        let Ok(request) = shared.request() else { return Err(Fault::new("no request found")) };
        let mut draft = request.draft.borrow_mut();
        if draft.ended {
            answer.nil();
            answer.bytes(b"seen eof");
            return Ok(());
        }
        let line = call.given(1).is_true();
        let before = draft.body.len();
        let refusal = append_all(call, &mut draft.body, limit).map_err(|(at, error)| {
            let name = if line { "say" } else { "print" };
            format!("bad argument #{at} to '{name}' ({error})")
        });
        if line {
            draft.body.push(b'\n');
        }
        let too_large = || format!("the response is larger than `response_limit` ({limit} bytes)");
        let refusal = refusal.and_then(|()| if draft.body.len() > limit { Err(too_large()) } else { Ok(()) });
        if let Err(refusal) = refusal {
            draft.body.truncate(before);
            answer.bytes(refusal.as_bytes());
            return Ok(());
        }
        draft.begun |= draft.body.len() > before;
        Ok(())
    })?;
    host.set("write", write)?;

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
            Ok(sent || request.draft.borrow().begun)
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

/// Appends what `ngx.print` writes of the arguments after the first, up to a little more than the limit; otherwise which of them
/// cannot be written, and why.
fn append_all(call: &Call<'_>, into: &mut Vec<u8>, limit: usize) -> Result<(), (usize, String)> {
    for index in 2..=i32::try_from(call.count()).unwrap_or(i32::MAX) {
        let at = || usize::try_from(index - 1).unwrap_or(0);
        match call.given(index) {
            Given::Table => {
                let mut walk = call.walk();
                walk.push_argument(index);
                append_table(&mut walk, into, (limit, 0)).map_err(|error| (at(), error))?;
            }
            value => append(value, into).map_err(|name| {
                let expected = "string, number, boolean, nil, ngx.null, or array table expected, but got";
                (at(), format!("{expected} {name}"))
            })?,
        }
        if into.len() > limit {
            return Ok(());
        }
    }
    Ok(())
}

/// Appends a value that is no table; the name of its type if it cannot be written.
fn append(value: Given<'_>, into: &mut Vec<u8>) -> Result<(), &'static str> {
    match value {
        Given::Text(text) => into.extend_from_slice(text),
        Given::Nil | Given::Nothing => into.extend_from_slice(b"nil"),
        Given::Null => into.extend_from_slice(b"null"),
        Given::Boolean(flag) => into.extend_from_slice(if flag { b"true" } else { b"false" }),
        Given::Number(number) => super::number_into(number, 14, into),
        Given::Table | Given::Other(_) => return Err(value.type_name()),
    }
    Ok(())
}

/// Appends the elements of the table that was reached.
fn append_table(walk: &mut Walk<'_>, into: &mut Vec<u8>, (limit, depth): (usize, usize)) -> Result<(), String> {
    if depth == DEPTH_LIMIT || !walk.room(4) {
        return Err("bad data type table found".to_owned());
    }
    walk.begin();
    while walk.next() {
        let is_index = matches!(walk.below(), Given::Number(at) if at > 0.0 && at.fract() == 0.0);
        walk.pop(1);
        if !is_index {
            return Err("non-array table found".to_owned());
        }
    }
    for index in 1..=walk.len() {
        if into.len() > limit {
            return Ok(());
        }
        walk.element(index);
        match walk.top() {
            Given::Table => append_table(walk, into, (limit, depth + 1))?,
            value => append(value, into).map_err(|name| format!("bad data type {name} found"))?,
        }
        walk.pop(1);
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
    let value = with_headers(request, |headers| super::request::values(lua, headers, &name))??;
    if value.is_nil() && name == CONTENT_TYPE && request.exchange(|exchange| exchange.response.is_none())? {
        return Ok(LuaNil);
    }
    Ok(value)
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
    let name = core.field_names.with(written, HeaderName::clone).ok_or_else(|| refused(FieldError::InvalidName))?;
    if name == CONTENT_LENGTH {
        // The gateway knows the length of what it sends.
        return Ok(());
    }
    let single = side == Side::Response && name == CONTENT_TYPE;
    let begin = if add && !single { Edit::append } else { Edit::set };
    let edits = match values.map_or(Given::Nothing, |index| call.given(index)) {
        Given::Nil | Given::Nothing | Given::Null if add => return Ok(()),
        Given::Nil | Given::Nothing | Given::Null => (Edit::remove(name, side).map_err(refused)?, Vec::new()),
        Given::Table => {
            let mut edits = Vec::new();
            let mut walk = call.walk();
            walk.push_argument(values.unwrap_or(0));
            let last = if single { 1 } else { walk.len() };
            for index in 1..=last {
                walk.element(index);
                if walk.top().is_nil() {
                    break;
                }
                let edit = if index == 1 { begin } else { Edit::append };
                edits.push(edit(name.clone(), field_value(walk.top())?, side).map_err(refused)?);
                walk.pop(1);
            }
            let mut edits = edits.into_iter();
            match edits.next() {
                Some(first) => (first, edits.collect()),
                None if add => return Ok(()),
                None => (Edit::remove(name, side).map_err(refused)?, Vec::new()),
            }
        }
        given => (begin(name, field_value(given)?, side).map_err(refused)?, Vec::new()),
    };
    let made = request.change(side, edits);
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
