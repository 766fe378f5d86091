//! What code names, without running it: globals, fields of them, and the modules that it requires.
//!
//! LuaJIT compiles the code and tells its bytecode, where each access to a global or to a field with a constant name is one
//! instruction with a line. So nothing here parses Lua, and what compiles is what the gateway compiles.

mod bytecode;
mod flow;
mod vocabulary;

use std::fmt::{self, Display};
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Lua, LuaOptions, StdLib};

use crate::vm::{describe, without_first_line_comment};

pub use vocabulary::{Vocabulary, phases_of};

/// Memory for compiling one file: LuaJIT takes some fifty bytes for each of its source.
const MEMORY_LIMIT: usize = 512 * 1024 * 1024;

/// One place that names something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// From 1.
    pub line: usize,
    pub what: What,
    /// Whether it stands in a function of the chunk, which may run at another time than the chunk itself.
    pub is_inner: bool,
}

/// A path is a global and names of fields with dots between: `ngx.req.get_headers`. A module's fields are those of
/// [`module`]; a socket's are those of `socket`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Read {
        path: Rc<str>,
        care: Care,
    },
    Write {
        path: Rc<str>,
    },
    /// `argument`: the first one, if it is a constant text.
    Call {
        path: Rc<str>,
        argument: Option<Rc<str>>,
    },
    /// `pcall(require, "…")`.
    Try {
        module: Rc<str>,
    },
}

/// How code takes something that may not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// It uses it.
    None,
    /// It asks whether it is there, and does nothing else with it.
    Tests,
    /// It takes it in the place of something else: `unpack or table.unpack`.
    Alternative,
}

/// The path of what `require` gives for a module.
pub fn module(name: &str) -> String {
    format!("require {name:?}")
}

/// Why code cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// From 1; none: it is not about a line.
    pub line: Option<usize>,
    pub message: String,
}

impl SyntaxError {
    /// From what LuaJIT says of a chunk of that name (as [`Chunk`](crate::Chunk) has it): `NAME:LINE: message`.
    pub fn of(message: &str, name: &str) -> Self {
        let first = message.lines().next().unwrap_or_default();
        let rest = first.strip_prefix(name.trim_start_matches(['@', '='])).and_then(|rest| rest.strip_prefix(':'));
        let told = rest
            .and_then(|rest| rest.split_once(": "))
            .and_then(|(line, message)| Some(Self { line: Some(line.parse().ok()?), message: message.to_owned() }));
        told.unwrap_or_else(|| Self { line: None, message: first.to_owned() })
    }
}

impl Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// What a chunk names, in the order of its lines. It is compiled as the gateway compiles it, and never run.
///
/// # Errors
/// It cannot be compiled. Bytecode is refused.
pub fn uses(source: &[u8]) -> Result<Vec<Use>, SyntaxError> {
    const NAME: &str = "=chunk";
    let other = |message: String| SyntaxError { line: None, message };
    let lua = Lua::new_with(StdLib::NONE, LuaOptions::default()).map_err(|error| other(error.to_string()))?;
    lua.set_memory_limit(MEMORY_LIMIT).map_err(|error| other(error.to_string()))?;
    if source.starts_with(b"\x1b") {
        return Err(other("this is bytecode, not the source of a script".to_owned()));
    }
    let chunk = lua.load(without_first_line_comment(source)).set_mode(ChunkMode::Text).set_name(NAME).into_function();
    let chunk = chunk.map_err(|error| SyntaxError::of(&describe(&error), NAME))?;
    // Writing it out must not fail any more.
    lua.set_memory_limit(0).map_err(|error| other(error.to_string()))?;
    let dump = chunk.dump(false);
    let dump = bytecode::read(&dump).ok_or_else(|| other("its bytecode cannot be read".to_owned()))?;
    Ok(flow::uses(&dump))
}

#[cfg(test)]
mod tests;
