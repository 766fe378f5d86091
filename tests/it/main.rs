//! All end-to-end suites, in one binary: one link step, one set of components.

mod admin;
mod architecture;
mod authoring;
mod bodies;
mod contract;
mod examples;
mod forwarding;
mod hostile;
mod languages;
mod lifecycle;
mod limits;
mod malformed;
mod plugins;
mod policy;
mod projects;
mod protocols;
mod proxying;
mod reach;
mod reload;
mod response_edits;
mod routing;
mod settings;
mod top;
mod upstreams;
