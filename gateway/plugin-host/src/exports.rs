//! What a component exports: probed once, when it is loaded.

use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};
use witgate_stage::Hook;

use crate::bindings::exports::witgate::plugin::{lifecycle, on_log, on_request_body, on_response_body};
use crate::host::HostState;
use crate::imports::{Name, PACKAGE, SERVED};
use crate::{LoadError, error_chain};

/// Where to find the functions of each new instance.
pub(crate) struct Exports {
    pub(crate) lifecycle: lifecycle::GuestIndices,
    /// `handle` of `on-request-headers`.
    pub(crate) request: Option<ComponentExportIndex>,
    /// `handle` of `on-response-headers`.
    pub(crate) response: Option<ComponentExportIndex>,
    pub(crate) request_body: Option<on_request_body::GuestIndices>,
    pub(crate) response_body: Option<on_response_body::GuestIndices>,
    pub(crate) log: Option<on_log::GuestIndices>,
}

impl Exports {
    pub(crate) fn has(&self, hook: Hook) -> bool {
        match hook {
            Hook::RequestHeaders => self.request.is_some(),
            Hook::RequestBody => self.request_body.is_some(),
            Hook::ResponseHeaders => self.response.is_some(),
            Hook::ResponseBody => self.response_body.is_some(),
            Hook::Log => self.log.is_some(),
        }
    }

    pub(crate) fn probe(engine: &Engine, pre: &InstancePre<HostState>) -> Result<Self, LoadError> {
        let (served, other) = names(engine, pre.component());
        let has = |interface: &str| served.iter().any(|name| name == interface);
        let mismatch = |error: wasmtime::Error| LoadError::Mismatch { reason: error_chain(&error) };
        if !has("lifecycle") {
            return Err(LoadError::NoLifecycle { other });
        }
        let lifecycle = lifecycle::GuestIndices::new(pre).map_err(mismatch)?;
        let handle = |hook: Hook| {
            has(hook.label()).then(|| handle(pre.component(), hook).ok_or_else(|| no_handle(hook))).transpose()
        };
        let (request, response) = (handle(Hook::RequestHeaders)?, handle(Hook::ResponseHeaders)?);
        let exports = Self {
            lifecycle,
            request,
            response,
            request_body: has(Hook::RequestBody.label())
                .then(|| on_request_body::GuestIndices::new(pre).map_err(mismatch))
                .transpose()?,
            response_body: has(Hook::ResponseBody.label())
                .then(|| on_response_body::GuestIndices::new(pre).map_err(mismatch))
                .transpose()?,
            log: has(Hook::Log.label()).then(|| on_log::GuestIndices::new(pre).map_err(mismatch)).transpose()?,
        };
        if Hook::ALL.iter().any(|hook| exports.has(*hook)) { Ok(exports) } else { Err(LoadError::NoHook) }
    }
}

/// The function of a hook. Looked up here instead of by the bindings, which make a function to be called on a fiber or one
/// to be called on the thread's stack; these hooks are called in both ways. Its type is checked at each start of an instance.
fn handle(component: &Component, hook: Hook) -> Option<ComponentExportIndex> {
    let interface = component.get_export_index(None, format!("{PACKAGE}/{}@{SERVED}", hook.label()))?;
    component.get_export_index(Some(&interface), "handle")
}

fn no_handle(hook: Hook) -> LoadError {
    LoadError::Mismatch { reason: format!("`{}` has no function `handle`", hook.label()) }
}

/// Interfaces of the contract's version that are exported, and one of another version if there is any.
fn names(engine: &Engine, component: &Component) -> (Vec<String>, Option<String>) {
    let (mut served, mut other) = (Vec::new(), None);
    for (export, _) in component.component_type().exports(engine) {
        match Name::parse(export) {
            Some(name) if name.is_served() => served.push(name.interface.to_owned()),
            Some(name) if name.package == PACKAGE => other = Some(export.to_owned()),
            _ => {}
        }
    }
    (served, other)
}
