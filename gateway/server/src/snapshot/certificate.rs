//! Certificates and keys from PEM files.

use std::sync::Arc;

use pingora::utils::tls::{WrappedX509, parse_x509};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::CertifiedKey;

/// A listener's certificate chain and its key.
///
/// # Errors
/// What is wrong, and whether it is the certificate's file or the key's.
pub fn parse(certificate: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, Fault> {
    let chain = rustls_pemfile::certs(&mut &*certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Fault::Certificate(format!("not a PEM file: {error}")))?;
    if chain.is_empty() {
        return Err(Fault::Certificate("holds no certificate; expected PEM blocks `CERTIFICATE`, leaf first".into()));
    }
    let key = rustls_pemfile::private_key(&mut &*key)
        .map_err(|error| Fault::Key(format!("not a PEM file: {error}")))?
        .ok_or_else(|| Fault::Key("holds no private key; expected a PEM block `PRIVATE KEY`".into()))?;
    let key = any_supported_type(&key).map_err(|error| Fault::Key(format!("unusable key: {error}")))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(Fault::Key("does not belong to the certificate".into()))
        }
        Err(rustls::Error::InvalidCertificate(error)) => Err(Fault::Certificate(format!("invalid: {error:?}"))),
        _ => Ok(Arc::new(certified)),
    }
}

/// Which of the two files is at fault.
#[derive(Debug)]
pub enum Fault {
    Certificate(String),
    Key(String),
}

/// Authorities that endpoints' certificates are checked against.
///
/// # Errors
/// What is wrong with the file.
pub fn authorities(pem: &[u8]) -> Result<Arc<[WrappedX509]>, String> {
    let certificates = rustls_pemfile::certs(&mut &*pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("not a PEM file: {error}"))?;
    if certificates.is_empty() {
        return Err("holds no certificate; expected PEM blocks `CERTIFICATE`".to_owned());
    }
    for der in &certificates {
        // Pingora's own parser panics on what it cannot read.
        x509_parser::parse_x509_certificate(der).map_err(|error| format!("not an X.509 certificate: {error}"))?;
    }
    Ok(certificates.iter().map(|der| WrappedX509::new(der.to_vec(), parse_x509)).collect())
}
