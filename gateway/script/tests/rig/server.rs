//! Servers for scripts to connect to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A server that does the same with each connection.
pub fn serve(with: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let with = Arc::new(with);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let with = Arc::clone(&with);
            thread::spawn(move || with(stream));
        }
    });
    port
}

/// A server that answers each line with itself.
pub fn echo() -> u16 {
    serve(|mut stream| {
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
            if stream.write_all(line.as_bytes()).is_err() {
                return;
            }
            line.clear();
        }
    })
}

/// A server that says something and closes.
pub fn says(text: &'static [u8]) -> u16 {
    serve(move |mut stream| {
        let _ = stream.write_all(text);
    })
}

/// A server that says nothing until the peer closes; then it tells.
pub fn silent() -> (u16, Receiver<()>) {
    let (tell, told) = channel();
    let port = serve(move |mut stream| {
        while stream.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {}
        let _ = tell.send(());
    });
    (port, told)
}

/// What a TLS server with a certificate for `name` needs, and the PEM of the authority that signed it.
pub fn identity(name: &str) -> (Arc<rustls::ServerConfig>, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(vec![]).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, format!("authority of {name}"));
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::CertifiedIssuer::self_signed(authority, key).unwrap();
    let own = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(own.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (Arc::new(config), issuer.pem())
}
