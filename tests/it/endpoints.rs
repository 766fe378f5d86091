//! Endpoints that fail: who is sent there, what is remembered of them, and how it is told.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use witgate_tests::client::{get, request};
use witgate_tests::{Gateway, Site, Upstream};

/// An address where nobody listens.
fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound")
}

/// An address that answers nothing at all: whoever connects waits, for as long as this lives.
struct Hole {
    address: SocketAddr,
    _listener: TcpListener,
    _fillers: Vec<TcpStream>,
}

impl Hole {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
            socket.listen(0).expect("listening").into_std().expect("a socket")
        });
        let address = listener.local_addr().expect("bound");
        // The queue of connections that nobody accepts is full once one of these is left to wait.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let fillers: Vec<_> = (0..16).map_while(connect).collect();
        assert!(fillers.len() < 16, "the queue has no end");
        Self { address, _listener: listener, _fillers: fillers }
    }
}

fn config(endpoints: &[SocketAddr], more: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "[upstreams.u]\nendpoints = [{}]\n{more}\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n",
        endpoints.join(", ")
    )
}

fn failures(gateway: &Gateway, endpoint: SocketAddr, cause: &str) -> f64 {
    let labels = [format!("cause=\"{cause}\""), format!("endpoint=\"{endpoint}\"")];
    gateway.metric_sum("witgate_upstream_failures_total", &labels.each_ref().map(String::as_str))
}

#[test]
fn of_two_endpoints_one_dead_no_request_fails_however_many_come_at_once() {
    let (alive, dead) = (Upstream::saying("ok"), closed());
    let gateway = Gateway::with(&config(&[dead, alive.address()], "backoff = \"10ms\"\nbackoff_limit = \"10ms\""));
    let address = gateway.address();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(get(address, "/", &[]).status, 200);
                }
            });
        }
    });
    assert!(failures(&gateway, dead, "refused") > 1.0, "it was tried again after its backoff");
}

#[test]
fn requests_do_not_wait_one_after_the_other_for_an_endpoint_that_does_not_answer() {
    let (alive, hole) = (Upstream::saying("ok"), Hole::new());
    let patience = "connect_timeout = \"300ms\"\nbackoff = \"1h\"\nbackoff_limit = \"1h\"";
    let gateway = Gateway::with(&config(&[hole.address, alive.address()], patience));
    for _ in 0..20 {
        assert_eq!(gateway.get("/").status, 200);
    }
    assert_eq!(failures(&gateway, hole.address, "connect_timeout"), 1.0);
    assert_eq!(alive.received().len(), 20);
}

#[test]
fn a_deadline_shorter_than_the_time_for_connecting_shows_all_the_same_that_nobody_answers() {
    let (alive, hole) = (Upstream::saying("ok"), Hole::new());
    let patience = "connect_timeout = \"20s\"\nbackoff = \"1h\"\nbackoff_limit = \"1h\"";
    let text = config(&[hole.address, alive.address()], patience);
    let gateway = Gateway::with(&format!("{text}deadline = \"700ms\"\n"));
    let statuses: Vec<_> = (0..6).map(|_| gateway.get("/").status).collect();
    assert_eq!(statuses, [504, 200, 200, 200, 200, 200]);
}

