//! What is wrong with a configuration, for the person who has to mend it.

use std::fmt;
use std::path::PathBuf;

use crate::Spot;

/// One problem: where, what was expected, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub file: PathBuf,
    /// None if the problem is with the file as a whole.
    pub spot: Option<Spot>,
    /// What is wrong, and what was expected instead.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Spot { line, column, path }) = &self.spot {
            write!(f, ":{line}:{column}: {path}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}
