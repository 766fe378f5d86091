//! Reads one table of the file, key by key.
//!
//! A section asks its [`Table`] for every key it knows, and that is the only definition of the key: what was asked for is
//! what is allowed, so everything else in the table is an unknown key; and asked while a [`Reference`] is recorded, the
//! same calls write the option reference. Hence a section must ask for all keys whatever it finds, and give up with `?`
//! only after the last one.
//!
//! [`Reference`]: crate::reference::Reference

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Spot;
use crate::belonging;
use crate::kind::{Kind, Shown, name};
use crate::nearest::nearest;
use crate::node::{Node, describe, join, path_part};
use crate::reference::{Absence, KeyNote, Reference, SectionNote};
use crate::source::{Read, Reported, Source};

/// A key that holds a value.
pub(crate) struct Key<K> {
    pub(crate) name: &'static str,
    pub(crate) kind: K,
    /// A value as it stands in a file.
    pub(crate) example: &'static str,
    /// Meaning, unit, and the reason of bounds and default, in Markdown.
    pub(crate) doc: &'static str,
}

/// A key that holds a table, named tables, or a list of tables.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) reload: Reload,
    pub(crate) doc: &'static str,
}

/// What a change takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reload {
    Restart,
    Live,
}

/// Named tables or list entries that one section may have: far above any real file, so that a generated mistake is
/// refused before it costs much.
const ENTRIES_LIMIT: usize = 10_000;

