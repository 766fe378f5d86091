//! What a component exports: probed once, when it is loaded.

use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};
use witgate_stage::Hook;

use crate::bindings::exports::witgate::plugin::{lifecycle, on_request_headers, on_response_headers};
use crate::host::HostState;
use crate::imports::{Name, PACKAGE};
use crate::{LoadError, error_chain};

/// Where to find the functions of each new instance.
pub(crate) struct Exports {
    pub(crate) lifecycle: lifecycle::GuestIndices,
    pub(crate) request: Option<on_request_headers::GuestIndices>,
    pub(crate) response: Option<on_response_headers::GuestIndices>,
}

impl Exports {
    pub(crate) fn has(&self, hook: Hook) -> bool {
        match hook {
            Hook::RequestHeaders => self.request.is_some(),
            Hook::ResponseHeaders => self.response.is_some(),
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
        let request = has(Hook::RequestHeaders.label()).then(|| on_request_headers::GuestIndices::new(pre));
        let response = has(Hook::ResponseHeaders.label()).then(|| on_response_headers::GuestIndices::new(pre));
        let (request, response) = (request.transpose().map_err(mismatch)?, response.transpose().map_err(mismatch)?);
        if request.is_none() && response.is_none() {
            return Err(LoadError::NoHook);
        }
        Ok(Self { lifecycle, request, response })
    }
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
