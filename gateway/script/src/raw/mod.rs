//! Functions for scripts with little between the script and Rust code.
//!
//! A function made by [`mlua::Lua::create_function`] protects itself against every error that Lua could raise while it takes
//! arguments and gives results, and raises its own errors as objects that scripts cannot treat as strings. Here a call has
//! three steps instead. Arguments are made ready where a function wants that; this may run Lua code and raise. Then the
//! function runs: safe Rust, which cannot call Lua and writes down what to return. Then that is returned; this may raise
//! again for want of memory, but then nothing of Rust is left that wants to be dropped.

#![expect(unsafe_code, reason = "talks to the Lua API; what it offers to the rest of the crate is safe")]

mod answer;
mod call;
mod entry;
mod function;
mod given;
#[cfg(test)]
mod tests;

pub(crate) use answer::{Answer, Fault, Outcome};
pub(crate) use call::{Call, Elements, Walk};
pub(crate) use entry::{Entry, Returned, ReturnedValue};
pub(crate) use function::{Arguments, function, function_of, function_with, set_result_limit};
pub(crate) use given::Given;
#[cfg(test)]
pub(crate) use given::number_of;
