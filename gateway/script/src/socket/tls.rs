//! TLS of scripts' connections.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::transport::Plain;

/// Where Debian and its relatives keep the authorities that the system trusts, unless `SSL_CERT_FILE` names another place.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How much of a server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Nothing,
    /// Who signed it. The script has named no server.
    Chain,
    /// And for which server.
    Name,
}

/// The settings that connections of one app share, made when they are first wanted. They keep sessions to go on with, and so
/// no two apps, and no two kinds of check, share them.
#[derive(Default)]
pub(crate) struct Configs {
    nothing: OnceLock<Arc<ClientConfig>>,
    chain: OnceLock<Result<Arc<ClientConfig>, String>>,
    name: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Configs {
    /// Whether settings are there; if not, making them may take milliseconds and read a file.
    pub fn has(&self, check: Check) -> bool {
        match check {
            Check::Nothing => true,
            Check::Chain => self.chain.get().is_some(),
            Check::Name => self.name.get().is_some(),
        }
    }

    /// Settings for a check; `roots`: authorities in PEM, instead of the system's.
    ///
    /// # Errors
    /// There are no authorities.
    pub fn get(&self, check: Check, roots: Option<&Bytes>) -> Result<Arc<ClientConfig>, String> {
        let builder = || {
            // Never fails: the provider has suites for both versions.
            ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())
        };
        match check {
            Check::Nothing => {
                if let Some(config) = self.nothing.get() {
                    return Ok(Arc::clone(config));
                }
                let verifier = Arc::new(Unchecked);
                let config = builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
                Ok(Arc::clone(self.nothing.get_or_init(|| Arc::new(config))))
            }
            Check::Chain => self
                .chain
                .get_or_init(|| {
                    let verifier = Arc::new(ChainOnly(verifier(roots)?));
                    let dangerous = builder()?.dangerous().with_custom_certificate_verifier(verifier);
                    Ok(Arc::new(dangerous.with_no_client_auth()))
                })
                .clone(),
            Check::Name => self
                .name
                .get_or_init(|| {
                    let verifier = verifier(roots)?;
                    Ok(Arc::new(builder()?.with_webpki_verifier(verifier).with_no_client_auth()))
                })
                .clone(),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

fn verifier(own: Option<&Bytes>) -> Result<Arc<WebPkiServerVerifier>, String> {
    let roots = match own {
        Some(pem) => Arc::new(parse(pem)),
        None => system_roots()?,
    };
    WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| format!("no certificate authorities to check certificates by: {error}"))
}

fn parse(pem: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // The system's list may have some that nobody can use any more.
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
    roots
}

fn system_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Result<Arc<RootCertStore>, String>> = OnceLock::new();
    let load = || {
        let file = std::env::var_os("SSL_CERT_FILE").unwrap_or_else(|| SYSTEM_ROOTS.into());
        let pem = std::fs::read(&file)
            .map_err(|error| format!("cannot read certificate authorities from {}: {error}", file.display()))?;
        Ok(Arc::new(parse(&pem)))
    };
    ROOTS.get_or_init(load).clone()
}

/// Shakes hands on a connection that is there.
///
/// # Errors
/// As scripts see it.
pub(crate) async fn shake_hands(
    plain: Plain,
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
) -> Result<TlsStream<Plain>, String> {
    let (connector, name) = match name {
        Some(name) => (TlsConnector::from(config), name),
        None => {
            let mut without_name = (*config).clone();
            without_name.enable_sni = false;
            // Sessions are kept by name.
            without_name.resumption = Resumption::disabled();
            // Never sent, and checked by nobody.
            let nobody = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
            (TlsConnector::from(Arc::new(without_name)), nobody)
        }
    };
    connector.connect(name, plain).await.map_err(|error| refusal(&error))
}

/// In OpenSSL's words where there are some.
fn refusal(error: &io::Error) -> String {
    use rustls::Error::InvalidCertificate;
    let tls = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
    match tls {
        Some(InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "certificate host mismatch".to_owned(),
        Some(InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "20: unable to get local issuer certificate".to_owned()
        }
        Some(InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            "10: certificate has expired".to_owned()
        }
        Some(InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })) => {
            "9: certificate is not yet valid".to_owned()
        }
        Some(InvalidCertificate(CertificateError::Revoked)) => "23: certificate revoked".to_owned(),
        Some(InvalidCertificate(_)) => "certificate verify failed".to_owned(),
        Some(_) => "handshake failed".to_owned(),
        None if error.raw_os_error().is_some() => super::transport::describe(error),
        None => "handshake failed".to_owned(),
    }
}

/// Takes every certificate: what `sslhandshake` does unless it is told to verify.
#[derive(Debug)]
struct Unchecked;

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Checks who signed a certificate and not for whom.
#[derive(Debug)]
struct ChainOnly(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::Error::InvalidCertificate;
        // The name is looked at last, when everything else was found to be right.
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
