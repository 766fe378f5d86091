//! The reference of all options, written by the code that reads them.

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

impl Reference {
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
