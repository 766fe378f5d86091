//! The first plugin in each language does the same, and its page under `docs/plugins` leads to it: here for Rust, and for C, whose
//! tools are the fewest. The others are the suite `languages`.
//!
//! `cargo xtask guests` builds them; `cargo xtask test` does so first.

use witgate_tests::projects::{a_new_project_does_what_it_says, keeps_the_contract, leads_to_a_plugin_on_a_route};

#[test]
fn the_first_plugin_in_rust_does_what_all_do() {
    keeps_the_contract("rust");
}

#[test]
fn the_page_for_rust_leads_to_a_plugin_on_a_route() {
    leads_to_a_plugin_on_a_route("rust");
}

#[test]
fn a_new_project_in_rust_does_what_it_says() {
    a_new_project_does_what_it_says("rust");
}

#[test]
fn the_first_plugin_in_c_does_what_all_do() {
    keeps_the_contract("c");
}

#[test]
fn the_page_for_c_leads_to_a_plugin_on_a_route() {
    leads_to_a_plugin_on_a_route("c");
}

#[test]
fn a_new_project_in_c_does_what_it_says() {
    a_new_project_does_what_it_says("c");
}
