//! Scripts before they are served: `witgate lua check`.

mod api;
mod check;
mod collect;
mod judge;

pub use check::{Checked, LuaCheckOptions, LuaFinding, lua_check, lua_findings};

#[cfg(test)]
mod tests;
