//! The request: `ngx.req`.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Version};
use mlua::prelude::*;
use witgate_stage::{Edit, FieldError, Side};

use super::install::told;
use super::output::set_field;
use super::{CHANGES_REQUEST, request_in};
use crate::raw::{Fault, Given, function};
use crate::request::{Request, results};
use crate::vm::Core;

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    heads(lua, host, core)?;
    targets(lua, host, core)?;
    peers(lua, host, core)?;
    bodies(lua, host, core)
}

fn heads(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    let shared = Rc::clone(core);
    host.set(
        "method",
        lua.create_function(move |lua, ()| {
            let method = shared.request()?.exchange(|exchange| exchange.request.method.clone())?;
            lua.create_string(method.as_str())
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set(
        "set_method",
        lua.create_function(move |_, name: LuaString| {
            told(
                Method::from_bytes(&name.as_bytes())
                    .map_err(|_| LuaError::runtime(format!("unsupported HTTP method: {}", name.to_string_lossy())))
                    .and_then(|method| shared.request()?.set_method(method)),
            )
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set(
        "request_fields",
        lua.create_function(move |lua, (limit, raw): (usize, bool)| {
            shared.request()?.exchange(|exchange| fields(lua, &exchange.request.headers, limit, raw))?
        })?,
    )?;
    let shared = Rc::clone(core);
    let set_header = function(lua, &[-1], move |call, _| {
        let request = request_in(&shared, CHANGES_REQUEST)?;
        if call.text(1).is_none() {
            let given = call.given(1);
            let got = if given == Given::Nothing { "nil" } else { given.type_name() };
            return Err(Fault::new(format!("bad 'name' argument: string expected, got {got}")));
        }
        set_field(&shared, &request, (call, Some(2)), (Side::Request, false)).map_err(Fault::new)
    })?;
    host.set("set_request_header", set_header)?;
    let shared = Rc::clone(core);
    let add_header = function(lua, &[-1], move |call, _| {
        let request = request_in(&shared, CHANGES_REQUEST)?;
        set_field(&shared, &request, (call, Some(2)), (Side::Request, true)).map_err(Fault::new)
    })?;
    host.set("add_request_header", add_header)?;
    let shared = Rc::clone(core);
    let clear_header = function(lua, &[1], move |call, _| {
        let request = request_in(&shared, CHANGES_REQUEST)?;
        set_field(&shared, &request, (call, None), (Side::Request, false)).map_err(Fault::new)
    })?;
    host.set("clear_request_header", clear_header)?;
    let shared = Rc::clone(core);
    host.set(
        "http_version",
        lua.create_function(move |_, ()| {
            let version = shared.request()?.exchange(|exchange| exchange.version)?;
            Ok(match version {
                Version::HTTP_09 => 0.9,
                Version::HTTP_10 => 1.0,
                Version::HTTP_2 => 2.0,
                Version::HTTP_3 => 3.0,
                _ => 1.1,
            })
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set(
        "start_time",
        lua.create_function(move |_, ()| {
            let begun = shared.request()?.begun;
            Ok((begun.as_secs_f64() * 1000.0).floor() / 1000.0)
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set(
        "raw_header",
        lua.create_function(move |lua, without_line: bool| {
            let text = shared.request()?.exchange(|exchange| {
                let mut text = Vec::new();
                let head = &exchange.request;
                if !without_line {
                    text.extend_from_slice(super::var::request_line(exchange).as_bytes());
                    text.extend_from_slice(b"\r\n");
                }
                for (name, value) in &head.headers {
                    text.extend_from_slice(name.as_str().as_bytes());
                    text.extend_from_slice(b": ");
                    text.extend_from_slice(value.as_bytes());
                    text.extend_from_slice(b"\r\n");
                }
                text.extend_from_slice(b"\r\n");
                text
            })?;
            lua.create_string(text)
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set("depth", lua.create_function(move |_, ()| shared.request()?.exchange(|exchange| exchange.depth))?)
}

/// All values of a field: nil, text, or a table of texts.
pub(super) fn values(lua: &Lua, headers: &HeaderMap, name: &HeaderName) -> LuaResult<LuaValue> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(LuaNil),
        (Some(one), None) => lua.create_string(one.as_bytes()).map(LuaValue::String),
        (Some(one), Some(other)) => {
            let table = lua.create_table()?;
            for value in [one, other].into_iter().chain(all) {
                table.raw_push(lua.create_string(value.as_bytes())?)?;
            }
            Ok(LuaValue::Table(table))
        }
    }
}

/// Fields as a table, at most `limit` of them (0: all), and whether there are more.
pub(crate) fn fields(lua: &Lua, headers: &HeaderMap, limit: usize, raw: bool) -> LuaResult<(LuaTable, bool)> {
    let table = lua.create_table()?;
    let limit = if limit == 0 { usize::MAX } else { limit };
    let mut count = 0;
    for name in headers.keys() {
        let all = headers.get_all(name).iter().take(limit - count).collect::<Vec<&HeaderValue>>();
        count += all.len();
        let key = if raw { lua.create_string(title(name.as_str()))? } else { lua.create_string(name.as_str())? };
        match all.as_slice() {
            [] => {}
            [one] => table.raw_set(key, lua.create_string(one.as_bytes())?)?,
            several => {
                let list = lua.create_table()?;
                for value in several {
                    list.raw_push(lua.create_string(value.as_bytes())?)?;
                }
                table.raw_set(key, list)?;
            }
        }
        if count >= limit {
            break;
        }
    }
    Ok((table, headers.len() > count))
}

/// Names have lost their case on the way; most were written like this.
fn title(name: &str) -> String {
    let mut up = true;
    let turn = |letter: char| {
        let turned = if up { letter.to_ascii_uppercase() } else { letter };
        up = letter == '-';
        turned
    };
    name.chars().map(turn).collect()
}

fn peers(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    let shared = Rc::clone(core);
    // The endpoint that the request goes to; a message if there can be no such address.
    host.set(
        "set_peer",
        lua.create_function(move |_, (address, port): (LuaString, i64)| {
            let request = shared.request()?;
            let text = address.to_string_lossy();
            let address = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
            let (Some(address), Ok(port)) = (address, u16::try_from(port)) else {
                return Ok(Some(format!("expected an IP address and a port, got `{text}` and {port}")));
            };
            request.set_endpoint(SocketAddr::new(address, port))?;
            Ok(None)
        })?,
    )
}

fn targets(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    let shared = Rc::clone(core);
    host.set(
        "query",
        lua.create_function(move |lua, ()| {
            let path = shared.request()?.exchange(|exchange| exchange.request.path.clone())?;
            path.query().map(|query| lua.create_string(query)).transpose()
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set(
        "set_query",
        lua.create_function(move |_, query: Option<LuaString>| {
            let request = shared.request()?;
            let path = request.exchange(|exchange| exchange.request.path.path().to_owned())?;
            request.query_set.set(query.is_some());
            let query = query.map(|query| query.to_string_lossy()).unwrap_or_default();
            told(set_target(&request, &if query.is_empty() { path } else { format!("{path}?{query}") }))
        })?,
    )?;
    let shared = Rc::clone(core);
    // `path` is escaped already.
    host.set(
        "set_path",
        lua.create_function(move |_, path: LuaString| {
            let request = shared.request()?;
            let path = path.to_string_lossy();
            let query = request.exchange(|exchange| exchange.request.path.query().map(str::to_owned))?;
            let has_query = path.contains('?');
            let target = match query {
                Some(query) if !has_query => format!("{path}?{query}"),
                _ => path,
            };
            told(set_target(&request, &target))
        })?,
    )
}

fn set_target(request: &Request, target: &str) -> LuaResult<()> {
    let text = escaped_target(target);
    if !text.starts_with('/') {
        return Err(LuaError::runtime(format!("expected a path that begins with `/`, got `{text}`")));
    }
    let refused = |error: FieldError| LuaError::runtime(format!("not a path: `{text}`: {error}"));
    let edit = Edit::path(&text).map_err(refused)?;
    request.change(Side::Request, (edit, Vec::new()))?.map_err(refused)
}

/// A path and query with everything escaped that cannot stand in a request line.
pub(super) fn escaped_target(target: &str) -> String {
    target.chars().flat_map(escape_control).collect()
}

/// What cannot stand in a request line, in hexadecimal.
fn escape_control(letter: char) -> Vec<char> {
    if letter.is_ascii_graphic() && !matches!(letter, '"' | '<' | '>' | '`' | '#' | '{' | '}' | '\\' | '^' | '|') {
        return vec![letter];
    }
    let mut bytes = [0; 4];
    letter.encode_utf8(&mut bytes).bytes().flat_map(|byte| format!("%{byte:02X}").chars().collect::<Vec<_>>()).collect()
}

fn bodies(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    let shared = Rc::clone(core);
    // Begins to read the body; nothing if it is there already.
    host.set(
        "read_body",
        lua.create_function(move |_, ()| {
            let request = shared.request()?;
            if request.body.borrow().is_some() {
                return Ok(None);
            }
            let desk = request.exchange(|exchange| exchange.desk.clone())?;
            let ready = match &desk {
                Some(desk) => desk.body(),
                None => Some(Bytes::new()),
            };
            if let Some(body) = ready {
                *request.body.borrow_mut() = Some(body);
                return Ok(None);
            }
            let Some(desk) = desk else { return Ok(None) };
            let waiting = Rc::downgrade(&request);
            let operation = request.begin(async move {
                let body = std::future::poll_fn(|context| desk.poll_body(context)).await;
                if let Some(request) = waiting.upgrade() {
                    *request.body.borrow_mut() = Some(body);
                }
                results(|_| ())
            });
            Ok(Some(operation))
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set(
        "body",
        lua.create_function(move |lua, ()| {
            let request = shared.request()?;
            let body = request.body.borrow().clone();
            body.filter(|body| !body.is_empty()).map(|body| lua.create_string(&*body)).transpose()
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set("body_is_read", lua.create_function(move |_, ()| Ok(shared.request()?.body.borrow().is_some()))?)?;
    let shared = Rc::clone(core);
    host.set(
        "set_body",
        lua.create_function(move |_, body: LuaString| {
            let request = shared.request()?;
            let bytes = Bytes::copy_from_slice(&body.as_bytes());
            let desk = request.exchange(|exchange| exchange.desk.clone())?;
            let Some(desk) = desk else {
                let message = "a request without a body cannot get one";
                return Ok((!bytes.is_empty()).then(|| message.to_owned()));
            };
            desk.give(bytes.clone());
            request.set_body_length(bytes.len())?;
            *request.body.borrow_mut() = Some(bytes);
            Ok(None)
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set(
        "content_type",
        lua.create_function(move |lua, ()| {
            let value = shared.request()?.exchange(|exchange| exchange.request.headers.get(CONTENT_TYPE).cloned())?;
            value.map(|value| lua.create_string(value.as_bytes())).transpose()
        })?,
    )
}
