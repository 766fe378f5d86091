//! Lua VMs, scripts, and what they share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Located, Spot};

/// `[shared_dicts.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedDict {
    /// Bytes.
    pub size: usize,
}

/// Lua in the configuration itself. Two are equal if their texts are: moving a line is no change.
#[derive(Debug, Clone)]
pub struct LuaSource {
    pub text: String,
    pub(crate) lines: Vec<usize>,
}

impl LuaSource {
    /// The line of the configuration in which a line of the text stands; both count from 1.
    pub fn line_of_file(&self, line: usize) -> usize {
        let line = line.checked_sub(1).and_then(|index| self.lines.get(index)).or(self.lines.last());
        line.copied().unwrap_or(0)
    }
}

impl PartialEq for LuaSource {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Lua, here or in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Code {
    Inline(Located<LuaSource>),
    File(Located<PathBuf>),
}

impl Code {
    pub fn spot(&self) -> &Spot {
        match self {
            Self::Inline(text) => &text.spot,
            Self::File(path) => &path.spot,
        }
    }
}

/// Whether scripts are the operator's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LuaTrust {
    Sandbox,
    Full,
}

/// What scripts may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LuaGrant {
    /// `shared:NAME`: a shared dictionary
    Shared(String),
    /// `kv:NAME`: what a plugin keeps
    Kv(String),
    /// `upstream:NAME`: sockets to its endpoints
    Upstream(String),
    /// `address:ADDRESS`: sockets to a network, on one port or every one
    Network { address: IpAddr, bits: u8, port: Option<u16> },
    /// `address:unix:PATH`
    Unix(PathBuf),
    /// `routes`: requests to the gateway's own routes
    Routes,
}

/// `[lua.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct LuaVm {
    pub spot: Spot,
    pub path: Vec<Located<PathBuf>>,
    pub native_path: Vec<Located<PathBuf>>,
    pub libraries: Vec<Located<String>>,
    /// PEM file of the authorities that sockets trust instead of the system's.
    pub ca: Option<Located<PathBuf>>,
    pub trust: LuaTrust,
    pub init: Option<Code>,
    pub init_worker: Option<Code>,
    pub grants: Vec<Located<LuaGrant>>,
    /// Bytes of a VM.
    pub memory_limit: usize,
    /// Bytes by which one hook of a request may make a VM grow.
    pub request_memory_limit: usize,
    /// Run time of one phase.
    pub cpu_limit: Duration,
    /// Time of one hook in all.
    pub wall_timeout: Duration,
    pub coroutines_limit: u32,
    pub timers_limit: u32,
    pub sockets_limit: u32,
    /// Bytes of a response.
    pub response_limit: usize,
}

/// `[scripts.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    pub spot: Spot,
    /// Name of a `[lua.NAME]` that exists; none: a VM of its own, with default settings.
    pub lua: Option<String>,
    /// By the name of the phase, at least one.
    pub phases: BTreeMap<&'static str, Code>,
    pub variables: BTreeMap<String, String>,
}
