//! Certificates and keys from PEM files.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pingora::utils::tls::{WrappedX509, parse_x509};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::unreadable::Unusable;

/// What keys can be, for messages.
const SUPPORTED: &str = "RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519";

/// What editors and shells of Windows put before a text, in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Which of the two files is at fault.
#[derive(Debug)]
pub enum Fault {
    Certificate(Unusable),
    Key(Unusable),
}

/// A PEM file without byte order marks at the beginning of its lines: the parser passes over a block that one stands before, and
/// says nothing. Within the file there are some if others were put together to make it.
pub fn unmarked(pem: &[u8]) -> Cow<'_, [u8]> {
    if !contains(pem, BYTE_ORDER_MARK) {
        return Cow::Borrowed(pem);
    }
    let lines = pem.split_inclusive(|byte| *byte == b'\n');
    Cow::Owned(lines.flat_map(|line| line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)).copied().collect())
}

/// A listener's certificate chain and its key.
///
/// # Errors
/// What is wrong, and whether it is the certificate's file or the key's.
pub fn parse(certificate: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, Fault> {
    let chain = certificates(certificate).map_err(Fault::Certificate)?;
    let private = private_key(key).map_err(Fault::Key)?;
    let kind = kind_of(private.secret_der());
    let signing = any_supported_type(&private).map_err(|_| {
        let size = chain.first().and_then(|leaf| rsa_bits(leaf)).filter(|_| kind == Some("RSA"));
        let got = match (kind, size) {
            (Some(kind), Some(bits)) => format!("{kind} of {bits} bits"),
            (Some(kind), None) => kind.to_owned(),
            (None, _) => "one of another kind, or damaged".to_owned(),
        };
        Fault::Key(Unusable::new(
            format!("expected a key of a supported kind ({SUPPORTED}), got {got}"),
            "make a new key and have a certificate issued for it: `openssl ecparam -genkey -name prime256v1 -noout -out key.pem`",
        ))
    })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Err(mismatch(&certified)),
        Err(rustls::Error::InvalidCertificate(_)) => Err(Fault::Certificate(unusable(&certified.cert))),
        _ => Ok(Arc::new(certified)),
    }
}

/// The key belongs to none, or to another certificate of the chain than the first.
fn mismatch(certified: &CertifiedKey) -> Fault {
    let belongs = |der: &CertificateDer<'static>| {
        CertifiedKey::new(vec![der.clone()], Arc::clone(&certified.key)).keys_match().is_ok()
    };
    match certified.cert.iter().position(belongs) {
        Some(index) => Fault::Certificate(Unusable::new(
            format!("expected the certificate of the key first, got it as number {} of the file", index + 1),
            "put the certificate of this host first, and its intermediates behind it",
        )),
        None => Fault::Key(Unusable::new(
            "expected the key of the certificate, got one that does not belong to the certificate",
            "give the PEM file of the key that the certificate was made for",
        )),
    }
}

/// The first certificate is one, but not of use to anybody.
fn unusable(chain: &[CertificateDer<'_>]) -> Unusable {
    let parsed = chain.first().and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok());
    match parsed.map(|(_, certificate)| certificate.version()) {
        Some(version) if version != x509_parser::x509::X509Version::V3 => Unusable::new(
            format!("expected an X.509 certificate of version 3, got version {}", version.0 + 1),
            "issue it anew with the extension `subjectAltName`, without which no client takes it",
        ),
        _ => damaged(0),
    }
}

fn damaged(index: usize) -> Unusable {
    Unusable::new(
        format!("expected an X.509 certificate, got one that is damaged (number {} of the file)", index + 1),
        "copy the file again from whoever issued it",
    )
}

