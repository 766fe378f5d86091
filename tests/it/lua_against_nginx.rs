//! Scripts do what nginx does with the same code: a few of the snippets that `tests/suites/lua_nginx.rs` runs all of.

use witgate_tests::snippets;

/// One in so many, of all files alike.
const STEP: usize = 24;

#[test]
fn some_snippets_of_each_kind_come_to_the_same_in_nginx_and_in_the_gateway() {
    let snippets: Vec<_> = snippets::read(&snippets::folder()).into_iter().step_by(STEP).collect();
    assert!(snippets.len() >= 15, "{} snippets", snippets.len());
    let wrong = snippets::compare(&snippets);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
