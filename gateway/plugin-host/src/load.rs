//! From a spec to a plugin that serves. Everything that can be wrong is found here, off the request path.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use serde_json::Value;
use witgate_stage::{BodyMode, Hook};

use crate::bindings::exports::witgate::plugin::lifecycle;
use crate::compile::Compiled;
use crate::contract::Contract;
use crate::exports::Exports;
use crate::fault::Fault;
use crate::host::Binding;
use crate::instance::{Instance, Template, ticks};
use crate::plugin::{Description, Interest, LoadedPlugin, places};
use crate::service::Namespace;
use crate::standby::Maker;
use crate::stats::{Counters, Slots};
use crate::{LoadError, PluginSpec, imports, schema};

/// Checks imports against grants, probes the exports, starts an instance, and has it described and configured. The
/// instance stays, warm.
pub(crate) fn load(
    spec: &PluginSpec,
    compiled: Arc<Compiled>,
    namespace: Option<Arc<Namespace>>,
    (host_slots, maker): (&Arc<Slots>, &Maker),
) -> Result<Arc<LoadedPlugin>, LoadError> {
    let template = template(spec, &compiled, namespace)?;
    let slots = Slots::new(spec.limits.instances);
    let places = places(&slots, host_slots).ok_or_else(|| LoadError::Start {
        fault: Fault::new(witgate_stage::FailureKind::Unavailable, "no place is left for another instance"),
    })?;
    let mut instance = run_here(Instance::start(&template, places)).map_err(|fault| LoadError::Start { fault })?;
    let described = run_here(instance.describe()).map_err(|fault| LoadError::Describe { fault })?;
    let description = checked(&described)?;
    let config: Value = serde_json::from_str(&spec.config_json).map_err(LoadError::ConfigSyntax)?;
    if let Some(schema) = &described.config_schema {
        schema::check(schema, &config)?;
    }
    let configured = run_here(instance.configure(&spec.config_json));
    let interest = configured
        .map_err(|fault| LoadError::Configure { fault })?
        .map_err(|message| LoadError::ConfigRefused { message: one_line(&message) })?;
    let interest =
        Interest { request_body: interest.request_body.into(), response_body: interest.response_body.into() };
    for (mode, hook) in [(interest.request_body, Hook::RequestBody), (interest.response_body, Hook::ResponseBody)] {
        if mode != BodyMode::None && !template.exports.has(hook) {
            return Err(LoadError::BodyInterest { hook: hook.label() });
        }
    }
    let slots = (slots, Arc::clone(host_slots));
    let template = (template, spec.isolation);
    Ok(LoadedPlugin::new(template, (description, interest), instance, slots, (compiled, maker)))
}

impl From<lifecycle::BodyMode> for BodyMode {
    fn from(mode: lifecycle::BodyMode) -> Self {
        match mode {
            lifecycle::BodyMode::None => Self::None,
            lifecycle::BodyMode::Chunks => Self::Chunks,
            lifecycle::BodyMode::Buffered => Self::Buffered,
        }
    }
}

fn template(spec: &PluginSpec, compiled: &Compiled, namespace: Option<Arc<Namespace>>) -> Result<Template, LoadError> {
    let component = &compiled.component;
    let engine = component.engine().clone();
    let contract = Contract::of(component)?;
    let linker = imports::link((contract, component), &spec.grants)?;
    let pre = linker.instantiate_pre(component).map_err(|error| LoadError::mismatch(&error))?;
    let exports = Exports::probe(contract, &pre)?;
    let binding = Arc::new(Binding {
        name: spec.name.as_str().into(),
        grants: spec.grants.clone(),
        namespace,
        counters: Counters::default(),
    });
    Ok(Template {
        engine,
        pre,
        exports,
        binding,
        limits: spec.limits,
        hook_ticks: ticks(spec.limits.hook_timeout),
        config_json: spec.config_json.clone(),
    })
}

pub(crate) fn checked(described: &lifecycle::Description) -> Result<Description, LoadError> {
    let lifecycle::Description { name, version, summary, .. } = described;
    let name_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let problem = if name.is_empty() || name.len() > 64 || !name.bytes().all(name_byte) {
        Some(format!("name {name:?}; expected up to 64 lower-case letters, digits and hyphens"))
    } else if version.is_empty() || version.len() > 64 || !version.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some(format!("version {version:?}; expected a semantic version such as \"1.0.0\""))
    } else if summary.len() > 1024 || summary.contains(char::is_control) {
        Some("summary; expected one line".to_owned())
    } else {
        None
    };
    match problem {
        Some(reason) => Err(LoadError::Description { reason: one_line(&reason) }),
        None => Ok(Description { name: name.clone(), version: version.clone(), summary: summary.clone() }),
    }
}

/// A guest's text for a diagnostic: of bounded length, and unable to forge another line.
fn one_line(text: &str) -> String {
    let escaped = |character: char| {
        let escape = character.is_control().then(|| character.escape_default());
        escape.into_iter().flatten().chain((!character.is_control()).then_some(character))
    };
    text.chars().take(1000).flat_map(escaped).collect()
}

/// Runs a guest to its end on this thread. The only thing guests wait for is their next turn, so whoever polls need not
/// wait for a wake-up.
pub(crate) fn run_here<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_text_stays_in_its_line() {
        assert_eq!(one_line("key `a`: expected\n\u{1b}x"), "key `a`: expected\\n\\u{1b}x");
        assert_eq!(one_line(&"x".repeat(5000)).len(), 1000);
    }

    #[test]
    fn descriptions_are_checked() {
        let described = |name: &str, version: &str, summary: &str| lifecycle::Description {
            name: name.into(),
            version: version.into(),
            summary: summary.into(),
            config_schema: None,
        };
        assert!(checked(&described("rate-limit", "0.1.0", "Counts.")).is_ok());
        for (name, version, summary) in
            [("", "1.0.0", ""), ("Auth", "1.0.0", ""), ("a b", "1.0.0", ""), ("a", "", ""), ("a", "1", "two\nlines")]
        {
            assert!(checked(&described(name, version, summary)).is_err(), "{name:?} {version:?} {summary:?}");
        }
    }
}
