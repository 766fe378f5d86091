//! The host, seen from outside, with components written in the text format: each one does exactly what its test is about.

mod answers;
mod exchange;
mod guest;
mod isolation;
mod loading;
mod reuse;
mod services;
