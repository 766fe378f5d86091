//! `witgate top`, through the binary: what it shows of a gateway at work, and what it says where there is none.

use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;
use witgate_tests::gateway::{PATIENCE, binary, plugin};
use witgate_tests::{Gateway, Site, Upstream};

fn top(admin: SocketAddr, arguments: &[&str]) -> Child {
    Command::new(binary())
        .args(["top", "--once", "--admin", &admin.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("witgate starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A gateway whose plugin refuses whoever has no key.
fn guarded(upstream: &Upstream) -> Gateway {
    let site = Site::new(&format!(
        "{}[key_sets.customers]\nfile = \"keys.txt\"\n[plugins.auth]\npath = \"{}\"\n[[routes]]\nname = \"api\"\n\
         upstream = \"u\"\nstages = [{{ plugin = \"auth\", config = {{ key_set = \"customers\" }}, \
         grants = [\"clock\", \"crypto:customers\"] }}]\n",
        upstream.config("u"),
        plugin("auth").display(),
    ));
    site.write("keys.txt", "key-1 alice\n");
    site.start()
}

/// Runs `witgate top --once` and sends requests, of which half are refused, until it has printed its view. Many of them
/// lie between its two readings, for it ends only after an interval.
fn watched(gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut top = top(gateway.admin_address(), arguments);
    let end = Instant::now() + PATIENCE;
    while top.try_wait().expect("waited for").is_none() {
        assert!(Instant::now() < end, "it did not end");
        assert_eq!(gateway.get_with("/", &[("x-api-key", "key-1")]).status, 200);
        assert_eq!(gateway.get("/").status, 401);
    }
    top.wait_with_output().expect("its output")
}

#[test]
fn one_view_shows_the_route_the_plugin_and_its_instances() {
    let upstream = Upstream::saying("ok");
    let gateway = guarded(&upstream);
    let ran = watched(&gateway, &["--interval", "500ms"]);
    let shown = text(&ran.stdout);
    assert!(ran.status.success(), "{shown}{}", text(&ran.stderr));
    let row = |head: &str, start: &str| -> Vec<String> {
        let mut lines = shown.lines().skip_while(|line| !line.starts_with(head));
        let line = lines.find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in\n{shown}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    let route = row("ROUTE  REQ/S", "api");
    assert!(route[1] != "0" && route[2].ends_with('%') && route[3] == "0", "{shown}");
    assert!(route[4..].iter().all(|time| time.ends_with('s')), "{shown}");
    let stage = row("ROUTE  PLUGIN", "api");
    assert_eq!(stage[1..3], ["auth", "request-headers"], "{shown}");
    assert!(stage[3] != "0" && stage[4..7].iter().all(|time| time.ends_with('s')), "{shown}");
    assert!(shown.contains("refuse "), "{shown}");
    assert!(row("PLUGIN", "auth")[1].parse::<u32>().is_ok_and(|live| live > 0), "{shown}");
    assert!(!shown.contains('\u{1b}'), "what is no terminal gets no escapes: {shown:?}");
}

#[test]
fn json_has_the_keys_that_the_help_names_and_figures_that_agree() {
    let upstream = Upstream::saying("ok");
    let gateway = guarded(&upstream);
    let ran = watched(&gateway, &["--interval", "500ms", "--format", "json"]);
    let view: Value = serde_json::from_slice(&ran.stdout).expect("one object");
    assert_eq!(text(&ran.stdout).lines().count(), 1);
    let help = Command::new(binary()).args(["top", "--help"]).output().expect("witgate runs");
    let help = text(&help.stdout);
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("no number in {view}"));
    let (route, stage) = (&view["routes"][0], &view["stages"][0]);
    for object in [&view, route, stage, &view["plugins"][0]] {
        for key in object.as_object().expect("an object").keys() {
            assert!(help.contains(&format!("\"{key}\"")), "{key} is not in\n{help}");
        }
    }
    assert_eq!((&view["restarted"], &view["generation"]), (&Value::Bool(false), &Value::from(1)), "{view}");
    assert_eq!(
        (&route["route"], &stage["plugin"], &stage["hook"]),
        (&"api".into(), &"auth".into(), &"on-request-headers".into())
    );
    let (requests, calls) = (number(&route["requests_per_s"]), number(&stage["calls_per_s"]));
    // A request that is on its way at a reading may be in one figure and not yet in the other.
    assert!(requests > 0.0 && (requests - calls).abs() * number(&view["interval_s"]) <= 2.5, "{view}");
    assert!((number(&route["share_4xx"]) - 0.5).abs() < 0.26, "{view}");
    assert!(number(&stage["verdicts_per_s"]["refuse"]) > 0.0, "{view}");
    assert!(number(&stage["guest_s"]) > 0.0 && number(&stage["mean_s"]) >= number(&stage["guest_s"]), "{view}");
    assert_eq!(view["plugins"][0]["breaker"], "closed");
}

#[test]
fn where_there_is_no_gateway_it_says_so_and_what_to_do() {
    // Bound and let go again: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let ran = top(free, &[]).wait_with_output().expect("its output");
    let said = text(&ran.stderr);
    assert_eq!((ran.status.code(), ran.stdout.len()), (Some(1), 0), "{said}");
    assert!(
        said.contains(&free.to_string()) && said.contains("start the gateway") && said.contains("--admin"),
        "{said}"
    );

    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!("{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u")));
    let ran = top(gateway.address(), &[]).wait_with_output().expect("its output");
    let said = text(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("not that of a listener for clients"), "{said}");
}

#[test]
fn wrong_arguments_are_told_with_what_was_expected() {
    for (arguments, expected) in [
        (["--admin", "http://127.0.0.1:9901"], "HOST:PORT"),
        (["--interval", "2"], "100ms to 1h"),
        (["--interval", "1ms"], "100ms to 1h"),
    ] {
        let ran = Command::new(binary()).arg("top").args(arguments).output().expect("witgate runs");
        let said = text(&ran.stderr);
        assert!(ran.status.code() == Some(2) && said.contains(expected), "{arguments:?}: {said}");
    }
}

/// Both ends of a new terminal of 100 columns and 30 lines: ours, and that of who runs in it.
#[expect(unsafe_code)]
fn terminal() -> (File, File) {
    let (mut ours, mut theirs) = (-1, -1);
    let size = libc::winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: all pointers are of live values, or null where that is allowed.
    let opened = unsafe { libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null(), &size) };
    assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: both have just been opened, and nobody else owns them.
    unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) }
}

