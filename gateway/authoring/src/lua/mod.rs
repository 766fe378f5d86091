//! Scripts before they are served: `witgate lua check`.

mod api;
mod check;
mod collect;
mod judge;

pub use check::{Checked, LuaCheckOptions, lua_check};

#[cfg(test)]
mod tests;