#[test]
fn an_endpoint_that_fails_is_told_of_once_and_so_is_its_return() {
    let dead = closed();
    let mut gateway = Gateway::with(&config(&[dead], "backoff = \"10ms\"\nbackoff_limit = \"10ms\""));
    let up = format!("witgate_upstream_up{{endpoint=\"{dead}\",upstream=\"u\"}}");
    assert_eq!(gateway.metric(&up), 1.0);
    for _ in 0..50 {
        assert_eq!(gateway.get("/").status, 503);
    }
    let line = gateway.await_line(|line| line.contains("an endpoint fails"));
    for part in ["upstream=u", &format!("address={dead}"), "cause=\"refused\""] {
        assert!(line.contains(part), "no {part} in {line:?}");
    }
    assert_eq!((gateway.metric(&up), failures(&gateway, dead, "refused")), (0.0, 50.0));
    let ready = gateway.admin("/ready");
    assert_eq!(ready.status, 200, "only requests can show that it is back");
    assert!(ready.text().contains(&format!("upstream u: {dead} fails for ")), "{}", ready.text());
    assert!(ready.text().contains("upstream u: every endpoint fails"), "{}", ready.text());

    let listener = TcpListener::bind(dead).expect("still free");
    let answering = Upstream::on(listener, |_, stream| {
        std::io::Write::write_all(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_ok()
    });
    assert_eq!(gateway.get("/").status, 200, "with nothing else to try, it is tried all the same");
    let line = gateway.await_line(|line| line.contains("an endpoint is back"));
    assert!(line.contains("failures=50"), "{line}");
    assert_eq!((gateway.metric(&up), answering.received().len()), (1.0, 1));
    assert!(!gateway.admin("/ready").text().contains("fails"));
    let said = gateway.seen().iter().filter(|line| line.contains("an endpoint")).count();
    assert_eq!(said, 2, "one line for each change: {:?}", gateway.seen());
}

#[test]
fn an_endpoint_that_breaks_off_is_told_of_but_not_passed_over() {
    let broken = Upstream::new(|_, _| false);
    let mut gateway = Gateway::with(&config(&[broken.address()], ""));
    for _ in 0..5 {
        let answer = request(gateway.address(), "POST", "/", &[("content-length", "0")], b"");
        assert_eq!(answer.status, 502);
    }
    let line = gateway.await_line(|line| line.contains("an endpoint fails"));
    assert!(line.contains("cause=\"closed\""), "{line}");
    assert_eq!((failures(&gateway, broken.address(), "closed"), broken.received().len()), (5.0, 5));
}

#[test]
fn series_of_an_endpoint_that_left_the_configuration_go_away_and_others_keep_what_they_counted() {
    let (dead, other) = (closed(), closed());
    let gateway = Gateway::with(&config(&[dead, other], ""));
    for _ in 0..4 {
        gateway.get("/");
    }
    let before = failures(&gateway, dead, "refused");
    assert!(before > 0.0 && failures(&gateway, other, "refused") > 0.0);
    gateway.reconfigure(&config(&[dead], "write_timeout = \"7s\""));
    gateway.eventually("the series are gone", |gateway| !gateway.admin("/metrics").text().contains(&other.to_string()));
    assert_eq!(failures(&gateway, dead, "refused"), before, "a reload forgets nothing of those that stay");
}

#[test]
fn the_live_view_shows_endpoints_that_fail() {
    let dead = closed();
    let gateway = Gateway::with(&config(&[dead], ""));
    assert_eq!(gateway.get("/").status, 503);
    let view = std::process::Command::new(witgate_tests::gateway::binary())
        .args(["top", "--once", "--interval", "100ms", "--admin", &gateway.admin_address().to_string()])
        .output()
        .expect("witgate runs");
    let view = String::from_utf8_lossy(&view.stdout).into_owned();
    let row = view.lines().find(|line| line.contains(&dead.to_string())).unwrap_or_default();
    assert!(row.starts_with('u') && row.contains("fails"), "{view}");
}

/// Never resolves (RFC 6761, section 6.4).
const NOWHERE: &str = "nowhere.invalid:80";

#[test]
fn a_gateway_starts_though_a_name_does_not_resolve_and_says_what_it_does_without() {
    let alive = Upstream::saying("ok");
    let site = Site::new(&format!(
        "{}[upstreams.lost]\nendpoints = [\"{NOWHERE}\"]\n\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\n[[routes]]\nname = \"lost\"\npath = \"/lost\"\nupstream = \"lost\"\n",
        alive.config("u")
    ));
    let (status, said) = site.check(&[]);
    assert!(!status.success() && said.contains("`nowhere.invalid` cannot be resolved"), "{said}");
    assert!(said.contains("looks it up again and again, and answers 503 meanwhile"), "{said}");
    let mut gateway = site.start();
    assert_eq!(gateway.get("/").text(), "ok");
    let answer = gateway.get_with("/lost", &[("x-request-id", "lost-1")]);
    assert_eq!((answer.status, answer.code().as_str()), (503, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(gateway.record("lost-1")["error"], "no name of upstream `lost` resolves");
    let ready = gateway.admin("/ready");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("upstream lost: `nowhere.invalid` cannot be resolved"), "{}", ready.text());
    let series = "witgate_upstream_name_resolved{name=\"nowhere.invalid\",upstream=\"lost\"}";
    assert!(gateway.admin("/metrics").text().contains(&format!("{series} 0\n")));
    let reloaded = gateway.reload().json();
    assert_eq!(reloaded["outcome"], "unchanged");
    assert!(reloaded["warnings"][0]["message"].as_str().is_some_and(|text| text.contains("nowhere.invalid")));
}

#[test]
fn a_reload_that_brings_a_name_which_does_not_resolve_is_refused_and_one_that_keeps_it_is_not() {
    let alive = Upstream::saying("ok");
    let config = |endpoint: &str, body_limit: &str| {
        format!(
            "{}[upstreams.more]\nendpoints = [\"{endpoint}\"]\n\
             [[routes]]\nname = \"all\"\nupstream = \"u\"\nbody_limit = \"{body_limit}\"\n",
            alive.config("u")
        )
    };
    let gateway = Gateway::with(&config("127.0.0.1:1", "1KiB"));
    gateway.site().configure(&config(NOWHERE, "1KiB"));
    let refused = gateway.reload();
    assert_eq!((refused.status, refused.json()["outcome"].as_str()), (422, Some("refused")));
    let message = refused.json()["diagnostics"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.starts_with("`nowhere.invalid` cannot be resolved: "), "{message}");

    let gateway = Gateway::with(&config(NOWHERE, "1KiB"));
    gateway.site().configure(&config(NOWHERE, "2KiB"));
    gateway.eventually("the change serves", |gateway| gateway.metric("witgate_generation") == 2.0);
    assert_eq!(gateway.get("/").text(), "ok");
}

#[test]
fn an_address_that_two_names_stand_for_is_one_endpoint() {
    let upstream = Upstream::saying("ok");
    let port = upstream.address().port();
    let gateway = Gateway::with(&format!(
        "[upstreams.u]\nendpoints = [\"127.0.0.1:{port}\", \"127.0.0.1:{port}\", \"localhost:{port}\"]\n\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\n"
    ));
    assert_eq!(gateway.get("/").text(), "ok");
    let text = gateway.admin("/metrics").text();
    let series = text.lines().filter(|line| line.starts_with("witgate_upstream_up{") && line.contains("\"127.0.0.1:"));
    assert_eq!(series.count(), 1, "{text}");
}
