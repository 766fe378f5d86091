//! `[insecure]`: switches that give up a protection.

use crate::kind::Switch;
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};

const SECTION: Section = Section {
    name: "insecure",
    // Read by each reload; what they allow may be static.
    reload: Reload::Live,
    doc: "Switches that give up a protection. All of them stand here, so that one look at a file finds them.",
};

const ADMIN: Key<Switch> = Key {
    name: "admin_on_any_address",
    kind: Switch,
    example: "true",
    doc: "Lets `admin.address` be one that other machines reach. Whoever reaches the admin listener can reload the \
          configuration and read all metrics.",
};

/// What is allowed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Insecure {
    pub(super) admin_on_any_address: bool,
}

pub(super) fn read(root: &mut Table<'_>) -> Read<Insecure> {
    root.section_or_default(&SECTION, |table| Ok(Insecure { admin_on_any_address: table.or(&ADMIN, false)? }))
}
