//! `[access_log]`: one record for each request.

use crate::AccessLog;
use crate::kind::{At, Choice, FilePath};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Stdout,
    Off,
    File,
}

const SECTION: Section =
    Section { name: "access_log", reload: Reload::Restart, doc: "Access records: JSON, one line for each request." };

const OUTPUT: Key<Choice<Output>> = Key {
    name: "output",
    kind: Choice(&[("stdout", Output::Stdout), ("file", Output::File), ("off", Output::Off)]),
    example: "\"file\"",
    doc: "Where records go: standard output, where service managers and containers look for them; the file at `path`; or \
          nowhere.",
};

const PATH: Key<At<FilePath>> = Key {
    name: "path",
    kind: At(FilePath),
    example: "\"access.log\"",
    doc: "File to append to, with `output = \"file\"` and only then.",
};

pub(super) fn read(root: &mut Table<'_>) -> Read<AccessLog> {
    root.section_or_default(&SECTION, |table| {
        let output = table.or(&OUTPUT, Output::Stdout);
        let path = table.optional(&PATH);
        match (output?, path?) {
            (Output::Stdout, None) => Ok(AccessLog::Stdout),
            (Output::Off, None) => Ok(AccessLog::Off),
            (Output::File, Some(path)) => Ok(AccessLog::File(path)),
            (Output::File, None) => Err(table.fail_at(
                PATH.name,
                "missing: `output = \"file\"` needs a file",
                "add `path = \"access.log\"`",
            )),
            (Output::Stdout | Output::Off, Some(_)) => {
                let help = "write `output = \"file\"`, or remove `path`";
                Err(table.fail_at(PATH.name, "expected no path with this `output`", help))
            }
        }
    })
}
