//! `ngx.var`: the variables of nginx that mean something here. docs/lua/compatibility.md lists them.

use std::net::IpAddr;
use std::rc::Rc;

use http::Version;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, REFERER, USER_AGENT};
use mlua::prelude::*;
use witgate_stage::Exchange;

use super::{SEES_REQUEST, request_in};
use crate::clock::time_of_day;
use crate::raw::{Fault, Given, function};
use crate::request::Request;
use crate::vm::Core;

/// Longest value of a variable that a script sets.
const VALUE_LIMIT: usize = 64 * 1024;
/// Most variables of one request.
const VARIABLES_LIMIT: usize = 256;

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    let shared = Rc::clone(core);
    // `__index` of `ngx.var`: of the table, and a name.
    let var = function(lua, &[], move |call, answer| {
        let request = request_in(&shared, SEES_REQUEST)?;
        let name = match call.given(2) {
            Given::Text(name) => name,
            // Captures of a location's expression: routes have none.
            Given::Number(_) => {
                answer.nil();
                return Ok(());
            }
            _ => return Err(Fault::new("bad variable name")),
        };
        // By far the most frequent, so before all others, and without a copy.
        if let Some(field) = name.strip_prefix(b"http_").filter(|field| *field != b"host" && !field.contains(&b'-')) {
            let is_one = request.exchange(|exchange| {
                shared.field_names.with(field, |field| {
                    let mut all = exchange.request.headers.get_all(field).iter();
                    all.next().filter(|_| all.next().is_none()).map(|value| answer.bytes(value.as_bytes()))
                })
            });
            if let Ok(Some(Some(()))) = is_one {
                return Ok(());
            }
        }
        let Ok(name) = std::str::from_utf8(name) else {
            return Err(Fault::new("a variable's name is text in UTF-8"));
        };
        match read(&request, name) {
            Ok(Some(value)) => answer.bytes(&value),
            Ok(None) => answer.nil(),
            Err(error) => return Err(Fault::new(crate::vm::describe(&error))),
        }
        Ok(())
    })?;
    host.set("var", var)?;
    let shared = Rc::clone(core);
    host.set(
        "set_var",
        lua.create_function(move |_, (name, value): (LuaString, LuaValue)| {
            let request = shared.request()?;
            super::install::told(write(&request, &name.to_string_lossy(), &value))
        })?,
    )
}

fn write(request: &Request, name: &str, value: &LuaValue) -> LuaResult<()> {
    if name == "args" {
        return Err(LuaError::runtime("use `ngx.req.set_uri_args` to change the query"));
    }
    let Some(name) = own_name(request, name) else {
        return Err(LuaError::runtime(format!(
            "variable \"{name}\" not found for writing; it is built in, or missing in `variables` of the script"
        )));
    };
    let mut variables = request.variables.borrow_mut();
    let bytes = match value {
        LuaValue::Nil => None,
        LuaValue::String(text) => Some(text.as_bytes().to_vec()),
        LuaValue::Boolean(_) | LuaValue::Integer(_) | LuaValue::Number(_) => Some(value.to_string()?.into_bytes()),
        other => return Err(LuaError::runtime(format!("bad variable value: a {}", other.type_name()))),
    };
    if bytes.as_ref().is_some_and(|bytes| bytes.len() > VALUE_LIMIT) || variables.len() > VARIABLES_LIMIT {
        return Err(LuaError::runtime(format!("a variable has at most {VALUE_LIMIT} bytes")));
    }
    variables.insert(name, bytes);
    Ok(())
}

fn read(request: &Request, name: &str) -> LuaResult<Option<Vec<u8>>> {
    if let Some(own) = request.variables.borrow().get(name) {
        return Ok(own.clone());
    }
    let value = built_in(request, name)?;
    // The case of names does not count.
    if value.is_some() || !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(value);
    }
    match own_name(request, name) {
        Some(own) => Ok(request.variables.borrow().get(&own).cloned().flatten()),
        None => built_in(request, &name.to_ascii_lowercase()),
    }
}

/// The name of a script's own variable as the configuration writes it.
fn own_name(request: &Request, name: &str) -> Option<String> {
    let variables = request.variables.borrow();
    if variables.contains_key(name) {
        return Some(name.to_owned());
    }
    variables.keys().find(|own| own.eq_ignore_ascii_case(name)).cloned()
}

