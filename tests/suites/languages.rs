//! The languages that plugins are written in, besides Rust and C, which every run of the tests tries: each has tools of its own,
//! which `cargo xtask test --suite languages` installs below `target` before it runs this.

use witgate_tests::projects::{a_new_project_does_what_it_says, keeps_the_contract, leads_to_a_plugin_on_a_route};

#[test]
fn the_first_plugin_in_javascript_does_what_all_do() {
    keeps_the_contract("js");
}

#[test]
fn the_page_for_javascript_leads_to_a_plugin_on_a_route() {
    leads_to_a_plugin_on_a_route("js");
}

#[test]
fn a_new_project_in_javascript_does_what_it_says() {
    a_new_project_does_what_it_says("js");
}

#[test]
fn the_first_plugin_in_python_does_what_all_do() {
    keeps_the_contract("python");
}

#[test]
fn the_page_for_python_leads_to_a_plugin_on_a_route() {
    leads_to_a_plugin_on_a_route("python");
}

#[test]
fn a_new_project_in_python_does_what_it_says() {
    a_new_project_does_what_it_says("python");
}

#[test]
fn the_first_plugin_in_go_does_what_all_do() {
    keeps_the_contract("go");
}

#[test]
fn the_page_for_go_leads_to_a_plugin_on_a_route() {
    leads_to_a_plugin_on_a_route("go");
}

#[test]
fn a_new_project_in_go_does_what_it_says() {
    a_new_project_does_what_it_says("go");
}
