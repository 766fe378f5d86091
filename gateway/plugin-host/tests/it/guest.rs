//! Components for tests, and hosts to load them.

use std::sync::Arc;
use std::time::Duration;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;
use witgate_plugin_host::{
    Grants, HostSettings, Isolation, LoadError, LoadedPlugin, PluginHost, PluginLimits, PluginSpec,
};

/// A guest in pieces: bodies of functions in the text format, and a world.
#[derive(Clone)]
pub struct Guest {
    /// More imports of the world, such as `import witgate:plugin/kv@0.1.0;`.
    pub world_imports: String,
    pub world_exports: String,
    /// More items of the module, imports first.
    pub items: String,
    pub describe: String,
    pub configure: String,
    pub on_request: String,
    pub on_response: String,
    pub on_request_body: String,
    pub on_response_body: String,
    pub on_log: String,
    /// Done whenever the host wants memory.
    pub realloc: String,
    /// Pages of memory that it starts with.
    pub pages: usize,
}

/// Where `describe` finds what it answers.
const DESCRIPTION: usize = 256;
/// Text for answers and arguments.
pub const TEXT: usize = 512;
/// A zeroed place for answers: `ok` of `configure` and `continue` of the hooks.
pub const ANSWER: usize = 2048;

impl Default for Guest {
    /// Exports everything and does nothing.
    fn default() -> Self {
        Self {
            world_imports: String::new(),
            world_exports: "export witgate:plugin/lifecycle@0.1.0; \
                 export witgate:plugin/on-request-headers@0.1.0; \
                 export witgate:plugin/on-response-headers@0.1.0;"
                .into(),
            items: String::new(),
            describe: String::new(),
            configure: String::new(),
            on_request: String::new(),
            on_response: String::new(),
            on_request_body: String::new(),
            on_response_body: String::new(),
            on_log: String::new(),
            realloc: String::new(),
            pages: 2,
        }
    }
}

/// Whether the request has no body: the switch by which tests tell a guest to misbehave.
const WHEN_TOLD: &str = "(local.get $end)";

impl Guest {
    /// Does this in the request hook of exchanges that end with the head, and nothing in others.
    pub fn when_told(body: &str) -> Self {
        Self { on_request: format!("(if {WHEN_TOLD} (then {body}))"), ..Self::default() }
    }

    /// Does this in every request hook.
    pub fn on_request(body: &str) -> Self {
        Self { on_request: body.into(), ..Self::default() }
    }

