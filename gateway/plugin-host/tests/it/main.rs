//! The host, seen from outside. Most components are written in the text format and do exactly what their test is about;
//! `guests` uses real ones, built from `tests/guests`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends"
)]

mod answers;
mod breaker;
mod exchange;
mod guest;
mod guests;
mod hostile;
mod isolation;
mod loading;
mod own_instance;
mod reuse;
mod services;
mod turns;
mod usage;