fn built_in(request: &Request, name: &str) -> LuaResult<Option<Vec<u8>>> {
    if name == "request_body" {
        return Ok(request.body.borrow().as_ref().filter(|body| !body.is_empty()).map(|body| body.to_vec()));
    }
    if name == "status" {
        let status = request.exchange(|exchange| {
            let ended = exchange.ended.as_ref().and_then(|ended| ended.status);
            ended.or(exchange.response.as_ref().map(|response| response.status)).map(|status| status.as_u16())
        })?;
        let status = status.or(request.draft.borrow().status).unwrap_or(0);
        return Ok(Some(format!("{status:03}").into_bytes()));
    }
    if let Some(field) = name.strip_prefix("sent_http_") {
        let has_response = request.exchange(|exchange| exchange.response.is_some())?;
        if !has_response {
            return Ok(joined(&request.draft.borrow().headers, field));
        }
    }
    request.exchange(|exchange| of(exchange, request, name))
}

/// All values of a field whose name is written as in a variable.
fn joined(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    with_dashes(name, |name| joined_field(headers, name))
}

/// All values of a field.
fn joined_field(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let all = headers.get_all(name);
    let separator: &[u8] = if name.eq_ignore_ascii_case(COOKIE.as_str()) { b"; " } else { b", " };
    let mut all = all.iter();
    let mut value = all.next()?.as_bytes().to_vec();
    for next in all {
        value.extend_from_slice(separator);
        value.extend_from_slice(next.as_bytes());
    }
    Some(value)
}

/// Longest name of a field in a variable.
const NAME_LIMIT: usize = 128;

/// The name of a field with dashes for underscores.
fn with_dashes<T>(name: &str, with: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    if name.contains('-') {
        return None;
    }
    let mut buffer = [0; NAME_LIMIT];
    let buffer = buffer.get_mut(..name.len())?;
    buffer.copy_from_slice(name.as_bytes());
    buffer.iter_mut().filter(|byte| **byte == b'_').for_each(|byte| *byte = b'-');
    with(std::str::from_utf8(buffer).ok()?)
}

fn of(exchange: &Exchange, request: &Request, name: &str) -> Option<Vec<u8>> {
    let head = &exchange.request;
    let text = |text: &str| Some(text.as_bytes().to_vec());
    match name {
        "uri" | "document_uri" => Some(decoded(head.path.path())),
        "request_uri" | "unparsed_uri" => text(exchange.original.target.as_str()),
        "request_method" => text(head.method.as_str()),
        "args" | "query_string" => match head.path.query().filter(|query| !query.is_empty()) {
            Some(query) => text(query),
            // One that a script has emptied is there.
            None => request.query_set.get().then(Vec::new),
        },
        "is_args" => text(if head.path.query().is_some_and(|query| !query.is_empty()) { "?" } else { "" }),
        "request" => text(&request_line(exchange)),
        "server_protocol" => text(protocol(exchange.version)),
        "scheme" => text(if exchange.client.tls { "https" } else { "http" }),
        "https" => text(if exchange.client.tls { "on" } else { "" }),
        "ssl_server_name" => exchange.client.sni.as_deref().and_then(text),
        "host" | "server_name" => host(exchange).map(|host| host.to_ascii_lowercase().into_bytes()),
        "http_host" => authority(exchange).map(String::into_bytes),
        "server_port" => Some(exchange.client.local.port().to_string().into_bytes()),
        "server_addr" => Some(exchange.client.local.ip().to_canonical().to_string().into_bytes()),
        "remote_addr" => Some(exchange.client.address.ip().to_canonical().to_string().into_bytes()),
        "remote_port" => Some(exchange.client.address.port().to_string().into_bytes()),
        "binary_remote_addr" => Some(match exchange.client.address.ip().to_canonical() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        }),
        // Of a body whose end only its last chunk tells, once that has come.
        "content_length" => joined_field(&head.headers, CONTENT_LENGTH.as_str()).or_else(|| {
            let body = request.body.borrow();
            body.as_ref().filter(|body| !body.is_empty()).map(|body| body.len().to_string().into_bytes())
        }),
        "content_type" => joined_field(&head.headers, CONTENT_TYPE.as_str()),
        "http_user_agent" => joined_field(&head.headers, USER_AGENT.as_str()),
        "http_referer" => joined_field(&head.headers, REFERER.as_str()),
        "request_id" => text(&exchange.id),
        "route" => text(&exchange.route),
        "request_time" => {
            let took = time_of_day().saturating_sub(request.begun);
            Some(format!("{}.{:03}", took.as_secs(), took.subsec_millis()).into_bytes())
        }
        "bytes_sent" | "body_bytes_sent" => {
            Some(exchange.ended.as_ref().map_or(0, |ended| ended.bytes_out).to_string().into_bytes())
        }
        "request_length" => {
            let read =
                || request.body.borrow().as_ref().map_or(0, |body| u64::try_from(body.len()).unwrap_or(u64::MAX));
            let body = exchange.ended.as_ref().map_or_else(read, |ended| ended.bytes_in);
            let head = exchange.original.head_length.unwrap_or_else(|| head_length(exchange));
            Some(head.saturating_add(body).to_string().into_bytes())
        }
        "msec" => {
            let now = time_of_day();
            Some(format!("{}.{:03}", now.as_secs(), now.subsec_millis()).into_bytes())
        }
        "pid" => Some(std::process::id().to_string().into_bytes()),
        "nginx_version" => text(super::install::NGINX_VERSION),
        "upstream_name" => exchange.upstream.as_deref().and_then(text),
        "upstream_status" => exchange.response.as_ref().and_then(|response| text(response.status.as_str())),
        "connection" | "connection_requests" => None,
        _ => prefixed(exchange, name),
    }
}

