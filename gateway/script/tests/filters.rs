//! Filters and exits of scripts, as nginx 1.22 with lua-nginx-module 0.10.23 has them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

mod rig;

use std::time::Duration;

use http::StatusCode;
use rig::{Rig, answered, get};
use witgate_script::Phase;
use witgate_stage::{
    Exchange, FailurePolicy, Hook, Observer, Outcome, Pipeline, ResponseHead, StageError, Step, Usage, Verdict,
};

struct Nobody;

impl Observer for Nobody {
    fn stage_ran(&self, _: usize, _: Hook, _: (Duration, &Usage), _: &Result<Verdict, StageError>) {}
}

/// A request that an upstream has answered with 200 and a field.
fn answered_by_upstream() -> Box<Exchange> {
    let mut exchange = answered(get("/"));
    exchange.response.as_mut().unwrap().headers.insert("x-upstream", "yes".parse().unwrap());
    exchange
}

fn filter(code: &str) -> (Box<Exchange>, Result<Verdict, StageError>) {
    Rig::new(&[(Phase::HeaderFilter, code)]).run(Hook::ResponseHeaders, answered_by_upstream())
}

#[test]
fn a_header_filter_that_exits_puts_a_page_in_the_responses_place_and_sees_that_too() {
    let (exchange, verdict) = filter("ngx.header['X-Run'] = ngx.status ngx.exit(403) ngx.header['X-After'] = 'ran'");
    let Ok(Verdict::Refuse(refusal)) = verdict else { panic!("{verdict:?}") };
    assert_eq!(refusal.code.label(), "FORBIDDEN");
    assert_eq!(refusal.headers["x-run"], "403", "the second run is over the page");
    assert_eq!(refusal.headers["x-after"], "ran", "what follows `ngx.exit` runs unless it is returned");
    assert!(!refusal.headers.contains_key("x-upstream"));
    let response = exchange.response.as_ref().unwrap();
    assert_eq!((response.status, response.headers.len()), (StatusCode::OK, 1), "what it replaces is left alone");
}

#[test]
fn fields_set_before_an_exit_on_a_condition_are_those_of_the_response_that_does_not_come() {
    let (_, verdict) =
        filter("if ngx.status == 200 then ngx.header['X-Lost'] = 1 ngx.exit(410) end ngx.header['X-Kept'] = 1");
    let Ok(Verdict::Respond(response)) = verdict else { panic!("{verdict:?}") };
    assert_eq!((response.status.as_u16(), &response.body[..]), (410, &b"410 Gone\n"[..]));
    assert!(!response.headers.contains_key("x-lost") && response.headers.contains_key("x-kept"));
}

#[test]
fn statuses_below_300_have_no_page_and_ok_lets_the_response_pass() {
    for status in [200, 201, 204] {
        let (_, verdict) = filter(&format!("return ngx.exit({status})"));
        let Ok(Verdict::Respond(response)) = verdict else { panic!("{status}: {verdict:?}") };
        assert_eq!((response.status.as_u16(), response.headers.len(), response.body.len()), (status, 0, 0));
    }
    for code in ["ngx.exit(ngx.OK)", "ngx.exit(ngx.DECLINED)", "ngx.header['X-A'] = 1"] {
        let (exchange, verdict) = filter(code);
        assert!(matches!(verdict, Ok(Verdict::Continue(_))), "{code}: {verdict:?}");
        assert!(exchange.response.as_ref().unwrap().headers.contains_key("x-upstream"));
    }
}

#[test]
fn a_header_filter_that_fails_after_it_has_exited_leaves_the_response_as_it_was() {
    let failing = "ngx.header['X-Lost'] = 1 if ngx.status == 403 then error('second') end ngx.exit(403)";
    let endless = "n = ngx.status ngx.header['X-Lost'] = 1 ngx.exit(ngx.status == 401 and 402 or 401)";
    for code in [failing, endless, "ngx.exit(ngx.ERROR)", "ngx.exit(777)"] {
        let (exchange, verdict) = filter(code);
        assert!(verdict.is_err(), "{code}: {verdict:?}");
        let response = exchange.response.as_ref().unwrap();
        assert_eq!((response.status, response.headers.len()), (StatusCode::OK, 1), "{code}");
    }
}

/// A pipeline with one script.
fn pipeline(phases: &[(Phase, &str)]) -> (Rig, Pipeline) {
    let rig = Rig::new(phases);
    let step = Step::new(std::sync::Arc::new(rig.stage()), FailurePolicy::default());
    (rig, Pipeline::new(vec![step]))
}