/// A table, or the lack of one: then every key is absent.
pub(crate) struct Table<'a> {
    source: &'a Source<'a>,
    entries: Option<&'a DeTable<'a>>,
    offset: Option<usize>,
    path: String,
    /// The path as the reference has it: `routes[].stages[]`.
    kind: String,
    asked: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(crate) fn root(source: &'a Source<'a>, entries: Option<&'a DeTable<'a>>) -> Self {
        // What the file lacks as a whole would stand at its end.
        let offset = Some(source.end());
        Self { source, entries, offset, path: String::new(), kind: String::new(), asked: Vec::new() }
    }

    pub(crate) fn source(&self) -> &'a Source<'a> {
        self.source
    }

    /// Where the table stands; if it is not in the file, where the one around it does.
    pub(crate) fn spot(&self) -> Spot {
        self.source.spot(self.offset, &self.path)
    }

    /// The spot of a key of this table, or of the table if the key is absent, with the path of the key.
    pub(crate) fn spot_of(&self, key: &str) -> Spot {
        let offset = self.entry(key).map(|node| node.offset).or(self.offset);
        self.source.spot(offset, &join(&self.path, key))
    }

    pub(crate) fn fail_at(&self, key: &str, message: impl Into<String>, help: impl Into<String>) -> Reported {
        self.source.report_table(&self.path, &self.spot_of(key), message, help)
    }

    pub(crate) fn fail(&self, message: impl Into<String>, help: impl Into<String>) -> Reported {
        self.source.report_table(&self.path, &self.spot(), message, help)
    }

    /// Whether the key is there, be its value right or wrong.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// The spot of a key of the table under `section`, with its path.
    pub(crate) fn spot_within(&self, section: &str, key: &str) -> Spot {
        let inner = self.entry(section).filter(|node| node.value.is_table());
        let inner = inner.and_then(|node| node.table("", &self.kind_of(section)).ok());
        inner.map_or_else(|| self.absent(section).spot_of(key), |table| table.spot_of(key))
    }

    /// Names of the tables under `section`, be they right or wrong, and its own name right or mistyped: one mistake should
    /// not look like two.
    pub(crate) fn names_in(&self, section: &str) -> Vec<String> {
        self.tables_in(section).map(|(name, _)| name.to_owned()).collect()
    }

    /// Those of the tables under `section` that have one of these keys, be it right or wrong.
    pub(crate) fn names_with(&self, section: &str, keys: &[&str]) -> Vec<String> {
        let has = |value: &DeValue<'_>| keys.iter().any(|key| value.get(key).is_some());
        self.tables_in(section).filter(|(_, value)| has(value)).map(|(name, _)| name.to_owned()).collect()
    }

    fn tables_in(&self, section: &str) -> impl Iterator<Item = (&'a str, &'a DeValue<'a>)> {
        let node = self.entry(section).or_else(|| {
            let entries = self.entries?;
            let known: Vec<_> = Reference::known().names_in(&self.kind).collect();
            let meant = |key: &str| {
                !known.contains(&key) && nearest(key, known.iter().copied()).is_some_and(|(_, near)| near == section)
            };
            let (key, _) = entries.iter().find(|(key, _)| meant(key.get_ref()))?;
            self.entry(key.get_ref())
        });
        let entries = node.and_then(|node| match node.value {
            DeValue::Table(entries) => Some(entries),
            _ => None,
        });
        entries.into_iter().flatten().map(|(name, value)| (name.get_ref().as_ref(), value.get_ref()))
    }

    /// A key that must be there.
    pub(crate) fn required<K: Kind>(&mut self, key: &Key<K>) -> Read<K::Value> {
        self.note(key, || Absence::Refused);
        match self.ask(key.name) {
            Some(node) => key.kind.read(&node),
            None => {
                let message = format!("missing: expected {}", key.kind.expected());
                let help = format!("add `{} = {}`", key.name, key.example);
                Err(self.source.report(&self.spot_of(key.name), message, help))
            }
        }
    }

    /// A key with a default.
    pub(crate) fn or<K: Shown>(&mut self, key: &Key<K>, default: K::Value) -> Read<K::Value> {
        self.note(key, || Absence::Default(key.kind.show(&default)));
        self.ask(key.name).map_or(Ok(default), |node| key.kind.read(&node))
    }

    /// A key whose absence has a meaning of its own, which its documentation tells.
    pub(crate) fn optional<K: Kind>(&mut self, key: &Key<K>) -> Read<Option<K::Value>> {
        self.note(key, || Absence::Meaningful);
        self.ask(key.name).map(|node| key.kind.read(&node)).transpose()
    }

    /// A table, or none.
    pub(crate) fn section<T>(
        &mut self,
        section: &Section,
        read: impl FnOnce(&mut Table<'a>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.note_section(section, &format!("[{}]", join(&self.path, section.name)), section.name);
        match self.ask(section.name) {
            Some(node) => node.table("write `[…]` or `{ … }`", &self.kind_of(section.name))?.read(read).map(Some),
            None if self.source.reference().is_some() => self.absent(section.name).read(read).map(Some),
            None => Ok(None),
        }
    }

    /// A table that is read whether it is there or not: all its keys have defaults.
    pub(crate) fn section_or_default<T>(
        &mut self,
        section: &Section,
        read: impl FnOnce(&mut Table<'a>) -> Read<T>,
    ) -> Read<T> {
        self.note_section(section, &format!("[{}]", join(&self.path, section.name)), section.name);
        match self.ask(section.name) {
            Some(node) => {
                let help = format!("write `[{}]`", join(&self.path, section.name));
                node.table(&help, &self.kind_of(section.name))?.read(read)
            }
            None => self.absent(section.name).read(read),
        }
    }

    /// Tables by name: `[section.NAME]`.
    pub(crate) fn map<T>(
        &mut self,
        section: &Section,
        mut read: impl FnMut(&mut Table<'a>, &str) -> Read<T>,
    ) -> Read<BTreeMap<String, T>> {
        let path = join(&self.path, section.name);
        self.note_section(section, &format!("[{path}.NAME]"), &format!("{}.NAME", section.name));
        if self.source.reference().is_some() {
            let _ = self.absent(&format!("{}.NAME", section.name)).read(|table| read(table, "NAME"));
        }
        let Some(node) = self.ask(section.name) else { return Ok(BTreeMap::new()) };
        let kind = self.kind_of(&format!("{}.NAME", section.name));
        let entries = node.table(&format!("write `[{path}.NAME]`"), &kind)?.entries.into_iter().flatten();
        let mut values = BTreeMap::new();
        let mut failure = None;
        for (key, value) in entries {
            let node = self.child(join(&path, key.get_ref()), key.span().start, value);
            let named = name::check(key.get_ref(), &node);
            let value = node
                .table(&format!("write `[{path}.{}]`", path_part(key.get_ref())), &kind)
                .and_then(|table| table.read(|table| read(table, key.get_ref())));
            match (named, value) {
                (Ok(()), Ok(value)) => drop(values.insert(key.get_ref().to_string(), value)),
                (Err(reported), _) | (_, Err(reported)) => failure = Some(reported),
            }
        }
        failure.map_or(Ok(values), Err)
    }

    /// Tables in order: `[[section]]`. Their paths have the entry's `name` if it has one, else its index.
    pub(crate) fn list<T>(
        &mut self,
        section: &Section,
        mut read: impl FnMut(&mut Table<'a>) -> Read<T>,
    ) -> Read<Vec<T>> {
        let path = join(&self.path, section.name);
        self.note_section(section, &format!("[[{path}]]"), &format!("{}[]", section.name));
        if self.source.reference().is_some() {
            let _ = self.absent(&format!("{}[]", section.name)).read(&mut read);
        }
        let Some(node) = self.ask(section.name) else { return Ok(Vec::new()) };
        let DeValue::Array(items) = node.value else {
            // Further down, the path of a header is not that of the entry, which has the route's name.
            let help = if self.path.is_empty() {
                format!("write `[[{path}]]` with two pairs of brackets")
            } else {
                format!("write an array of tables: `{} = [{{ … }}]`", section.name)
            };
            return Err(node.wrong("a list of tables", help));
        };
        if items.len() > ENTRIES_LIMIT {
            let message = format!("expected at most {ENTRIES_LIMIT} entries, got {}", items.len());
            return Err(node.fail(message, "remove some"));
        }
        let kind = self.kind_of(&format!("{}[]", section.name));
        let mut values = Vec::with_capacity(items.len());
        let mut failure = None;
        for (index, item) in items.iter().enumerate() {
            let node = self.child(entry_path(&path, index, item.get_ref()), item.span().start, item);
            match node.table("write `{ key = value, … }`", &kind).and_then(|table| table.read(&mut read)) {
                Ok(value) => values.push(value),
                Err(reported) => failure = Some(reported),
            }
        }
        failure.map_or(Ok(values), Err)
    }

    /// Reads the table and then reports what it holds besides.
    pub(crate) fn read<T>(mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        let mark = self.source.mark();
        let value = read(&mut self);
        self.refuse_unknown_keys(mark)?;
        value
    }

    fn refuse_unknown_keys(&self, mark: usize) -> Read<()> {
        let unknown: Vec<_> = self
            .entries
            .into_iter()
            .flatten()
            .filter(|(key, _)| !self.asked.contains(&key.get_ref().as_ref()))
            .collect();
        // A key that is missing because it is mistyped is one mistake, and so is what the table lacks without it.
        let meant: Vec<_> = unknown.iter().filter_map(|(key, _)| self.meant(key.get_ref())).collect();
        let meant: Vec<_> =
            meant.into_iter().filter(|meant| !self.has(meant)).map(|key| join(&self.path, key)).collect();
        if !meant.is_empty() {
            self.source.withdraw(mark, &self.path, &meant);
        }
        let mut failure = None;
        for (key, value) in unknown {
            let spot = self.source.spot(Some(key.span().start), &join(&self.path, key.get_ref()));
            let known = self.asked.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            let message = format!("unknown key `{}`: expected one of {known}", path_part(key.get_ref()));
            let help = self.meant(key.get_ref()).map_or_else(
                || belonging::advise(Reference::known(), (&self.kind, &self.path), key.get_ref(), value.get_ref()),
                |meant| format!("did you mean `{meant}`?"),
            );
            failure = Some(self.source.report(&spot, message, help));
        }
        failure.map_or(Ok(()), Err)
    }

    /// The key of this table that somebody may have meant. One that is a key elsewhere was hardly mistyped much.
    fn meant(&self, wrong: &str) -> Option<&'static str> {
        let (errors, meant) = nearest(wrong, self.asked.iter().copied())?;
        (errors < 2 || !Reference::known().has_key(wrong)).then_some(meant)
    }

    /// Path of a table below this one in the reference.
    fn kind_of(&self, below: &str) -> String {
        if self.kind.is_empty() { below.into() } else { format!("{}.{below}", self.kind) }
    }

    fn entry(&self, key: &str) -> Option<Node<'a>> {
        let (found, value) = self.entries?.get_key_value(key)?;
        // A header `[a]` has the span of the whole table or none of its own; its key always stands where one would look.
        let offset = if value.get_ref().is_table() { found.span().start } else { value.span().start };
        Some(self.child(join(&self.path, key), offset, value))
    }

    fn ask(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.asked.push(key);
        self.entry(key)
    }

    fn child(&self, path: String, offset: usize, value: &'a Spanned<DeValue<'a>>) -> Node<'a> {
        Node { source: self.source, value: value.get_ref(), offset, path }
    }

    fn absent(&self, key: &str) -> Table<'a> {
        let path = if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) };
        let kind = self.kind_of(key);
        Table { source: self.source, entries: None, offset: self.offset, path, kind, asked: Vec::new() }
    }

    fn note<K: Kind>(&self, key: &Key<K>, absence: impl FnOnce() -> Absence) {
        if let Some(reference) = self.source.reference() {
            let note = KeyNote {
                name: key.name,
                value: key.kind.expected(),
                example: key.example,
                absence: absence(),
                doc: key.doc,
            };
            reference.borrow_mut().add_key(&self.path, note);
        }
    }

    fn note_section(&self, section: &Section, header: &str, key: &str) {
        if let Some(reference) = self.source.reference() {
            let path = if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) };
            let header = if self.path.is_empty() { header.into() } else { nested_header(&path) };
            reference.borrow_mut().add_section(SectionNote::new(path, header, section.reload, section.doc));
        }
    }
}

impl<'a> Node<'a> {
    /// The value as a table.
    fn table(self, help: &str, kind: &str) -> Read<Table<'a>> {
        let Self { source, value, offset, path } = self;
        match value {
            DeValue::Table(entries) => {
                let kind = kind.to_owned();
                Ok(Table { source, entries: Some(entries), offset: Some(offset), path, kind, asked: Vec::new() })
            }
            other => {
                let message = format!("expected a table, got {}", describe(other));
                Err(source.report(&source.spot(Some(offset), &path), message, help))
            }
        }
    }
}

/// The header of a table at that path of the reference: `routes[].stages[]` is `[[routes.stages]]`.
fn nested_header(path: &str) -> String {
    let keys = path.replace("[]", "");
    if path.ends_with("[]") { format!("[[{keys}]]") } else { format!("[{keys}]") }
}

fn entry_path(path: &str, index: usize, entry: &DeValue<'_>) -> String {
    match entry.get("name").and_then(|name| name.get_ref().as_str()) {
        Some(name) if name::is_valid(name) => format!("{path}.{name}"),
        _ => format!("{path}[{index}]"),
    }
}
