//! `[keys.NAME]` and `[key_sets.NAME]`: secrets, by reference only.

use std::collections::BTreeMap;

use crate::kind::{At, FilePath, Variable};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{KeySet, Secret};

const KEYS: Section = Section {
    name: "keys",
    reload: Reload::Live,
    doc: "HMAC keys, at least 16 bytes long. A plugin with the grant `crypto:NAME` can use a key, but never sees it. The \
          secret itself must not stand in this file: exactly one of `env` and `file` says where it is.",
};

const ENV: Key<At<Variable>> = Key {
    name: "env",
    kind: At(Variable),
    example: "\"SESSION_KEY\"",
    doc: "Environment variable that holds it. Read when the process starts: a new value takes a restart.",
};

const FILE: Key<At<FilePath>> = Key {
    name: "file",
    kind: At(FilePath),
    example: "\"session.key\"",
    doc: "File that holds it, less one line break at the end.",
};

const KEY_SETS: Section = Section {
    name: "key_sets",
    reload: Reload::Live,
    doc: "API keys and the identities that they stand for. A plugin with the grant `crypto:NAME` can ask whose key it has.",
};

const SET_FILE: Key<At<FilePath>> = Key {
    name: "file",
    kind: At(FilePath),
    example: "\"keys.txt\"",
    doc: "One `KEY IDENTITY` on a line, separated by spaces; lines that begin with `#` are comments.",
};

pub(super) fn read_keys(root: &mut Table<'_>) -> Read<BTreeMap<String, Secret>> {
    root.map(&KEYS, |table, _| {
        let (env, file) = (table.optional(&ENV), table.optional(&FILE));
        match (env?, file?) {
            (Some(variable), None) => Ok(Secret::Env(variable)),
            (None, Some(path)) => Ok(Secret::File(path)),
            (None, None) => Err(table.fail(
                "expected `env` or `file`, got neither",
                "add `env = \"SESSION_KEY\"` or `file = \"session.key\"`",
            )),
            (Some(_), Some(_)) => Err(table.fail("expected `env` or `file`, got both", "remove one of the two")),
        }
    })
}

pub(super) fn read_key_sets(root: &mut Table<'_>) -> Read<BTreeMap<String, KeySet>> {
    root.map(&KEY_SETS, |table, _| Ok(KeySet { file: table.required(&SET_FILE)? }))
}

/// Keys and key sets share the names of grants.
pub(super) fn check_distinct(root: &Table<'_>, key_sets: &Read<BTreeMap<String, KeySet>>) -> Read<()> {
    let keys = root.names_in(KEYS.name);
    let sets = key_sets.iter().flatten().filter(|(name, _)| keys.contains(name));
    let mut failure = None;
    for (name, _) in sets {
        let spot = root.spot_within(KEY_SETS.name, name);
        let message = format!("expected a name of its own, got that of `[keys.{name}]`");
        failure = Some(root.source().report(
            &spot,
            message,
            format!("rename one: the grant `crypto:{name}` has to be clear"),
        ));
    }
    failure.map_or(Ok(()), Err)
}
