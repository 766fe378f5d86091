//! What the documentation says of the fields that the gateway owns is what the table says.

use witgate_http::owned::{CLAIMS, FRAMING, Pattern, VOUCHED};

const DOCUMENTATION: &str = include_str!("../../../docs/fields.md");

fn written(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Exactly(name) => format!("`{name}`"),
        Pattern::Begins(name) => format!("`{name}*`"),
        Pattern::Ends(name) => format!("`*{name}`"),
    }
}

#[test]
fn every_family_is_documented_whole() {
    for family in CLAIMS {
        let names: Vec<_> = family.patterns.iter().map(written).collect();
        let row = format!("| {} | {} |", family.about, names.join(", "));
        assert!(DOCUMENTATION.lines().any(|line| line == row), "docs/fields.md lacks\n{row}");
    }
    for name in FRAMING.into_iter().chain(VOUCHED) {
        assert!(DOCUMENTATION.contains(&format!("`{name}`")), "docs/fields.md lacks `{name}`");
    }
}
