//! Versions of the tools that plugins are built with: those that the tests use, and that new projects ask for. The
//! repository's tasks install the same ones: they include this file.

pub const COMPONENTIZE_JS: &str = "0.23.0";
pub const COMPONENTIZE_PY: &str = "0.25.1";
pub const GO: &str = "1.27.3";
pub const NODE: &str = "24.19.0";
pub const ZIG: &str = "0.17.0";
