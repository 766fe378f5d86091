//! What there is to be named: read from a VM as scripts get it, so that it cannot be out of date.

use std::collections::{BTreeMap, BTreeSet};

use mlua::prelude::*;

use super::module;
use crate::api::builtin::REFUSED;
use crate::app::{App, AppSpec, Trust};
use crate::vm::Vm;
use crate::{Phase, ScriptError};

/// Tables whose fields are made when they are asked for, or by scripts.
const OPEN: [&str; 10] = [
    "_G",
    "ngx.var",
    "ngx.ctx",
    "ngx.header",
    "ngx.shared",
    "ngx.arg",
    "golapis",
    "go",
    "package.loaded",
    "package.preload",
];

/// Tables in tables: `ngx.re.match` is the deepest function.
const DEPTH: usize = 3;

/// The names that scripts of a trust see.
#[derive(Debug)]
pub struct Vocabulary {
    names: BTreeSet<String>,
    tables: BTreeSet<String>,
    modules: BTreeSet<String>,
    refused: BTreeMap<String, String>,
}

impl Vocabulary {
    /// Makes a VM and reads it.
    ///
    /// # Errors
    /// There can be no VM.
    pub fn new(trust: Trust) -> Result<Self, ScriptError> {
        let spec = AppSpec { name: "vocabulary".into(), trust, ..AppSpec::default() };
        let app = App::begin(spec, BTreeMap::new(), None, 1);
        let vm = Vm::new(app.app())?;
        let mut made = Self {
            names: BTreeSet::new(),
            tables: BTreeSet::new(),
            modules: BTreeSet::new(),
            refused: BTreeMap::new(),
        };
        made.read(vm.lua()).map_err(|error| ScriptError::Start(error.to_string()))?;
        Ok(made)
    }

    fn read(&mut self, lua: &Lua) -> LuaResult<()> {
        let globals = lua.globals();
        self.visit(&globals, "", 0)?;
        let package: LuaTable = globals.get("package")?;
        let require: LuaFunction = globals.get("require")?;
        for list in ["loaded", "preload"] {
            let list: LuaTable = package.get(list)?;
            let names = list.pairs::<String, LuaValue>().map(|pair| pair.map(|(name, _)| name));
            self.modules.extend(names.collect::<LuaResult<Vec<_>>>()?);
        }
        for name in self.modules.clone() {
            // One that wants a request to be loaded has fields that nobody knows here.
            if let Ok(LuaValue::Table(table)) = require.call::<LuaValue>(&*name) {
                self.fields(&table, &module(&name))?;
            }
        }
        let refused: LuaTable = lua.named_registry_value(REFUSED)?;
        self.refused = refused.pairs::<String, String>().collect::<LuaResult<_>>()?;
        Ok(())
    }

    fn visit(&mut self, table: &LuaTable, path: &str, depth: usize) -> LuaResult<()> {
        for pair in table.pairs::<LuaValue, LuaValue>() {
            let (LuaValue::String(name), value) = pair? else { continue };
            let name = name.to_string_lossy();
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if let (LuaValue::Table(inner), true) = (&value, depth < DEPTH && !OPEN.contains(&path.as_str())) {
                self.tables.insert(path.clone());
                self.visit(inner, &path, depth + 1)?;
            }
            self.names.insert(path);
        }
        Ok(())
    }

    /// As [`Self::visit`], without what is in tables of the table.
    fn fields(&mut self, table: &LuaTable, path: &str) -> LuaResult<()> {
        self.tables.insert(path.to_owned());
        for pair in table.pairs::<LuaValue, LuaValue>() {
            if let (LuaValue::String(name), _) = pair? {
                self.names.insert(format!("{path}.{}", name.to_string_lossy()));
            }
        }
        Ok(())
    }

    /// Whether something is there.
    pub fn has(&self, path: &str) -> bool {
        self.names.contains(path)
    }

    /// Whether all that a table can have is known.
    pub fn is_table(&self, path: &str) -> bool {
        self.tables.contains(path)
    }

    /// Everything that is there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Modules that are part of the gateway.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.iter().map(String::as_str)
    }

    /// Why a function of Lua's own does nothing but fail, or what to do instead.
    pub fn refused(&self, path: &str) -> Option<&str> {
        self.refused.get(path).map(String::as_str)
    }
}

/// Phases in which functions can be called, for those that cannot be called in all. The API itself refuses calls in others; a
/// test holds one against the other.
const PHASES: [(&[&str], &[Phase]); 4] = [
    (
        &[
            "ngx.print",
            "ngx.say",
            "ngx.flush",
            "ngx.send_headers",
            "ngx.eof",
            "ngx.redirect",
            "ngx.exec",
            "ngx.on_abort",
            "ngx.req.read_body",
            "ngx.req.discard_body",
            "ngx.req.set_body_data",
            "ngx.req.init_body",
            "ngx.req.append_body",
            "ngx.req.finish_body",
            "ngx.location.capture",
            "ngx.location.capture_multi",
            "ngx.sleep",
            "ngx.thread.spawn",
            "ngx.thread.wait",
            "ngx.thread.kill",
            "ngx.socket.tcp",
            "ngx.socket.stream",
            "ngx.socket.connect",
            "ngx.socket.udp",
        ],
        &[Phase::Rewrite, Phase::Access, Phase::Content],
    ),
    (&["ngx.exit"], &[Phase::Rewrite, Phase::Access, Phase::Content, Phase::HeaderFilter, Phase::Balancer]),
    (
        &[
            "ngx.req.set_header",
            "ngx.req.clear_header",
            "ngx.req.set_uri",
            "ngx.req.set_uri_args",
            "ngx.req.set_method",
            "ngx.req.get_body_data",
            "ngx.req.get_body_file",
            "ngx.req.get_post_args",
        ],
        &[Phase::Rewrite, Phase::Access, Phase::Content, Phase::HeaderFilter, Phase::BodyFilter, Phase::Balancer],
    ),
    (
        // In `init` and `init_worker` there is no request.
        &[
            "ngx.req.get_method",
            "ngx.req.get_headers",
            "ngx.req.get_uri_args",
            "ngx.req.raw_header",
            "ngx.req.http_version",
            "ngx.req.start_time",
            "ngx.req.is_internal",
            "ngx.resp.get_headers",
        ],
        &Phase::ALL,
    ),
];

/// The phases of requests in which a function can be called; none: it can be called everywhere. Those that are here cannot be
/// called in `init` and `init_worker`.
pub fn phases_of(function: &str) -> Option<&'static [Phase]> {
    PHASES.iter().find(|(functions, _)| functions.contains(&function)).map(|(_, phases)| *phases)
}
