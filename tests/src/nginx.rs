//! nginx from Debian's packages, as a real service behind the gateway.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::gateway::{PATIENCE, Site};

/// A running nginx that serves a folder of files.
pub struct Nginx {
    folder: TempDir,
    child: Child,
    pub address: SocketAddr,
}

impl Nginx {
    /// Starts it; `locations` goes into its server block.
    pub fn serving(locations: &str) -> Self {
        Self::listening("", locations)
    }

    /// Starts it with parameters of its `listen` directive: `http2`, or `ssl` with the certificate in `locations`.
    pub fn listening(parameters: &str, locations: &str) -> Self {
        Self::start("", "error", "default_type application/octet-stream;", (parameters, locations))
    }

    /// Starts it with lua-nginx-module; `http` and `server` go into these blocks. Its log has what scripts log.
    pub fn with_lua(http: &str, server: &str) -> Self {
        let modules = "load_module modules/ndk_http_module.so; load_module modules/ngx_http_lua_module.so;";
        Self::start(modules, "info", http, ("", server))
    }

    fn start(modules: &str, level: &str, http: &str, (parameters, server): (&str, &str)) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        // nginx cannot report a port that it chose itself.
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound");
        let root = folder.path().display();
        let config = format!(
            "{modules}\ndaemon off; master_process off; pid {root}/pid; error_log {root}/error.log {level};\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; client_max_body_size 0; {http}\n\
             client_body_temp_path {root}/tmp1; proxy_temp_path {root}/tmp2; fastcgi_temp_path {root}/tmp3;\n\
             uwsgi_temp_path {root}/tmp4; scgi_temp_path {root}/tmp5;\n\
             server {{ listen {address} {parameters}; root {root}/files; {server} }} }}\n"
        );
        fs::create_dir(folder.path().join("files")).expect("created");
        fs::write(folder.path().join("nginx.conf"), config).expect("written");
        // nginx runs as another user if it is started as root, which has to get through to the files.
        let mut open = fs::metadata(folder.path()).expect("there").permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut open, 0o755);
        fs::set_permissions(folder.path(), open).expect("set");
        drop(free);
        let child = Command::new("nginx")
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx runs: `cargo xtask test` installs it");
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let log = || fs::read_to_string(folder.path().join("error.log")).unwrap_or_default();
            assert!(Instant::now() < end, "nginx does not listen:\n{}", log());
            std::thread::yield_now();
        }
        Self { folder, child, address }
    }

    /// Starts it with TLS: in the folder, it gets a certificate of its own for `backend.example`, and there is one for
    /// `other.example` beside it, `backend.pem` and `other.pem`. It answers with the name that it was asked for.
    pub fn with_certificate_in(site: &Site) -> Self {
        for file in ["backend", "other"] {
            let made = rcgen::generate_simple_self_signed([format!("{file}.example")]).expect("made");
            site.write(&format!("{file}.pem"), made.cert.pem());
            site.write(&format!("{file}.key"), made.signing_key.serialize_pem());
        }
        let (certificate, key) = (site.path("backend.pem"), site.path("backend.key"));
        let locations = format!(
            "ssl_certificate {}; ssl_certificate_key {}; location / {{ return 200 $ssl_server_name; }}",
            certificate.display(),
            key.display()
        );
        Self::listening("ssl", &locations)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("error.log")).expect("readable")).into_owned()
    }

    /// Puts a file under the root.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join("files").join(name);
        fs::write(&path, content).expect("written");
        path
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
