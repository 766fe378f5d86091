//! The plugin as the gateway meets it: configured from JSON, called with requests.

mod api_keys;
mod configuration;
#[cfg(test)]
mod fixture;
mod refusals;
mod tokens;
mod upstream;
