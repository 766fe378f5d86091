//! `[admin]`: health, metrics and reload.

use std::net::{Ipv4Addr, SocketAddr};

use crate::kind::{Address, At, OrWord};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{Admin, Listener, Located, Spot};

/// Reachable from this machine alone: the listener can reload, and its metrics tell about traffic.
const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

const SECTION: Section = Section {
    name: "admin",
    reload: Reload::Restart,
    doc: "The admin listener: `GET /live`, `GET /ready`, `GET /metrics`, `POST /reload`.",
};

const ADDRESS: Key<OrWord<At<Address>>> = Key {
    name: "address",
    kind: OrWord { word: "off", kind: At(Address) },
    example: "\"127.0.0.1:9901\"",
    doc: "Its address, of the loopback interface unless `insecure.admin_on_any_address` allows another. `\"off\"` closes it.",
};

pub(super) fn read(root: &mut Table<'_>, any_address: bool, listeners: &[Listener]) -> Read<Admin> {
    root.section_or_default(&SECTION, |table| {
        let default = Located { value: DEFAULT, spot: Spot { path: "admin.address".into(), ..Spot::default() } };
        let address = table.or(&ADDRESS, Some(default))?;
        if let Some(open) = address.as_ref().filter(|address| !address.value.ip().is_loopback() && !any_address) {
            let message = format!("expected a loopback address, got {}, which other machines may reach", open.value);
            let help = "write \"127.0.0.1:9901\", or set `admin_on_any_address = true` under `[insecure]`";
            return Err(table.fail_at(ADDRESS.name, message, help));
        }
        let own = address.as_ref().map(|address| address.value).filter(|address| address.port() != 0);
        if let Some(other) = listeners.iter().find(|listener| Some(listener.address.value) == own) {
            let (taken, line) = (other.address.value, other.address.spot.line);
            let message = format!("expected an address of its own, got {taken} as the listener in line {line}");
            return Err(table.fail_at(ADDRESS.name, message, "choose another port for one of the two"));
        }
        Ok(Admin { address })
    })
}