#[test]
fn a_script_sees_its_own_answers_in_its_filters_and_can_refuse_them() {
    let filter = "ngx.header['X-Seen'] = ngx.status .. ' ' .. tostring(ngx.header['X-A']) .. ' ' .. tostring(ngx.ctx.a)
        if ngx.var.arg_late then ngx.exit(429) end";
    let (rig, pipeline) = pipeline(&[
        (Phase::Access, "ngx.ctx.a = 1 if ngx.var.arg_exit then ngx.header['X-A'] = 'a' ngx.exit(401) end"),
        (Phase::Content, "ngx.header['X-A'] = 'b' ngx.status = 201 ngx.say('content')"),
        (Phase::HeaderFilter, filter),
    ]);
    assert_eq!(pipeline.filtering(0), 1, "the proxy has to run its filters over them");
    let run = |hook, exchange| rig.runtime().block_on(pipeline.run(hook, exchange, &Nobody));
    for (target, seen) in [("/", "201 b 1"), ("/?exit=1", "401 a 1")] {
        let (mut exchange, outcome) = run(Hook::RequestHeaders, get(target));
        assert!(exchange.response_edits.is_empty(), "{target}: they are on the answer");
        let (status, headers) = match outcome {
            Outcome::Respond { response, .. } => (response.status, response.headers),
            Outcome::Refuse { refusal, .. } => (StatusCode::UNAUTHORIZED, refusal.headers),
            other => panic!("{other:?}"),
        };
        exchange.response = Some(ResponseHead { status, headers });
        let (exchange, outcome) = run(Hook::ResponseHeaders, exchange);
        assert!(matches!(outcome, Outcome::Continue), "{target}: {outcome:?}");
        assert_eq!(exchange.response.as_ref().unwrap().headers["x-seen"], seen, "{target}");
    }
    let (mut exchange, _) = run(Hook::RequestHeaders, get("/?late=1"));
    exchange.response = Some(ResponseHead { status: StatusCode::OK, headers: http::HeaderMap::new() });
    let (_, outcome) = run(Hook::ResponseHeaders, exchange);
    let Outcome::Refuse { refusal, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        (refusal.code.label(), &refusal.headers["x-seen"]),
        ("RATE_LIMIT_EXCEEDED", &"429 nil 1".parse().unwrap())
    );
}

#[test]
fn an_exit_with_the_status_of_the_page_that_is_there_changes_nothing() {
    let (rig, pipeline) = pipeline(&[
        (Phase::Access, "ngx.header['X-A'] = 'a' ngx.exit(403)"),
        (Phase::HeaderFilter, "return ngx.exit(403)"),
    ]);
    let run = |hook, exchange| rig.runtime().block_on(pipeline.run(hook, exchange, &Nobody));
    let (mut exchange, outcome) = run(Hook::RequestHeaders, get("/"));
    let Outcome::Refuse { refusal, .. } = outcome else { panic!("{outcome:?}") };
    exchange.response = Some(ResponseHead { status: StatusCode::FORBIDDEN, headers: refusal.headers });
    let (exchange, outcome) = run(Hook::ResponseHeaders, exchange);
    assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
    assert_eq!(exchange.response.as_ref().unwrap().headers["x-a"], "a");
}

#[test]
fn an_exit_answers_with_the_page_of_its_status_whatever_was_said_before() {
    let page = |code: &str| {
        let (_, verdict) = Rig::new(&[(Phase::Access, code)]).run(Hook::RequestHeaders, get("/"));
        let Ok(Verdict::Refuse(refusal)) = verdict else { panic!("{code}: {verdict:?}") };
        *refusal
    };
    let own_type = page("ngx.header['Content-Type'] = 'text/x' ngx.header['X-Why'] = { 'a', 'b' } ngx.exit(401)");
    assert_eq!(own_type.code.label(), "UNAUTHENTICATED");
    assert_eq!(own_type.headers.get_all("x-why").iter().count(), 2);
    assert!(!own_type.headers.contains_key("content-type"), "it is the page's");
    assert_eq!(page("ngx.status = 202 ngx.exit(404)").code.label(), "NOT_FOUND");
    let answer = Rig::new(&[(Phase::Content, "ngx.status = 500 ngx.exit(200)")]).respond(get("/"));
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "a status that was set stays without a page");
}

