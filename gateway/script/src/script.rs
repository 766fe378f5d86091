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
}

impl Script {
    pub(crate) fn new(spec: ScriptSpec, app: Arc<AppHandle>) -> Self {
        Self { spec, app }
    }

    pub(crate) fn has(&self, phase: Phase) -> bool {
        self.spec.phases.contains_key(&phase)
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Whether it answers requests itself.
    pub fn answers(&self) -> bool {
        self.has(Phase::Content)
    }
}
