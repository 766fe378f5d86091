//! `[buckets.NAME]`: token buckets.

use std::collections::BTreeMap;

use crate::Bucket;
use crate::kind::{Number, TokenRate};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};

const SECTION: Section = Section {
    name: "buckets",
    reload: Reload::Live,
    doc: "Token buckets: rates that a plugin with the grant `limiter:NAME` can ask for, apart for each key that it names (a \
          client, say). A reload that leaves a bucket as it is also leaves what has been taken from it.",
};

/// A key in use takes some 100 bytes, so this is some 10 MB; keys that are full again are forgotten by themselves.
const KEYS_LIMIT: u32 = 100_000;

const RATE: Key<TokenRate> = Key {
    name: "rate",
    kind: TokenRate,
    example: "\"100/s\"",
    doc: "Tokens that are added per second, minute or hour.",
};

const BURST: Key<Number> = Key {
    name: "burst",
    kind: Number { least: 1, most: 1_000_000_000 },
    example: "200",
    doc: "Tokens that it holds. Without it, as many as `rate` adds in its period.",
};

const KEYS: Key<Number> = Key {
    name: "keys_limit",
    kind: Number { least: 1, most: 100_000_000 },
    example: "100000",
    doc: "Keys that are kept apart, some 100 bytes each. Beyond it the fullest buckets are forgotten first: that is in the \
          client's favour, and bounded memory is in everybody's.",
};

pub(super) fn read(root: &mut Table<'_>) -> Read<BTreeMap<String, Bucket>> {
    root.map(&SECTION, |table, _| {
        let (rate, burst, keys_limit) = (table.required(&RATE), table.optional(&BURST), table.or(&KEYS, KEYS_LIMIT));
        let (rate, burst, keys_limit) = (rate?, burst?, keys_limit?);
        Ok(Bucket {
            tokens: rate.tokens,
            period: rate.period,
            burst: burst.unwrap_or(rate.tokens),
            keys_limit: keys_limit as usize,
        })
    })
}
