//! `[downstream]`: limits of the client's side.

use std::time::Duration;

use crate::Downstream;
use crate::kind::{GIB, KIB, MIB, OrWord, Size, Time};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};

const SECTION: Section =
    Section { name: "downstream", reload: Reload::Live, doc: "Limits of what clients may send and hold." };

/// Eight times what browsers and common servers use, cookies included.
const HEADER_LIMIT: u64 = 64 * KIB;
/// A head fits into a few packets; who needs longer is stuck, or wants to hold connections open.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the pause between two clicks, shorter than what drains file descriptors.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Takes forms and most uploads of APIs; routes for larger ones say so.
const BODY_LIMIT: u64 = 16 * MIB;
/// Covers a lost radio link, not an abandoned upload.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

const SECONDS: Time = Time { least: Duration::from_millis(100), most: Duration::from_secs(3600) };

const HEADER: Key<Size> = Key {
    name: "header_limit",
    kind: Size { least: KIB, most: MIB },
    example: "\"64KiB\"",
    doc: "Bytes of a request's head, request line included; a longer one gets 431. The default is eight times what \
          browsers send at most.",
};

const HEADER_TIME: Key<Time> = Key {
    name: "header_timeout",
    kind: SECONDS,
    example: "\"5s\"",
    doc: "Time from the first byte of a head to its last; a slower one gets 408. Short, because slow heads are an old way \
          to hold connections open.",
};

const IDLE: Key<Time> = Key {
    name: "idle_timeout",
    kind: SECONDS,
    example: "\"1m\"",
    doc: "How long a connection may be idle between requests.",
};

pub(super) const BODY: Key<OrWord<Size>> = Key {
    name: "body_limit",
    kind: OrWord { word: "none", kind: Size { least: 1, most: 1024 * GIB } },
    example: "\"1MiB\"",
    doc: "Bytes of a request's body; a longer one gets 413. `\"none\"`: no limit. Bodies are streamed, so a high limit \
          costs no memory here, but may upstream.",
};

const BODY_TIME: Key<Time> = Key {
    name: "body_timeout",
    kind: SECONDS,
    example: "\"30s\"",
    doc: "Longest pause of a client that sends a body or takes one.",
};

/// As nginx has it (`lingering_time`): a client on a slow line that sends first and reads then has that much to end its upload. One
/// that stops is let go of sooner.
const LINGER_TIMEOUT: Duration = Duration::from_secs(30);

const LINGER: Key<Time> = Key {
    name: "linger_timeout",
    kind: Time { least: Duration::from_millis(1), most: Duration::from_secs(300) },
    example: "\"30s\"",
    doc: "How long a client that was answered early may go on sending, and 5 s without a byte: closing at once would reset the \
          connection, and the answer could be lost with it.",
};

pub(super) fn read(root: &mut Table<'_>) -> Read<Downstream> {
    root.section_or_default(&SECTION, |table| {
        let header_limit = table.or(&HEADER, HEADER_LIMIT);
        let header_timeout = table.or(&HEADER_TIME, HEADER_TIMEOUT);
        let idle_timeout = table.or(&IDLE, IDLE_TIMEOUT);
        let body_limit = table.or(&BODY, Some(BODY_LIMIT));
        let body_timeout = table.or(&BODY_TIME, BODY_TIMEOUT);
        let linger_timeout = table.or(&LINGER, LINGER_TIMEOUT);
        Ok(Downstream {
            header_limit: usize::try_from(header_limit?).unwrap_or(usize::MAX),
            header_timeout: header_timeout?,
            idle_timeout: idle_timeout?,
            body_limit: body_limit?,
            body_timeout: body_timeout?,
            linger_timeout: linger_timeout?,
        })
    })
}