/// The certificates of a PEM file, each of which can be read; at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let pem = &*unmarked(pem);
    let found = rustls_pemfile::certs(&mut &*pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|_| cut_short("CERTIFICATE"))?;
    for (index, der) in found.iter().enumerate() {
        // Pingora's own parser panics on what it cannot read.
        x509_parser::parse_x509_certificate(der).map_err(|_| damaged(index))?;
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let (got, help) = match contents(pem) {
        Contents::Nothing => ("an empty file".to_owned(), "put the certificate there"),
        Contents::Binary => (
            "a binary file".to_owned(),
            "convert it: `openssl x509 -inform der -in FILE -out cert.pem`, or `openssl pkcs12 -in FILE -nokeys -out cert.pem`",
        ),
        Contents::Text => {
            ("text of another kind".to_owned(), "give a PEM file: it has lines `-----BEGIN CERTIFICATE-----`")
        }
        Contents::Blocks(labels) if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) => {
            ("a private key".to_owned(), "name the file of the certificate here, and that of the key as `key`")
        }
        Contents::Blocks(labels) if labels.iter().any(|label| label.ends_with("CERTIFICATE REQUEST")) => {
            ("a request for one".to_owned(), "have it signed by an authority, and give the certificate that comes back")
        }
        Contents::Blocks(labels) => (
            format!("PEM blocks `{}`", labels.join("`, `")),
            "give a PEM file with the certificate first, then its intermediates",
        ),
    };
    Err(Unusable::new(
        format!("expected PEM blocks `CERTIFICATE`, the host's own first, got {got}: the file holds no certificate"),
        help,
    ))
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Unusable> {
    let pem = &*unmarked(pem);
    let labels = match contents(pem) {
        Contents::Blocks(labels) => labels,
        _ => Vec::new(),
    };
    let has = |label: &str| labels.iter().any(|found| found == label);
    // The older form of an encrypted key looks like any other but for a header.
    if has("ENCRYPTED PRIVATE KEY") || contains(pem, b"Proc-Type: 4,ENCRYPTED") {
        return Err(Unusable::new(
            "expected a key without a passphrase, got an encrypted one, and nobody is there to be asked",
            "decrypt it into a file that only the gateway's user may read: `openssl pkey -in FILE -out key.pem`",
        ));
    }
    let found = rustls_pemfile::private_key(&mut &*pem).map_err(|_| cut_short("PRIVATE KEY"))?;
    if let Some(key) = found {
        return Ok(key);
    }
    let (got, help) = match contents(pem) {
        Contents::Nothing => ("an empty file", "put the key there"),
        Contents::Binary => ("a binary file", "convert it: `openssl pkey -inform der -in FILE -out key.pem`"),
        Contents::Text => ("text of another kind", "give a PEM file: it has a line `-----BEGIN PRIVATE KEY-----`"),
        Contents::Blocks(_) if has("OPENSSH PRIVATE KEY") => {
            ("a key in OpenSSH's own form", "convert it: `ssh-keygen -p -m PKCS8 -f FILE`")
        }
        Contents::Blocks(_) if has("DSA PRIVATE KEY") => {
            ("a DSA key", "make a new key, of RSA, ECDSA or Ed25519, and have a certificate issued for it")
        }
        Contents::Blocks(_) if has("CERTIFICATE") => {
            ("a certificate", "name the file of the private key here, and that of the certificate as `certificate`")
        }
        Contents::Blocks(_) if has("PUBLIC KEY") => {
            ("a public key", "give the file of the private key that it belongs to")
        }
        Contents::Blocks(_) => {
            ("PEM blocks of other kinds", "give the PEM file of the key that the certificate was made for")
        }
    };
    Err(Unusable::new(format!("expected a PEM block `PRIVATE KEY`, got {got}: the file holds no private key"), help))
}

fn cut_short(label: &str) -> Unusable {
    Unusable::new(
        format!("expected PEM blocks `{label}`, got one that is cut short or damaged"),
        "copy the file again: from `-----BEGIN` to `-----END`, nothing may be missing",
    )
}

/// What a file has that should be PEM.
enum Contents {
    Nothing,
    Binary,
    Text,
    /// Labels of PEM blocks.
    Blocks(Vec<String>),
}

fn contents(pem: &[u8]) -> Contents {
    let Ok(text) = std::str::from_utf8(pem) else { return Contents::Binary };
    if text.trim().is_empty() {
        return Contents::Nothing;
    }
    if text.contains('\0') {
        return Contents::Binary;
    }
    let label = |line: &str| Some(line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")?.to_owned());
    let mut labels: Vec<_> = text.lines().filter_map(label).collect();
    labels.dedup();
    // Nobody reads more of them.
    labels.truncate(4);
    if labels.is_empty() { Contents::Text } else { Contents::Blocks(labels) }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Kinds of keys by the encoding of their object identifiers: of curves first, which stand beside that of ECDSA.
const KINDS: [(&[u8], &str); 9] = [
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23], "ECDSA on P-521"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a], "ECDSA on secp256k1"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22], "ECDSA on P-384"),
    (&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], "ECDSA on P-256"),
    (&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01], "DSA"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x71], "Ed448"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x6e], "X25519, which cannot sign"),
    (&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a], "RSA for PSS only"),
    (&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], "RSA"),
];

