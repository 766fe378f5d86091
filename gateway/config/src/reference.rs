//! The reference of all options, written by the code that reads them.

use std::sync::LazyLock;

use crate::section;
use crate::source::Source;
use crate::table::{Reload, Table};

/// What precedes the tables.
const INTRODUCTION: &str = "\
<!-- Written from the code that reads the file: `BLESS=1 cargo test -p witgate-config` after a change. -->

# Configuration

`gateway.toml` is the whole configuration; the [sample](../gateway.toml) is one to start from. `witgate check` reads it,
and everything it names, as a reload would, and reports every problem at once.

* **Unknown keys are errors.** So are values of another type, and names of things that do not exist.
* **Durations and sizes are strings with a unit**: `\"250ms\"`, `\"5s\"`, `\"2m\"`, `\"1h\"`; `\"512B\"`, `\"64KiB\"`, `\"16MiB\"`,
  `\"1GiB\"`. Bare numbers and fractions are refused.
* **Paths** of files are absolute, or relative to the directory of `gateway.toml`.
* **A dash as default** means that the key can be left out, and what that means is said with the key.
* **Names** (of upstreams, plugins, routes and so on) have 1 to 64 lower-case letters, digits, `-` and `_`, because they
  become metric labels.
* **Live** sections take effect by a reload: a change of the file, or of a file that it names, or SIGHUP. **Static** ones
  need a restart; a reload that changes one is refused and names it, and the running configuration goes on.
";

/// Every key, in the order in which sections ask for them.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    pub(crate) sections: Vec<SectionNote>,
}

/// A table of the file.
#[derive(Debug)]
pub(crate) struct SectionNote {
    /// Such as `upstreams.NAME.tls` or `routes[].stages[]`.
    pub(crate) path: String,
    /// As in the file.
    header: String,
    pub(crate) reload: Reload,
    doc: &'static str,
    pub(crate) keys: Vec<KeyNote>,
}

/// A key of a table.
#[derive(Debug)]
pub(crate) struct KeyNote {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) example: &'static str,
    pub(crate) absence: Absence,
    pub(crate) doc: &'static str,
}

/// What it means if a key is absent.
#[derive(Debug)]
pub(crate) enum Absence {
    Refused,
    /// In TOML.
    Default(String),
    /// As the documentation says.
    Meaningful,
}

impl SectionNote {
    pub(crate) fn new(path: String, header: String, reload: Reload, doc: &'static str) -> Self {
        Self { path, header, reload, doc, keys: Vec::new() }
    }
}

/// What there is, for looking up names: nothing of it depends on a file.
static KNOWN: LazyLock<Reference> = LazyLock::new(Reference::of_everything);

impl Reference {
    pub(crate) fn known() -> &'static Self {
        &KNOWN
    }

    /// Names of the keys and tables that a table of this path has.
    pub(crate) fn names_in<'r>(&'r self, path: &'r str) -> impl Iterator<Item = &'r str> {
        let keys = self.sections.iter().filter(move |section| section.path == path).flat_map(|section| &section.keys);
        let tables = self.sections.iter().filter(move |section| section.parent() == path).map(SectionNote::name);
        keys.map(|key| key.name).chain(tables)
    }

    /// Whether any table has a key of that name.
    pub(crate) fn has_key(&self, name: &str) -> bool {
        self.sections.iter().flat_map(|section| &section.keys).any(|key| key.name == name)
    }

    /// Reads nothing, and so learns what could be read.
    pub(crate) fn of_everything() -> Self {
        let source = Source::recording();
        let mut root = Table::root(&source, None);
        // Required keys are missing, so this fails; what was asked for is noted nevertheless.
        let _ = section::read(&mut root);
        source.into_reference()
    }

    pub(crate) fn add_section(&mut self, section: SectionNote) {
        self.sections.push(section);
    }

    /// Adds a key to the section of that path, which was added before.
    pub(crate) fn add_key(&mut self, path: &str, key: KeyNote) {
        if let Some(section) = self.sections.iter_mut().rev().find(|section| section.path == path) {
            section.keys.push(key);
        }
    }

    fn to_markdown(&self) -> String {
        let sections = self.sections.iter().map(SectionNote::to_markdown);
        std::iter::once(INTRODUCTION.to_owned()).chain(sections).collect::<Vec<_>>().join("\n")
    }
}

impl SectionNote {
    /// The path of the table that this one is in.
    pub(crate) fn parent(&self) -> &str {
        self.table_path().rsplit_once('.').map_or("", |(parent, _)| parent)
    }

    /// The key that it stands under.
    pub(crate) fn name(&self) -> &str {
        let path = self.table_path();
        path.rsplit_once('.').map_or(path, |(_, name)| name)
    }

    /// Without what tells one of several tables from another.
    fn table_path(&self) -> &str {
        let path = self.path.strip_suffix("[]").unwrap_or(&self.path);
        path.strip_suffix(".NAME").unwrap_or(path)
    }

    /// As in the file, between its brackets.
    pub(crate) fn header(&self) -> &str {
        &self.header
    }

    fn to_markdown(&self) -> String {
        let level = if self.path.contains("].") || self.path.contains("NAME.") { "###" } else { "##" };
        let reload = match self.reload {
            Reload::Restart => "Static",
            Reload::Live => "Live",
        };
        let keys: Vec<_> = self.keys.iter().map(KeyNote::to_markdown).collect();
        format!(
            "{level} `{}`\n\n{reload}. {}\n\n| Key | Value | Default | Example | Meaning |\n|---|---|---|---|---|\n{}\n",
            self.header,
            self.doc,
            keys.join("\n")
        )
    }
}

impl KeyNote {
    fn to_markdown(&self) -> String {
        let default = match &self.absence {
            Absence::Refused => "required".into(),
            Absence::Default(value) => format!("`{value}`"),
            Absence::Meaningful => "–".into(),
        };
        let cell = |text: &str| text.replace('|', "\\|");
        let Self { name, value, example, doc, .. } = self;
        format!("| `{name}` | {} | {default} | `{}` | {} |", cell(value), cell(example), cell(doc))
    }
}

/// Every option of the file with its values, default and meaning, in Markdown: the content of `docs/configuration.md`.
pub fn reference() -> String {
    Reference::of_everything().to_markdown()
}

/// A table of the file, for tools that go through all options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionTable {
    /// Such as `upstreams.NAME.tls` or `routes[].stages[]`.
    pub path: String,
    /// As in the file: `[upstreams.NAME.tls]`.
    pub header: String,
    pub keys: Vec<OptionKey>,
}

/// A key of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionKey {
    pub name: &'static str,
    /// What it can be; completes "expected …".
    pub value: String,
    /// In TOML.
    pub example: &'static str,
    /// In TOML; none: it must be there, or its absence has a meaning of its own.
    pub default: Option<String>,
    pub required: bool,
}

/// What [`reference()`] tells, in the same order.
pub fn options() -> Vec<OptionTable> {
    let key = |key: &KeyNote| OptionKey {
        name: key.name,
        value: key.value.clone(),
        example: key.example,
        default: match &key.absence {
            Absence::Default(value) => Some(value.clone()),
            Absence::Refused | Absence::Meaningful => None,
        },
        required: matches!(key.absence, Absence::Refused),
    };
    let table = |section: &SectionNote| OptionTable {
        path: section.path.clone(),
        header: section.header.clone(),
        keys: section.keys.iter().map(key).collect(),
    };
    Reference::known().sections.iter().map(table).collect()
}
