//! The admin listener and what it exposes.

use witgate_tests::client::request;
use witgate_tests::{Gateway, Upstream};

#[test]
fn health_metrics_and_unknown_paths_answer() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!("{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u")));
    assert_eq!((gateway.admin("/live").status, gateway.admin("/ready").status), (200, 200));
    assert_eq!(gateway.admin("/else").status, 404);
    assert_eq!(request(gateway.admin_address(), "POST", "/metrics", &[("content-length", "0")], b"").status, 405);
    assert_eq!(gateway.admin("/reload").status, 405);
    let metrics = gateway.admin("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert_eq!(gateway.metric("witgate_generation"), 1.0);
    assert_eq!(gateway.metric("witgate_generations_live"), 1.0);
}

#[test]
fn requests_are_counted_by_route_method_and_status_class() {
    let upstream = Upstream::saying("ok");
    let gateway =
        Gateway::with(&format!("{}[[routes]]\nname = \"a\"\npath = \"/a\"\nupstream = \"u\"\n", upstream.config("u")));
    for _ in 0..3 {
        gateway.get("/a");
    }
    gateway.get("/b");
    request(gateway.address(), "DELETE", "/a", &[], b"");
    gateway.eventually("all requests are counted", |gateway| {
        gateway.metric(r#"witgate_requests_total{method="GET",route="a",status="2xx"}"#) == 3.0
            && gateway.metric(r#"witgate_requests_total{method="DELETE",route="a",status="2xx"}"#) == 1.0
            && gateway.metric(r#"witgate_requests_total{method="GET",route="-",status="4xx"}"#) == 1.0
            && gateway.metric(r#"witgate_request_duration_seconds_count{route="a"}"#) == 4.0
            && gateway.metric("witgate_requests_in_flight") == 0.0
    });
}
