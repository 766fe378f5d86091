//! The host, seen from outside. Most components are written in the text format and do exactly what their test is about;
//! `guests` uses real ones, built from `tests/guests`.

mod answers;
mod exchange;
mod guest;
mod guests;
mod isolation;
mod loading;
mod reuse;
mod services;