/// Whether the terminal edits lines and echoes, as a shell expects it.
#[expect(unsafe_code)]
fn is_cooked(terminal: &File) -> bool {
    let mut modes = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the pointer is of a live value, which is read only if it was filled.
    let modes = unsafe {
        assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), modes.as_mut_ptr()), 0);
        modes.assume_init()
    };
    modes.c_lflag & (libc::ICANON | libc::ECHO) == libc::ICANON | libc::ECHO
}

/// Waits until there is something to read, but not for ever: this end stays open when the view has ended.
#[expect(unsafe_code)]
fn is_readable(screen: &File) -> bool {
    let mut asked = libc::pollfd { fd: screen.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let patience = libc::c_int::try_from(PATIENCE.as_millis()).expect("a short time");
    // SAFETY: one live value, and its count.
    let ready = unsafe { libc::poll(&mut asked, 1, patience) };
    ready == 1
}

/// Reads what is drawn until a text has come.
fn drawn_until(screen: &mut File, wanted: &str) -> String {
    let (mut drawn, mut piece) = (Vec::new(), [0; 4096]);
    let end = Instant::now() + PATIENCE;
    while !text(&drawn).contains(wanted) {
        assert!(Instant::now() < end && is_readable(screen), "no {wanted}: {}", text(&drawn));
        let count = screen.read(&mut piece).unwrap_or_else(|error| panic!("no {wanted}: {error}: {}", text(&drawn)));
        drawn.extend_from_slice(&piece[..count]);
    }
    text(&drawn)
}

/// A live view that has drawn its first figures, and both ends of its terminal.
fn live(admin: SocketAddr) -> (Child, File, File) {
    let (mut screen, theirs) = terminal();
    let stream = || Stdio::from(theirs.try_clone().expect("another handle"));
    let top = Command::new(binary())
        .args(["top", "--interval", "100ms", "--admin", &admin.to_string()])
        .stdin(stream())
        .stdout(stream())
        .stderr(stream())
        .spawn()
        .expect("witgate starts");
    drawn_until(&mut screen, "requests/s");
    (top, screen, theirs)
}

#[test]
fn the_live_view_outlives_the_gateway_and_gives_the_terminal_back() {
    let upstream = Upstream::saying("ok");
    let gateway = guarded(&upstream);
    for end in ["q", "\u{3}", "SIGTERM"] {
        let (mut top, mut screen, theirs) = live(gateway.admin_address());
        assert!(!is_cooked(&theirs), "the view reads single keys");
        if end == "SIGTERM" {
            let pid = libc::pid_t::try_from(top.id()).expect("a pid");
            // SAFETY: sends a signal to a child that has not been waited for.
            #[expect(unsafe_code)]
            let sent = unsafe { libc::kill(pid, libc::SIGTERM) };
            assert_eq!(sent, 0);
        } else {
            screen.write_all(end.as_bytes()).expect("typed");
        }
        drawn_until(&mut screen, "\u{1b}[?1049l");
        assert!(top.wait().expect("waited for").success(), "{end:?}");
        assert!(is_cooked(&theirs), "{end:?}");
    }

    let (mut top, mut screen, _theirs) = live(gateway.admin_address());
    drop(gateway);
    drawn_until(&mut screen, "tries again");
    assert!(top.try_wait().expect("asked").is_none(), "it goes on");
    screen.write_all(b"q").expect("typed");
    drawn_until(&mut screen, "\u{1b}[?1049l");
    assert!(top.wait().expect("waited for").success());
}
