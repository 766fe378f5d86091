//! Where a key belongs that stands in the wrong table.

use toml::de::DeValue;

use crate::reference::{Reference, SectionNote};

/// Places that are named; more would help nobody.
const PLACES_LIMIT: usize = 3;

/// What to do about a key that the table at `path`, of this `kind` in the reference, does not have.
pub(crate) fn advise(reference: &Reference, (kind, path): (&str, &str), key: &str, value: &DeValue<'_>) -> String {
    let places = match value {
        DeValue::Table(_) => tables(reference, kind, key, value),
        DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
            tables(reference, kind, key, items.first().map_or(value, |item| item.get_ref()))
        }
        _ => Vec::new(),
    };
    if !places.is_empty() {
        return format!("write {}", places.join(", or "));
    }
    let keys: Vec<_> = reference.sections.iter().filter(|section| has(section, key) && section.path != kind).collect();
    let keys: Vec<_> = keys.into_iter().take(PLACES_LIMIT).map(|section| shown(section.header())).collect();
    match keys.as_slice() {
        [] => "remove it".into(),
        [place] => format!("move it to {place}: it is a key of that table"),
        places if path.is_empty() => format!("move it to the table that it is meant for: {}", places.join(" or ")),
        places => format!("move it to {}, which have such a key, or remove it", places.join(" or ")),
    }
}

fn has(section: &SectionNote, key: &str) -> bool {
    section.keys.iter().any(|known| known.name == key)
}

/// Tables of that name elsewhere, those first that know most of what is in this one.
fn tables(reference: &Reference, kind: &str, key: &str, value: &DeValue<'_>) -> Vec<String> {
    let inner: Vec<&str> = match value {
        DeValue::Table(entries) => entries.iter().map(|(key, _)| key.get_ref().as_ref()).collect(),
        _ => Vec::new(),
    };
    let known = |section: &SectionNote| inner.iter().filter(|key| has(section, key)).count();
    let of_that_name = reference.sections.iter().filter(|section| section.name() == key && section.parent() != kind);
    let mut found: Vec<_> = of_that_name.map(|section| (known(section), section)).collect();
    let most = found.iter().map(|(known, _)| *known).max().unwrap_or(0);
    // Those that know less of it were not meant.
    found.retain(|(known, _)| *known == most);
    found.into_iter().take(PLACES_LIMIT).map(|(_, section)| place(section)).collect()
}

fn place(section: &SectionNote) -> String {
    let header = shown(section.header());
    match section.parent().strip_suffix("[]") {
        Some(parent) => format!("{header} below its `[[{}]]`", parent.replace("[]", "")),
        None => header,
    }
}

fn shown(header: &str) -> String {
    format!("`{header}`")
}