#[test]
fn a_body_filter_that_says_that_a_piece_is_the_last_ends_the_body() {
    let rig = Rig::new(&[(Phase::BodyFilter, "ngx.arg[1] = ngx.arg[1]:upper() ngx.arg[2] = true")]);
    let mut exchange = answered_by_upstream();
    for (piece, last, made) in [("one", false, "ONE"), ("two", false, ""), ("three", true, "")] {
        (exchange.body, exchange.end_of_stream) = (piece.into(), last);
        let (returned, verdict) = rig.run(Hook::ResponseBody, exchange);
        let Ok(Verdict::Replace(_, body)) = verdict else { panic!("{verdict:?}") };
        assert_eq!(body, made);
        exchange = returned;
    }
}

#[test]
fn modules_add_fields_beside_those_that_are_there() {
    let code = "local req, resp = require('ngx.req'), require('ngx.resp')
        req.add_header('Host', 'other') ngx.say(tostring(pcall(req.add_header, 'X-A', {})))
        req.add_header('X-A', 1) req.add_header('X-A', { 'two', 'three' })
        ngx.print(table.concat(ngx.req.get_headers().x_a, ' '))";
    let mistaken = Rig::new(&[(Phase::Content, code)]).run(Hook::RequestHeaders, get("/")).1;
    assert!(mistaken.is_err(), "the host belongs to the gateway");
    let code =
        code.replace("req.add_header('Host', 'other') ", "resp.add_header('X-B', 1) resp.add_header('X-B', 'two') ");
    let response = Rig::new(&[(Phase::Content, &code)]).respond(get("/"));
    assert_eq!(response.body, "false\n1 two three");
    assert_eq!(
        response.headers.get_all("x-b").iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>(),
        ["1", "two"]
    );
}

#[test]
fn an_empty_text_removes_a_field_and_is_none_of_several() {
    let code = "ngx.req.set_header('Host', nil == nil and ngx.var.http_host or '')";
    let refused = Rig::new(&[(Phase::Access, code)]).run(Hook::RequestHeaders, get("/")).1;
    assert!(refused.is_err(), "control: fields of the gateway are refused, whatever the value");
    let code =
        "ngx.req.set_header('X-Key', '') ngx.req.set_header('X-Never', '') ngx.req.set_header('X-Two', { '', 'b', '' })
        ngx.ctx.seen = tostring(ngx.req.get_headers()['x-key'])";
    let rig = Rig::new(&[
        (Phase::Access, code),
        (
            Phase::HeaderFilter,
            "ngx.header['X-Upstream'] = '' ngx.header['X-Seen'] = ngx.ctx.seen .. tostring(ngx.header['X-Upstream'])",
        ),
    ]);
    let mut exchange = get("/");
    exchange.request.headers.insert("x-key", "secret".parse().unwrap());
    let (exchange, verdict) = rig.run(Hook::RequestHeaders, exchange);
    assert!(verdict.is_ok(), "{verdict:?}");
    let fields: Vec<_> =
        exchange.request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(fields, [("host", &b"localhost:8080"[..]), ("x-two", &b"b"[..])]);
    let mut exchange = answered(exchange);
    exchange.response.as_mut().unwrap().headers.insert("x-upstream", "yes".parse().unwrap());
    let (exchange, _) = rig.run(Hook::ResponseHeaders, exchange);
    let headers = &exchange.response.as_ref().unwrap().headers;
    assert_eq!((headers.len(), &headers["x-seen"]), (1, &"nilnil".parse().unwrap()));
}

#[test]
fn variables_of_the_request_as_it_came_stay_whatever_a_script_rewrites() {
    let code = "ngx.req.set_uri('/other/x y') ngx.req.set_uri_args({ z = 9 }) ngx.req.set_method(ngx.HTTP_PUT)
        ngx.say(ngx.var.request_uri, ' ', ngx.var.request, ' ', ngx.var.uri, ' ', ngx.var.args, ' ', ngx.var.request_method)
        ngx.req.set_uri_args({}) ngx.say('[', ngx.var.args, '] ', tostring(ngx.var.arg_flag))
        ngx.print((ngx.req.raw_header():match('[^\\r]*')))";
    let rig = Rig::new(&[(Phase::Content, code)]);
    let mut exchange = get("/a");
    exchange.original.target = "//a/./b?flag&x=%41".parse().unwrap();
    let told = String::from_utf8(rig.respond(exchange).body.to_vec()).unwrap();
    let expected = "//a/./b?flag&x=%41 GET //a/./b?flag&x=%41 HTTP/1.1 /other/x y z=9 PUT\n[] nil\nGET //a/./b?flag&x=%41 HTTP/1.1";
    assert_eq!(told, expected);
}
