//! What a component exports: probed once, when it is loaded.

use wasmtime::component::{Component, ComponentExportIndex, InstancePre};
use witgate_stage::Hook;

use crate::LoadError;
use crate::bindings::exports::witgate::plugin::{lifecycle, on_log, on_request_body, on_response_body};
use crate::contract::{Contract, Name, PACKAGE};
use crate::host::HostState;

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

    /// Looks at what a component exports.
    ///
    /// # Errors
    /// It is no plugin, or not one of this version.
    pub(crate) fn probe(contract: &Contract, pre: &InstancePre<HostState>) -> Result<Self, LoadError> {
        let (engine, ty) = (pre.engine(), pre.component().component_type());
        let interfaces = ty.exports(engine).filter_map(|(export, _)| {
            Name::parse(export).filter(|name| contract.has(name)).map(|name| name.interface.to_owned())
        });
        let exports = (contract.exports)(pre, &interfaces.collect::<Vec<_>>())?;
        if Hook::ALL.iter().any(|hook| exports.has(*hook)) { Ok(exports) } else { Err(LoadError::NoHook) }
    }

    /// Finds the functions of contract 0.1 in a component that exports these interfaces of it.
    pub(crate) fn find(pre: &InstancePre<HostState>, interfaces: &[String]) -> Result<Self, LoadError> {
        let has = |interface: &str| interfaces.iter().any(|name| name == interface);
        let mismatch = |error: wasmtime::Error| LoadError::mismatch(&error);
        if !has("lifecycle") {
            return Err(LoadError::NoLifecycle);
        }
        let lifecycle = lifecycle::GuestIndices::new(pre).map_err(mismatch)?;
        let handle = |hook: Hook| {
            has(hook.label()).then(|| handle(pre.component(), hook).ok_or_else(|| no_handle(hook))).transpose()
        };
        let (request, response) = (handle(Hook::RequestHeaders)?, handle(Hook::ResponseHeaders)?);
        Ok(Self {
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
        })
    }
}

/// The function of a hook. Looked up here instead of by the bindings, which make a function to be called on a fiber or one
/// to be called on the thread's stack; these hooks are called in both ways. Its type is checked at each start of an instance.
fn handle(component: &Component, hook: Hook) -> Option<ComponentExportIndex> {
    // This finds every version that is compatible.
    let interface = component.get_export_index(None, format!("{PACKAGE}/{}@0.1.0", hook.label()))?;
    component.get_export_index(Some(&interface), "handle")
}

fn no_handle(hook: Hook) -> LoadError {
    LoadError::Mismatch { reason: format!("`{}` has no function `handle`", hook.label()) }
}