    /// Exports every hook, takes bodies in chunks, and does this in each hook, which has `$request`, in response hooks
    /// `$response`, and in body hooks `$data` and `$length`.
    pub fn in_every_hook(body: &str) -> Self {
        let exports = witgate_stage::Hook::ALL.map(|hook| format!("export witgate:plugin/{}@0.1.0;", hook.label()));
        Self {
            world_exports: format!("export witgate:plugin/lifecycle@0.1.0; {}", exports.concat()),
            on_request: body.into(),
            on_response: body.into(),
            on_request_body: body.into(),
            on_response_body: body.into(),
            on_log: body.into(),
            ..Self::default()
        }
        // `interest`, of which nobody reads more in the answer of a hook that continues.
        .with_items(&format!(r#"(data (i32.const {}) "\01\01")"#, ANSWER + 4))
        .with_items("\n")
    }

    pub fn importing(mut self, interface: &str) -> Self {
        self.world_imports.push_str(&format!("import {interface};"));
        self
    }

    pub fn with_items(mut self, items: &str) -> Self {
        self.items.push_str(items);
        self
    }

    /// A text at [`TEXT`].
    pub fn with_text(self, text: &str) -> Self {
        self.with_items(&format!(r#"(data (i32.const {TEXT}) "{}")"#, text.escape_default()))
    }

    fn module(&self) -> String {
        let Self { items, describe, configure, on_request, on_response, pages, .. } = self;
        let Self { on_request_body, on_response_body, on_log, realloc, .. } = self;
        // Imports must come first in a module.
        let (imports, items): (Vec<&str>, Vec<&str>) =
            items.split_inclusive('\n').partition(|item| item.trim_start().starts_with("(import"));
        let (imports, items) = (imports.concat(), items.concat());
        let exported = |hook: &str| self.world_exports.contains(&format!("{hook}@0.1.0"));
        let lifecycle = exported("lifecycle").then(|| format!(
            r#"(func (export "witgate:plugin/lifecycle@0.1.0#describe") (result i32)
                 {describe}
                 (i32.store (i32.const {DESCRIPTION}) (i32.const 16)) (i32.store offset=4 (i32.const {DESCRIPTION}) (i32.const 4))
                 (i32.store offset=8 (i32.const {DESCRIPTION}) (i32.const 24)) (i32.store offset=12 (i32.const {DESCRIPTION}) (i32.const 5))
                 (i32.const {DESCRIPTION}))
               (func (export "witgate:plugin/lifecycle@0.1.0#configure") (param $at i32) (param $length i32) (result i32)
                 {configure} (i32.const {ANSWER}))"#
        ));
        let request = exported("on-request-headers").then(|| format!(
            r#"(func (export "witgate:plugin/on-request-headers@0.1.0#handle") (param $request i32) (param $end i32) (result i32)
                 (local $n i32)
                 (global.set $heap (i32.const 8192))
                 {on_request} (call $drop-request (local.get $request)) (i32.const {ANSWER}))"#
        ));
        let response = exported("on-response-headers").then(|| {
            format!(
                r#"(func (export "witgate:plugin/on-response-headers@0.1.0#handle")
                 (param $request i32) (param $response i32) (param $end i32) (result i32)
                 (global.set $heap (i32.const 8192))
                 {on_response} (call $drop-request (local.get $request)) (call $drop-response (local.get $response))
                 (i32.const {ANSWER}))"#
            )
        });
        let request_body = exported("on-request-body").then(|| {
            format!(
                r#"(func (export "witgate:plugin/on-request-body@0.1.0#handle")
                 (param $request i32) (param $data i32) (param $length i32) (param $end i32) (result i32)
                 (global.set $heap (i32.const 8192))
                 {on_request_body} (call $drop-request (local.get $request)) (i32.const {ANSWER}))"#
            )
        });
        let response_body = exported("on-response-body").then(|| {
            format!(
                r#"(func (export "witgate:plugin/on-response-body@0.1.0#handle")
                 (param $request i32) (param $response i32) (param $data i32) (param $length i32) (param $end i32) (result i32)
                 (global.set $heap (i32.const 8192))
                 {on_response_body} (call $drop-request (local.get $request)) (call $drop-response (local.get $response))
                 (i32.const {ANSWER}))"#
            )
        });
        let log = exported("on-log").then(|| {
            format!(
                r#"(func (export "witgate:plugin/on-log@0.1.0#handle")
                 (param $request i32) (param $answered i32) (param $response i32) (param $status i32)
                 (param i32 i32 i32 i32 i32 i32 i64 i64 i64)
                 (global.set $heap (i32.const 8192))
                 {on_log} (call $drop-request (local.get $request))
                 (if (local.get $answered) (then (call $drop-response (local.get $response)))))"#
            )
        });
        let drop_request = request.as_ref().or(response.as_ref()).map(
            |_| r#"(import "witgate:plugin/http@0.1.0" "[resource-drop]request" (func $drop-request (param i32)))"#,
        );
        let drop_response = response.as_ref().map(|_| {
            r#"(import "witgate:plugin/http@0.1.0" "[resource-drop]response-head" (func $drop-response (param i32)))"#
        });
        format!(
            r#"(module
              {} {}
              {imports}
              (memory (export "memory") {pages})
              (global $heap (mut i32) (i32.const 8192))
              (data (i32.const 16) "test") (data (i32.const 24) "1.0.0")
              {items}
              (func (export "cabi_realloc") (param i32 i32 i32 $size i32) (result i32)
                {realloc}
                (global.set $heap (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                (global.get $heap)
                (global.set $heap (i32.add (global.get $heap) (local.get $size))))
              {} {} {} {} {} {})"#,
            drop_request.unwrap_or_default(),
            drop_response.unwrap_or_default(),
            lifecycle.unwrap_or_default(),
            request.unwrap_or_default(),
            response.unwrap_or_default(),
            request_body.unwrap_or_default(),
            response_body.unwrap_or_default(),
            log.unwrap_or_default(),
        )
        .replace("(param i32 i32 i32 $size i32)", "(param i32 i32 i32) (param $size i32)")
    }

    /// The component.
    pub fn build(&self) -> Arc<[u8]> {
        self.build_against(&[])
    }

    /// The component, with more WIT packages to import from.
    pub fn build_against(&self, packages: &[&str]) -> Arc<[u8]> {
        let mut resolve = Resolve::default();
        resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).unwrap();
        for (n, package) in packages.iter().enumerate() {
            resolve.push_str(format!("{n}.wit"), package).unwrap();
        }
        let world = format!("package test:guest; world guest {{ {} {} }}", self.world_imports, self.world_exports);
        let package = resolve.push_str("guest.wit", &world).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        let mut module = wat::parse_str(self.module()).unwrap_or_else(|error| panic!("{error}\n{}", self.module()));
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap().into()
    }
}

pub const LIMITS: PluginLimits = PluginLimits::new(1 << 20, Duration::from_millis(30), 4);

pub fn host() -> PluginHost {
    PluginHost::new(HostSettings { instances_limit: 16, ..HostSettings::default() }).unwrap()
}

pub fn spec(wasm: Arc<[u8]>) -> PluginSpec {
    PluginSpec {
        name: "test".into(),
        wasm,
        config_json: "{}".into(),
        limits: LIMITS,
        isolation: Isolation::Shared,
        grants: Grants::default(),
    }
}

pub fn load(guest: &Guest) -> Arc<LoadedPlugin> {
    host().load(spec(guest.build())).unwrap()
}

pub fn load_error(guest: &Guest) -> LoadError {
    host().load(spec(guest.build())).err().expect("the plugin loads")
}
