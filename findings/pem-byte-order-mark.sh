#!/bin/sh
# rustls-pemfile leaves out the first certificate of a file that begins with a byte order mark, and reports nothing.
#
# Seen with rustls-pemfile 2.2.0 over rustls-pki-types 1.15.1 (crates.io), and OpenSSL 3.0.19 (Debian 12).
#
# From memory: what a TLS library reads out of a PEM file, the others read as well, and a file with a certificate that
# cannot be read is an error.
# Seen: a line counts as the beginning of a block only if `-----BEGIN ` is its very start; every other line between blocks
# is skipped as explanatory text. So the mark (EF BB BF), or blanks before the line, hide a block: of a chain of two
# certificates after a mark there is one, the second, as `Ok`. OpenSSL reads both from the same file.
#
# Why a gateway cares: editors and shells of Windows write the mark, and the file has worked in servers with OpenSSL. Taken
# over, the host's own certificate is missing, and the issuer's stands where the host's should; or one of the trusted
# authorities is missing, and the connections that it vouches for fail. Witgate reads certificates, keys and authorities
# by this crate in gateway/server/src/snapshot/certificate.rs, which takes the marks away before, and tells what a file
# holds when it finds none.
#
# Prints, and exits with 1 where that changes:
#   OpenSSL: host issuer
#   rustls-pemfile, as it is: host issuer
#   rustls-pemfile, after a mark: issuer
#   rustls-pemfile, indented: none
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for name in host issuer; do
    openssl req -x509 -newkey ed25519 -nodes -subj "/CN=$name" -days 2 -keyout "$name.key" -out "$name.pem" 2>/dev/null
    openssl x509 -in "$name.pem" -outform der -out "$name.der"
done
cat host.pem issuer.pem >plain.pem
printf '\357\273\277' | cat - plain.pem >marked.pem
sed 's/^/  /' plain.pem >indented.pem
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
rustls-pemfile = "=2.2.0"
rustls-pki-types = { version = "=1.15.1", features = ["std"] }
[workspace]
TOML
cat >src/main.rs <<'RUST'
use std::fs;

fn main() {
    let names = ["host", "issuer"].map(|name| (name, fs::read(format!("{name}.der")).unwrap()));
    for (what, file) in [("as it is", "plain"), ("after a mark", "marked"), ("indented", "indented")] {
        let pem = fs::read(format!("{file}.pem")).unwrap();
        let certificates = rustls_pemfile::certs(&mut &*pem).collect::<Result<Vec<_>, _>>().expect("no error");
        let found = certificates.iter().map(|der| names.iter().find(|(_, known)| **known == **der).unwrap().0);
        let found = found.collect::<Vec<_>>().join(" ");
        println!("rustls-pemfile, {what}: {}", if found.is_empty() { "none" } else { &found });
    }
}
RUST
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$work/target}"
{
    openssl crl2pkcs7 -nocrl -certfile marked.pem | openssl pkcs7 -print_certs -noout | sed -n 's/^subject=CN *= *//p' |
        xargs echo OpenSSL:
    cargo run --quiet
} >seen
cat seen
cat >expected <<'TEXT'
OpenSSL: host issuer
rustls-pemfile, as it is: host issuer
rustls-pemfile, after a mark: issuer
rustls-pemfile, indented: none
TEXT
cmp -s seen expected
