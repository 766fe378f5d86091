//! One `[scripts.NAME]`: chunks for the phases of requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Phase;
use crate::app::{AppHandle, Chunk};

/// What a script is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptSpec {
    pub name: Arc<str>,
    pub phases: BTreeMap<Phase, Chunk>,
    /// Variables that scripts may change, with what they are at first.
    pub variables: BTreeMap<String, String>,
}

/// A script that is served.
pub struct Script {
    pub(crate) spec: ScriptSpec,
    pub(crate) app: Arc<AppHandle>,
    /// The bits of its phases.
    phases: u8,
}

impl Script {
    pub(crate) fn new(spec: ScriptSpec, app: Arc<AppHandle>) -> Self {
        let phases = spec.phases.keys().fold(0, |set, phase| set | phase.bit());
        Self { spec, app, phases }
    }

    pub(crate) fn has(&self, phase: Phase) -> bool {
        self.phases & phase.bit() != 0
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Whether it answers requests itself.
    pub fn answers(&self) -> bool {
        self.has(Phase::Content)
    }
}
