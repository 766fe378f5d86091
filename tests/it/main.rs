//! All end-to-end suites, in one binary: one link step, one set of components.

mod architecture;
mod examples;
