//! `[[listeners]]`: where clients connect.

use std::collections::BTreeMap;

use super::first_of;
use crate::kind::{Address, At, FilePath};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{Listener, Tls};

const SECTION: Section = Section {
    name: "listeners",
    reload: Reload::Restart,
    doc: "Where clients connect; at least one. A listener without `tls` takes HTTP/1.1 and HTTP/2 with prior knowledge on \
          one port, one with `tls` negotiates HTTP/1.1 or HTTP/2 by ALPN.",
};

const ADDRESS: Key<At<Address>> = Key {
    name: "address",
    kind: At(Address),
    example: "\"127.0.0.1:8080\"",
    doc: "Address to listen on. Port 0 takes a free one, which the line `ready …` tells. No two listeners may \
          have the same.",
};

const TLS: Section = Section {
    name: "tls",
    reload: Reload::Restart,
    doc: "Encrypts the listener. The contents of the files are live: a renewed certificate is shown from the next \
          handshake on.",
};

const CERTIFICATE: Key<At<FilePath>> = Key {
    name: "certificate",
    kind: At(FilePath),
    example: "\"cert.pem\"",
    doc: "PEM file with the certificate first, then its intermediates. One that has expired, or is not valid yet, is served \
          with a warning, but does not take the place of one that is valid.",
};

const KEY: Key<At<FilePath>> = Key {
    name: "key",
    kind: At(FilePath),
    example: "\"key.pem\"",
    doc: "PEM file with the certificate's private key, without a passphrase: RSA of 2048 to 4096 bits, ECDSA on P-256 or \
          P-384, or Ed25519.",
};

pub(super) fn read(root: &mut Table<'_>) -> Read<Vec<Listener>> {
    let mut seen = BTreeMap::new();
    let listeners = root.list(&SECTION, |table| {
        let address = table.required(&ADDRESS);
        let tls = table.section(&TLS, |table| {
            let (certificate, key) = (table.required(&CERTIFICATE), table.required(&KEY));
            Ok(Tls { certificate: certificate?, key: key? })
        });
        let listener = Listener { address: address?, tls: tls? };
        let address = listener.address.value;
        if let Some(line) = first_of(&mut seen, address, listener.address.spot.line).filter(|_| address.port() != 0) {
            let message = format!("expected an address of its own, got {address} as in line {line}");
            return Err(table.fail_at(ADDRESS.name, message, "choose another port, or remove one of the two"));
        }
        Ok(listener)
    })?;
    if listeners.is_empty() {
        let help = "add `[[listeners]]` with `address = \"127.0.0.1:8080\"`";
        return Err(root.fail_at(SECTION.name, "missing: expected at least one listener", help));
    }
    Ok(listeners)
}