fn prefixed(exchange: &Exchange, name: &str) -> Option<Vec<u8>> {
    let head = &exchange.request;
    if let Some(field) = name.strip_prefix("http_") {
        return joined(&head.headers, field);
    }
    if let Some(field) = name.strip_prefix("sent_http_").or_else(|| name.strip_prefix("upstream_http_")) {
        return joined(&exchange.response.as_ref()?.headers, field);
    }
    if let Some(argument) = name.strip_prefix("arg_") {
        // A flag has no value.
        let pairs = head.path.query()?.split('&').filter_map(|pair| pair.split_once('='));
        let mut named = pairs.filter(|(key, _)| key.eq_ignore_ascii_case(argument));
        return named.next().map(|(_, value)| value.as_bytes().to_vec());
    }
    if let Some(cookie) = name.strip_prefix("cookie_") {
        let pairs = head.headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
        for pair in pairs {
            let pair = pair.trim_ascii();
            let Some(at) = memchr::memchr(b'=', pair) else { continue };
            let (key, value) = pair.split_at(at);
            if key.eq_ignore_ascii_case(cookie.as_bytes()) {
                return Some(value.get(1..).unwrap_or_default().to_vec());
            }
        }
    }
    None
}

/// The first line of the request as it came.
pub(super) fn request_line(exchange: &Exchange) -> String {
    format!("{} {} {}", exchange.original.method, exchange.original.target, protocol(exchange.version))
}

/// Bytes of the request's head as HTTP/1 would write it.
fn head_length(exchange: &Exchange) -> u64 {
    let fields = exchange.request.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    u64::try_from(request_line(exchange).len() + fields.sum::<usize>() + "\r\n\r\n".len()).unwrap_or(u64::MAX)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// The host and port that the client asked for.
pub(crate) fn authority(exchange: &Exchange) -> Option<String> {
    let field = || exchange.request.headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    exchange.authority.as_deref().map(str::to_owned).or_else(field)
}

fn host(exchange: &Exchange) -> Option<String> {
    let authority = authority(exchange)?;
    let name = match authority.rfind(':') {
        Some(at) if !authority.get(at..).unwrap_or_default().contains(']') => authority.get(..at).unwrap_or_default(),
        _ => &authority,
    };
    Some(name.to_owned())
}

fn decoded(path: &str) -> Vec<u8> {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.first_chunk::<2>().filter(|_| *first == b'%');
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match byte {
            Some(byte) => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}
