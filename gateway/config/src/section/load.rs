//! `[load.NAME]`: when requests are shed.

use std::collections::BTreeMap;

use crate::LoadScope;
use crate::kind::{Number, OrWord, Percent};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};

const SECTION: Section = Section {
    name: "load",
    reload: Reload::Live,
    doc: "Load scopes: groups of requests that a plugin with the grant `load:NAME` sheds together.",
};

/// Leaves some processor time for answering those that are refused.
const CPU_LIMIT: u32 = 900;

const IN_FLIGHT: Key<Number> = Key {
    name: "in_flight_limit",
    kind: Number { least: 1, most: 10_000_000 },
    example: "512",
    doc: "Requests of the scope at once.",
};

const CPU: Key<OrWord<Percent>> = Key {
    name: "cpu_limit",
    kind: OrWord { word: "none", kind: Percent },
    example: "\"90%\"",
    doc: "Processor time of the process, smoothed over about a second, as a share of what `runtime.threads` can use. The \
          default leaves some for answering those that are refused. `\"none\"`: processor time does not matter.",
};

pub(super) fn read(root: &mut Table<'_>) -> Read<BTreeMap<String, LoadScope>> {
    root.map(&SECTION, |table, _| {
        let (in_flight, cpu) = (table.required(&IN_FLIGHT), table.or(&CPU, Some(CPU_LIMIT)));
        Ok(LoadScope { in_flight_limit: in_flight?, cpu_limit_permille: cpu? })
    })
}