fn kind_of(der: &[u8]) -> Option<&'static str> {
    let known = KINDS.iter().find(|(identifier, _)| contains(der, identifier)).map(|(_, kind)| *kind);
    // The form of RSA's own standard names no kind: a sequence of whole numbers, the first of them zero.
    let is_bare_rsa =
        || der.starts_with(&[0x30]) && contains(der.get(..8).unwrap_or_default(), &[0x02, 0x01, 0x00, 0x02]);
    known.or_else(|| is_bare_rsa().then_some("RSA"))
}

fn rsa_bits(leaf: &CertificateDer<'_>) -> Option<usize> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    match certificate.public_key().parsed().ok()? {
        x509_parser::public_key::PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}

/// How a certificate stands to its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Valid,
    /// Since then, in seconds of Unix time.
    Expired(i64),
    /// Until then.
    NotYet(i64),
}

impl Standing {
    /// "expired on …": what is wrong with it.
    pub fn words(self) -> Option<String> {
        match self {
            Self::Valid => None,
            Self::Expired(at) => Some(format!("expired on {}", date(at))),
            Self::NotYet(at) => Some(format!("is not valid before {}", date(at))),
        }
    }
}

/// How the certificates of a chain stand at a time: the index of the first that is not valid then, and why.
pub fn standing(chain: &[CertificateDer<'_>], now: SystemTime) -> (usize, Standing) {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let of = |der: &CertificateDer<'_>| {
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else { return Standing::Valid };
        let validity = certificate.validity();
        let (first, last) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        if now > last {
            Standing::Expired(last)
        } else if now < first {
            Standing::NotYet(first)
        } else {
            Standing::Valid
        }
    };
    let mut standings = chain.iter().map(of).enumerate();
    standings.find(|(_, standing)| *standing != Standing::Valid).unwrap_or((0, Standing::Valid))
}

fn date(seconds: i64) -> String {
    // Before 1970 there were no certificates.
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    UNIX_EPOCH.checked_add(since).map_or_else(|| "a day far away".to_owned(), httpdate::fmt_http_date)
}

/// Authorities that endpoints' certificates are checked against.
///
/// # Errors
/// What is wrong with the file.
pub fn authorities(pem: &[u8]) -> Result<Arc<[WrappedX509]>, Unusable> {
    let certificates = certificates(pem)?;
    Ok(certificates.iter().map(|der| WrappedX509::new(der.to_vec(), parse_x509)).collect())
}

/// Why no certificate of a file of authorities is of use today, if none is.
pub fn expired_authorities(pem: &[u8], now: SystemTime) -> Option<String> {
    let certificates = rustls_pemfile::certs(&mut &*unmarked(pem)).collect::<Result<Vec<_>, _>>().ok()?;
    let standings: Vec<_> = certificates.iter().map(|der| standing(std::slice::from_ref(der), now).1).collect();
    let all = standings.iter().all(|standing| *standing != Standing::Valid);
    standings.first().filter(|_| all).and_then(|standing| standing.words())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &[u8] = include_bytes!("../../tests/check/files/good.pem");
    const KEY: &[u8] = include_bytes!("../../tests/check/files/good.key");
    const OTHER: &[u8] = include_bytes!("../../tests/check/files/future.pem");

    #[test]
    fn a_byte_order_mark_hides_nothing() {
        let marked =
            |parts: &[&[u8]]| parts.iter().flat_map(|part| [BYTE_ORDER_MARK, *part]).collect::<Vec<_>>().concat();
        let chain = parse(&marked(&[CERTIFICATE, OTHER]), &marked(&[KEY])).unwrap();
        assert_eq!(chain.cert, parse(&[CERTIFICATE, OTHER].concat(), KEY).unwrap().cert);
        assert_eq!(chain.cert.len(), 2);
        let all =
            |pem: &[u8]| authorities(pem).unwrap().iter().map(|one| one.borrow_raw_cert().clone()).collect::<Vec<_>>();
        assert_eq!(all(&marked(&[CERTIFICATE, OTHER])), all(&[CERTIFICATE, OTHER].concat()));
        assert!(matches!(unmarked(CERTIFICATE), Cow::Borrowed(_)));
        assert_eq!(*unmarked(b"\xef\xbb\xbfa\n\xef\xbb\xbfb \xef\xbb\xbf"), *b"a\nb \xef\xbb\xbf");
    }
}
