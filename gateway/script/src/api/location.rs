//! Requests to the gateway's own routes: `ngx.location.capture` and `ngx.exec`.

use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use http::uri::PathAndQuery;
use mlua::prelude::*;

use crate::request::Results;
use crate::subrequest::{Extent, Subrequest, Subresponse};
use crate::vm::Core;

/// Subrequests at once.
const LIMIT: usize = 64;

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    let shared = Rc::clone(core);
    // Begins requests, from tables with method, path and body; the operation's results are tables, or messages, and what of
    // the first one's body there is. Gives a message instead of a number if it cannot begin.
    host.set("capture", lua.create_function(move |lua, wanted: Vec<LuaTable>| begin(lua, &shared, &wanted))?)
}

fn begin(lua: &Lua, core: &Rc<Core>, wanted: &[LuaTable]) -> LuaResult<LuaValue> {
    let told = |message: String| lua.create_string(message).map(LuaValue::String);
    let Some(subrequests) = &core.app.subrequests else {
        return told(format!(
            "requests to routes are not granted: add \"routes\" to `grants` of [lua.{}]",
            core.app.spec.name
        ));
    };
    if wanted.len() > LIMIT {
        return told(format!("expected at most {LIMIT} subrequests at once, got {}", wanted.len()));
    }
    let request = core.request()?;
    let mut begun = Vec::new();
    for one in wanted {
        let (method, path): (LuaString, LuaString) = (one.get("method")?, one.get("path")?);
        let body: Option<LuaString> = one.get("body")?;
        let path = super::request::escaped_target(&path.to_string_lossy());
        let (Ok(method), Ok(path)) = (Method::from_bytes(&method.as_bytes()), path.parse::<PathAndQuery>()) else {
            return told(format!("not a path: `{path}`"));
        };
        let asked = request.exchange(|exchange| Subrequest {
            method,
            path,
            host: super::var::authority(exchange),
            headers: exchange.request.headers.clone(),
            body: body.map(|body| Bytes::copy_from_slice(&body.as_bytes())).unwrap_or_default(),
            client: exchange.client.clone(),
            depth: exchange.depth + 1,
            limit: core.app.spec.limits.response,
        })?;
        begun.push(subrequests.serve(asked));
    }
    let operation = request.begin(async move {
        let responses = join_all(begun).await;
        Results::Made(Box::new(move |lua: &Lua| {
            let extent = responses.first().and_then(|response| response.as_ref().ok()).map(|response| response.extent);
            let extent = lua.create_string(extent.map_or("", Extent::label)).map(LuaValue::String);
            let tables = responses.into_iter().map(|response| match response {
                Ok(response) => table(lua, &response).map(LuaValue::Table),
                Err(message) => lua.create_string(message).map(LuaValue::String),
            });
            tables.chain([extent]).collect::<LuaResult<LuaMultiValue>>()
        }))
    });
    i64::try_from(operation).map(LuaValue::Integer).map_err(LuaError::external)
}

fn table(lua: &Lua, response: &Subresponse) -> LuaResult<LuaTable> {
    let table = lua.create_table()?;
    table.set("status", response.status.as_u16())?;
    table.set("truncated", response.extent != Extent::Whole)?;
    table.set("body", lua.create_string(&*response.body)?)?;
    let header = super::request::fields(lua, &response.headers, 0, true)?.0;
    table.set("header", header)?;
    Ok(table)
}
