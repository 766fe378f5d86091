//! A gateway under test: the real binary, on free ports, with a configuration of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::{self, Response};

/// Longest wait for anything that should happen at once; generous, because test machines are slow and shared, and a reload may have
/// to compile a plugin.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with a `gateway.toml` and whatever it names.
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// Writes a configuration. Listener and admin listener on free ports and a silent access log are put before it,
    /// unless it has `[[listeners]]` of its own.
    pub fn new(config: &str) -> Self {
        let site = Self { folder: TempDir::new().expect("a temporary folder") };
        site.configure(config);
        site
    }

    /// Replaces the configuration at once, as a careful editor does: written aside, then renamed.
    pub fn configure(&self, config: &str) {
        let own = config.contains("[[listeners]]");
        let head = if own { "" } else { HEAD };
        self.write("gateway.toml", format!("{head}{config}"));
    }

    /// Writes a file of any name in the folder, aside and then renamed.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let aside = self.path(&format!(".{name}.new"));
        fs::write(&aside, content).expect("written");
        fs::rename(&aside, &path).expect("renamed");
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("gateway.toml")
    }

    /// Starts the gateway and waits until it is ready.
    pub fn start(self) -> Gateway {
        Gateway::start(self)
    }

    /// Runs `witgate check` on the configuration.
    pub fn check(&self, arguments: &[&str]) -> (ExitStatus, String) {
        let output = Command::new(binary())
            .args(["check", "--config"])
            .arg(self.config())
            .args(arguments)
            .output()
            .expect("witgate runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&text).into_owned())
    }
}

const HEAD: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
                    [access_log]\noutput = \"stdout\"\n[runtime]\nthreads = 2\naccept_timeout = \"0ms\"\n\
                    drain_timeout = \"10s\"\n";

/// The binary that the test command built beside the tests.
pub fn binary() -> PathBuf {
    let tests = std::env::current_exe().expect("the test's own path");
    let folder = tests.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let binary = folder.join("witgate");
    assert!(binary.exists(), "{} is missing: run `cargo xtask test`, which builds it first", binary.display());
    binary
}

/// A component that the test command built: `plugins/…` or `tests/guests/…`.
pub fn component(workspace: &str, name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests have a folder above them");
    let path = root.join(workspace).join("target/wasm32-wasip2/release").join(format!("{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `cargo xtask test`, which builds it first", path.display());
    path
}

/// A guest made for tests.
pub fn guest(name: &str) -> PathBuf {
    component("tests/guests", name)
}

/// A plugin that is shipped.
pub fn plugin(name: &str) -> PathBuf {
    component("plugins", name)
}

/// A running gateway; killed when dropped.
pub struct Gateway {
    site: Site,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// Of each listener, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Gateway {
    /// Starts one with this configuration (see [`Site::new`]).
    pub fn with(config: &str) -> Self {
        Site::new(config).start()
    }

    fn start(site: Site) -> Self {
        let mut child = Command::new(binary())
            .args(["run", "--config"])
            .arg(site.config())
            .env("XDG_CACHE_HOME", cache())
            .env("WITGATE_LOG", "warn,witgate=debug,witgate_server=debug,pingora=off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("witgate starts");
        let (sender, lines) = channel();
        forward("out", child.stdout.take().expect("piped"), sender.clone());
        forward("err", child.stderr.take().expect("piped"), sender);
        let mut gateway = Self { site, child, lines, seen: Vec::new(), addresses: Vec::new(), admin: None };
        let config = fs::read_to_string(gateway.site.config()).expect("readable");
        let listeners = config.matches("[[listeners]]").count();
        let administered = !config.contains("address = \"off\"");
        // The two come on different streams, in either order.
        while gateway.addresses.len() < listeners || (administered && gateway.admin.is_none()) {
            let line = gateway.await_line(|line| line.contains("ready http") || line.contains("admin listener"));
            let address = line.rsplit(['/', '=']).next().and_then(|text| text.trim().parse().ok());
            match (line.starts_with("out ready"), address) {
                (true, Some(address)) => gateway.addresses.push(address),
                (false, Some(address)) => gateway.admin = Some(address),
                (_, None) => panic!("no address in {line:?}"),
            }
        }
        gateway
    }

    /// The first listener.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn site(&self) -> &Site {
        &self.site
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A GET of the first listener.
    pub fn get(&self, path: &str) -> Response {
        self.get_with(path, &[])
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        client::get(self.address(), path, headers)
    }

    /// A GET of the admin listener.
    pub fn admin(&self, path: &str) -> Response {
        client::get(self.admin.expect("an admin listener"), path, &[])
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin.expect("an admin listener")
    }

    /// Value of a metric, by its name and labels as exposed; 0 if it is not there.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Sum of all series of a name whose labels contain all these texts.
    pub fn metric_sum(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.admin("/metrics").text();
        text.lines()
            .filter(|line| line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a condition on the gateway holds; it is asked again and again.
    pub fn eventually(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
            std::thread::yield_now();
        }
    }

    /// Reloads by the admin listener; the answer tells how it ended.
    pub fn reload(&self) -> Response {
        client::request(self.admin_address(), "POST", "/reload", &[("content-length", "0")], b"")
    }

    /// Replaces the configuration and reloads; it must be taken.
    pub fn reconfigure(&self, config: &str) {
        self.site.configure(config);
        let answer = self.reload();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Waits for a line on standard output or error (prefixed `out ` or `err `) that was not waited for before.
    pub fn await_line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let _ = std::io::stderr().flush();
                    panic!("the line did not come; seen:\n{}", self.seen.join("\n"));
                }
            }
        }
    }

    /// The lines that were passed while others were waited for.
    pub fn seen(&self) -> &[String] {
        &self.seen
    }

    /// The access record of a request.
    pub fn record(&mut self, id: &str) -> serde_json::Value {
        let line = self.await_line(|line| line.starts_with("out {") && line.contains(id));
        serde_json::from_str(&line[4..]).expect("a JSON line")
    }

    pub fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a pid");
        // SAFETY: sends a signal to a child that has not been waited for.
        #[expect(unsafe_code)]
        let sent = unsafe { libc::kill(pid, signal) };
        assert_eq!(sent, 0, "the gateway is gone");
    }

    /// Waits until the process has ended.
    pub fn exit(mut self) -> ExitStatus {
        self.child.wait().expect("waited for")
    }

    /// Waits until the process has ended; gives all that it has printed, as [`Self::await_line`] sees it.
    pub fn last_words(mut self) -> (ExitStatus, Vec<String>) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the gateway does not end"),
            }
        }
        let status = self.child.wait().expect("waited for");
        (status, std::mem::take(&mut self.seen))
    }

    /// Resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("readable");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Compiled plugins are shared by all tests of a run.
fn cache() -> PathBuf {
    std::env::temp_dir().join(format!("witgate-tests-{}", std::process::id()))
}

fn forward(stream: &'static str, pipe: impl std::io::Read + Send + 'static, lines: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if lines.send(format!("{stream} {line}")).is_err() {
                return;
            }
        }
    });
}
