//! gateway.toml: from bytes to a validated [`Config`], or to the full list of its problems.
//!
//! Pure: nothing here opens a file, asks the environment or resolves a name.

mod diagnostic;
mod model;

pub use diagnostic::Diagnostic;
pub use model::*;
