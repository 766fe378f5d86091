//! Lua scripts as stages, through the gateway.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use witgate_tests::client;
use witgate_tests::gateway::guest;
use witgate_tests::nginx::Nginx;
use witgate_tests::{Gateway, Redis, Site, Upstream};

/// A configuration with one route for each script, at the path of its name; those without content pass to the upstream.
fn config(upstream: &Upstream, sections: &str, scripts: &[(&str, &str)]) -> String {
    let mut config = format!("{}{sections}\n", upstream.config("u"));
    for (name, script) in scripts {
        let target = if script.contains("content") { "" } else { "upstream = \"u\"\n" };
        config.push_str(&format!(
            "[scripts.{name}]\n{script}\n[[routes]]\nname = \"{name}\"\npath_prefix = \"/{name}\"\n{target}\
             stages = [{{ script = \"{name}\" }}]\n"
        ));
    }
    config
}

fn gateway(upstream: &Upstream, sections: &str, scripts: &[(&str, &str)]) -> Gateway {
    Gateway::with(&config(upstream, sections, scripts))
}

fn post(gateway: &Gateway, path: &str, body: &str) -> client::Response {
    let length = body.len().to_string();
    client::request(gateway.address(), "POST", path, &[("content-length", &length)], body.as_bytes())
}

#[test]
fn a_script_checks_requests_and_changes_what_the_upstream_and_the_client_see() {
    let upstream = Upstream::saying("ok");
    let script = "access = '''
        if ngx.var.http_x_key ~= 'good' then return ngx.exit(ngx.HTTP_UNAUTHORIZED) end
        ngx.req.set_header('X-User', 'alice') ngx.req.clear_header('X-Key')
        ngx.req.set_uri_args({ a = 1 })
        ngx.ctx.user = 'alice'
        '''
        header_filter = \"ngx.header['X-Served-For'] = ngx.ctx.user\"
        body_filter = \"ngx.arg[1] = ngx.arg[1]:upper()\"";
    let gateway = gateway(&upstream, "", &[("api", script)]);
    let refused = gateway.get_with("/api/x", &[("x-key", "bad")]);
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("\"CODE\":\"UNAUTHENTICATED\""), "through its filters: {}", refused.text());
    assert_eq!(upstream.received().len(), 0);
    let passed = gateway.get_with("/api/x?b=2", &[("x-key", "good")]);
    assert_eq!((passed.status, passed.text().as_str()), (200, "OK"));
    assert_eq!(passed.header("x-served-for").as_deref(), Some("alice"));
    let seen = upstream.last();
    assert_eq!(seen.header("x-user").as_deref(), Some("alice"));
    assert_eq!(seen.header("x-key"), None);
    assert_eq!(seen.target, "/api/x?a=1");
}

#[test]
fn a_script_reads_and_changes_the_requests_body() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(
        &upstream,
        "",
        &[
            ("echo", "content = \"ngx.req.read_body() ngx.print(ngx.req.get_body_data() or 'none')\""),
            ("change", "access = \"ngx.req.read_body() ngx.req.set_body_data(ngx.req.get_body_data() .. '!')\""),
            ("ignore", "access = \"ngx.req.set_header('x-a', '1')\""),
        ],
    );
    assert_eq!(post(&gateway, "/echo", "hello").text(), "hello");
    assert_eq!(gateway.get("/echo").text(), "none");
    assert_eq!(post(&gateway, "/change", "hello").status, 200);
    assert_eq!(upstream.last().body, b"hello!");
    assert_eq!(post(&gateway, "/ignore", "as it is").status, 200);
    assert_eq!(upstream.last().body, b"as it is");
    let large = "x".repeat(2 * 1024 * 1024);
    assert_eq!(post(&gateway, "/echo", &large).status, 413);
    assert_eq!(post(&gateway, "/ignore", &large).status, 200, "a body that no script reads is not held back");
}

#[test]
fn errors_name_script_line_route_and_request_and_the_client_sees_none_of_it() {
    let upstream = Upstream::saying("ok");
    let script =
        "content = '''\nlocal function fail() error({}) end\nlocal ok = pcall(fail)\nlocal t = nil\nreturn t.field'''";
    let check = ("check", "access = \"error('refused')\"");
    let mut gateway = gateway(&upstream, "", &[("bad", script), check]);
    assert!(gateway.get("/check").text().contains("The request could not be checked."));
    let answer = gateway.get_with("/bad", &[("x-request-id", "failed-1")]);
    assert_eq!((answer.status, answer.code().as_str()), (500, "PLUGIN_FAILED"));
    assert!(answer.text().contains("The request could not be answered."), "{}", answer.text());
    assert!(!answer.text().contains("nil value"), "{}", answer.text());
    // The access record is on standard output: it comes before, after or between the lines of the log.
    let record = std::cell::RefCell::new(None::<serde_json::Value>);
    let is_logged = |line: &str, text: &str| {
        if line.starts_with("out {") && line.contains("failed-1") {
            record.replace(serde_json::from_str(&line[4..]).ok());
        }
        line.starts_with("err ") && line.contains(text)
    };
    let line = gateway.await_line(|line| is_logged(line, "attempt to index local 't'"));
    assert!(line.contains("scripts.bad.content:4:"), "{line}");
    let rest = gateway.await_line(|line| is_logged(line, "request_id"));
    assert!(rest.contains("failed-1") && rest.contains("route=\"bad\""), "{rest}");
    let record = record.take().unwrap_or_else(|| gateway.record("failed-1"));
    assert_eq!(record["stage"], "bad");
}

#[test]
fn a_script_that_does_not_end_is_stopped_while_others_are_served() {
    let upstream = Upstream::saying("ok");
    let scripts = [
        ("loop", "content = \"while true do end\""),
        ("caught", "content = \"while true do pcall(function() while true do end end) end\""),
        ("pattern", "content = \"ngx.say((('a'):rep(40)):find(('a*'):rep(30) .. 'b'))\""),
        ("memory", "content = \"local t = {} for i = 1, 1e9 do t[i] = {} end\""),
        ("bomb", "content = \"ngx.say(('x'):rep(1e9))\""),
        ("hello", "content = \"ngx.say('hello')\""),
    ];
    let gateway = gateway(&upstream, "", &scripts);
    for (name, _) in &scripts[..5] {
        let answer = gateway.get(&format!("/{name}"));
        assert_eq!((answer.status, answer.code().as_str()), (500, "PLUGIN_FAILED"), "{name}");
        assert_eq!(gateway.get("/hello").text(), "hello\n", "after {name}");
    }
    let failed = |name: &str, kind: &str| {
        let labels = [&*format!("plugin=\"{name}\""), &*format!("kind=\"{kind}\"")];
        gateway.metric_sum("witgate_stage_failures_total", &labels)
    };
    assert_eq!(failed("loop", "deadline"), 1.0);
    assert_eq!(failed("caught", "deadline"), 1.0);
    assert_eq!(gateway.metric("witgate_lua_vms_replaced_total{lua=\"loop\"}"), 1.0);
    assert!(gateway.metric("witgate_lua_vms_total{lua=\"hello\"}") >= 1.0);
    assert_eq!(failed("memory", "limit") + failed("memory", "deadline"), 1.0);
}

#[test]
fn what_a_script_keeps_is_not_seen_by_other_requests_unless_it_is_shared() {
    let upstream = Upstream::saying("ok");
    let sections = "[shared_dicts.d]\nsize = \"64KiB\"\n[lua.v]\ngrants = [\"shared:d\"]\n[lua.w]\n";
    let leaky = "lua = \"v\"\ncontent = \"ngx.say(tostring(leak)) leak = 1 ngx.say((ngx.shared.d:incr('n', 1, 0)))\"";
    let other = "lua = \"w\"\ncontent = \"ngx.say(tostring(ngx.shared.d), tostring(io), tostring(pcall(os.execute, 'true')), tostring(ffi))\"";
    let gateway = gateway(&upstream, sections, &[("leaky", leaky), ("other", other)]);
    for n in 1..=3 {
        assert_eq!(gateway.get("/leaky").text(), format!("nil\n{n}\n"));
    }
    assert_eq!(gateway.get("/other").text(), "nilnilfalsenil\n");
}

#[test]
fn mistakes_in_scripts_keep_the_old_configuration_and_are_told_with_their_place() {
    let upstream = Upstream::saying("ok");
    let with = |script: &str| config(&upstream, "", &[("a", script)]);
    let gateway = Gateway::with(&with("content = \"ngx.say('one')\""));
    for (script, told) in [
        ("content = \"ngx.say('\"", "script `a`: `content` cannot be compiled: scripts.a.content:1: unfinished string"),
        ("content_file = \"missing.lua\"", "missing.lua"),
        ("contents = \"x\"", "content"),
        ("content = \"\"", "a chunk of Lua"),
        ("content = \"end do\"", "cannot be compiled"),
    ] {
        gateway.site().configure(&with(script));
        let answer = gateway.reload();
        assert_eq!(answer.status, 422, "{script}: {}", answer.text());
        assert!(answer.text().contains(told), "{script}: {}", answer.text());
        assert_eq!(gateway.get("/a").text(), "one\n");
    }
    gateway.site().configure(&config(
        &upstream,
        "[lua.v]\ninit = \"error('not today')\"",
        &[(
            "a",
            "lua = \"v\"\ncontent = \"\
        ngx.say(1)\"",
        )],
    ));
    assert!(gateway.reload().text().contains("not today"));
    gateway.reconfigure(&with("content = \"ngx.say('two')\""));
    assert_eq!(gateway.get("/a").text(), "two\n");
}

#[test]
fn modules_are_read_with_the_configuration_and_a_change_of_one_is_a_reload() {
    let upstream = Upstream::saying("ok");
    let site = Site::new("");
    std::fs::create_dir_all(site.path("lua/shop")).expect("created");
    let module = site.path("lua/shop/init.lua");
    std::fs::write(&module, "local M = {} function M.name() return 'one' end return M").expect("written");
    let sections = "[lua.v]\npath = [\"lua\"]";
    let script = "lua = \"v\"\ncontent = \"ngx.say(require('shop').name(), ' ', package.loaded.shop ~= nil)\"";
    site.configure(&config(&upstream, sections, &[("a", script)]));
    let gateway = site.start();
    assert_eq!(gateway.get("/a").text(), "one true\n");
    std::fs::write(&module, "return { name = function() return 'two' end }").expect("written");
    gateway.eventually("the module is read again", |gateway| gateway.get("/a").text() == "two true\n");
}

#[test]
fn counters_survive_reloads_and_no_request_fails_while_scripts_change() {
    let upstream = Upstream::saying("ok");
    let sections = |n: u32| {
        format!("[shared_dicts.d]\nsize = \"64KiB\"\n[lua.v]\ninit = \"version = {n}\"\ngrants = [\"shared:d\"]\n")
    };
    let script = "lua = \"v\"\ncontent = \"ngx.sleep(0.001) ngx.say(version, ' ', (ngx.shared.d:incr('n', 1, 0)))\"";
    let gateway = gateway(&upstream, &sections(0), &[("a", script)]);
    let (address, stop) = (gateway.address(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut count = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    let answer = client::get(address, "/a", &[]);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    count += 1;
                }
                count
            })
        })
        .collect();
    for n in 1..=20 {
        gateway.reconfigure(&config(&upstream, &sections(n), &[("a", script)]));
    }
    stop.store(true, Ordering::Relaxed);
    let served: u32 = clients.into_iter().map(|client| client.join().expect("no request failed")).sum();
    assert_eq!(gateway.get("/a").text(), format!("20 {}\n", served + 1));
}

#[test]
fn a_script_asks_redis_only_where_it_may() {
    let (upstream, redis) = (Upstream::saying("ok"), Redis::start());
    let sections = format!(
        "[upstreams.redis]\nendpoints = [\"{}\"]\n[lua.v]\ngrants = [\"upstream:redis\"]\n[lua.w]\n",
        redis.address
    );
    let ask = |vm: &str, host: &str| {
        format!(
            "lua = \"{vm}\"\ncontent = '''
            local s = ngx.socket.tcp()
            local ok, err = s:connect({host}, {})
            if not ok then return ngx.say(err) end
            s:send('INCR n\\r\\n')
            ngx.say(s:receive(), ' ', s:getreusedtimes())
            s:setkeepalive()'''",
            redis.address.port()
        )
    };
    let scripts = [
        ("named", ask("v", "'redis'")),
        ("address", ask("v", "'127.0.0.1'")),
        ("elsewhere", ask("v", "'127.0.0.2'")),
        ("nowhere", ask("w", "'127.0.0.1'")),
    ];
    let scripts: Vec<(&str, &str)> = scripts.iter().map(|(name, script)| (*name, script.as_str())).collect();
    let gateway = gateway(&upstream, &sections, &scripts);
    assert_eq!(gateway.get("/named").text(), ":1 0\n");
    assert!(gateway.get("/address").text().starts_with(":2 "));
    for name in ["/elsewhere", "/nowhere"] {
        let text = gateway.get(name).text();
        assert!(text.starts_with("not in reach"), "{name}: {text}");
    }
    assert_eq!(redis.ask("GET n\r\n"), "$1");
}

#[test]
fn sockets_check_certificates_by_the_authorities_that_are_named() {
    let site = Site::new("");
    let nginx = Nginx::with_certificate_in(&site);
    let upstream = Upstream::saying("ok");
    let script = format!(
        "lua = \"v\"\ncontent = '''
        local sock = ngx.socket.tcp()
        assert(sock:connect('{}', {}))
        local ok, err = sock:sslhandshake(nil, 'backend.example', true)
        if not ok then return ngx.say(err) end
        sock:send('GET / HTTP/1.0\\r\\n\\r\\n')
        ngx.say((sock:receive('*a'):gsub('.*\\r\\n', '')))'''",
        nginx.address.ip(),
        nginx.address.port()
    );
    let with = |ca: &str| {
        let vm = format!("[lua.v]\ngrants = [\"address:{}\"]\n{ca}", nginx.address);
        config(&upstream, &vm, &[("a", &script)])
    };
    std::fs::copy(site.path("backend.pem"), site.path("ca.pem")).expect("copied");
    site.configure(&with("ca = \"ca.pem\""));
    let gateway = site.start();
    assert_eq!(gateway.get("/a").text(), "backend.example\n");
    let stranger = "20: unable to get local issuer certificate\n";
    gateway.reconfigure(&with(""));
    assert_eq!(gateway.get("/a").text(), stranger, "the system does not know who signed it");
    for (wrong, told) in [("backend.key", "holds no certificate"), ("none.pem", "none.pem")] {
        gateway.site().configure(&with(&format!("ca = \"{wrong}\"")));
        let answer = gateway.reload();
        assert_eq!(answer.status, 422, "{wrong}: {}", answer.text());
        assert!(answer.text().contains(told), "{wrong}: {}", answer.text());
    }
    // As an editor of Windows writes it.
    let marked = [&b"\xef\xbb\xbf"[..], &std::fs::read(gateway.site().path("backend.pem")).expect("readable")].concat();
    gateway.site().write("marked.pem", marked);
    gateway.reconfigure(&with("ca = \"marked.pem\""));
    assert_eq!(gateway.get("/a").text(), "backend.example\n");
    gateway.reconfigure(&with("ca = \"ca.pem\""));
    assert_eq!(gateway.get("/a").text(), "backend.example\n");
    std::fs::copy(gateway.site().path("other.pem"), gateway.site().path("ca.pem")).expect("copied");
    // Both certificates have the same name of their issuer, so it is the signature that is wrong.
    gateway.eventually("the authorities are read again", |gateway| {
        gateway.get("/a").text() == "certificate verify failed\n"
    });
}

#[test]
fn a_script_shares_what_a_plugin_keeps() {
    let upstream = Upstream::saying("ok");
    let script = "content = '''
        local kv = ngx.shared[\"kv:probe\"]
        if not kv then return ngx.say('not granted') end
        ngx.say(kv:get('n'), ' ', kv:incr('n', 10, 0), ' ', (select(2, kv:add('n', 1))))
        '''";
    let with = |vm: &str, name: &str| {
        let sections = format!(
            "[key_sets.keys]\nfile = \"keys.txt\"\n[buckets.b]\nrate = \"1/h\"\nburst = 5\n[load.edge]\nin_flight_limit = 100\n\
             [plugins.probe]\npath = \"{}\"\nhook_timeout = \"500ms\"\n[lua.v]\n{vm}\n[[routes]]\nname = \"probe\"\n\
             path_prefix = \"/probe\"\nupstream = \"u\"\nstages = [{{ plugin = \"probe\", grants = [\"log\", \"clock\", \"kv\", \
             \"crypto\", \"crypto:keys\", \"limiter:b\", \"load:edge\"] }}]\n",
            guest("probe").display()
        );
        config(&upstream, &sections, &[(name, &format!("lua = \"v\"\n{script}"))])
    };
    let granted = "grants = [\"kv:probe\"]";
    let site = Site::new(&with(granted, "count"));
    site.write("keys.txt", "k1 alice\n");
    let gateway = site.start();
    let ask = |question: &str| gateway.get_with("/probe", &[("x-probe", question)]).text();
    assert_eq!(gateway.get("/count").text(), "nil 10 exists\n");
    assert_eq!(ask("kv-incr n 5"), "Ok(15)");
    assert_eq!(gateway.get("/count").text(), "15 25 exists\n");
    gateway.reconfigure(&with(granted, "again"));
    assert_eq!(gateway.get("/again").text(), "25 35 exists\n", "it survives a reload, as it does for the plugin");
    assert_eq!(ask("kv-get n"), "Some(\"35\")");
    gateway.reconfigure(&with("", "again"));
    assert_eq!(gateway.get("/again").text(), "not granted\n");
}

#[test]
fn a_script_asks_routes_of_the_gateway() {
    let upstream = Upstream::saying("from upstream");
    let sections = "[lua.v]\ngrants = [\"routes\"]\n";
    let capture = "lua = \"v\"\ncontent = '''
        local a, b = ngx.location.capture_multi({
            { '/plain/x', { args = { q = 1 } } },
            { '/echo', { method = ngx.HTTP_POST, body = 'sent' } },
        })
        ngx.say(a.status, ' ', a.body, ' ', a.header['X-Plain'])
        ngx.say(b.status, ' ', b.body)
        ngx.say(ngx.location.capture('/nobody').status)'''";
    let scripts = [
        ("capture", capture),
        ("plain", "header_filter = \"ngx.header['X-Plain'] = 'yes'\""),
        ("echo", "content = \"ngx.req.read_body() ngx.print(ngx.req.get_body_data(), tostring(ngx.is_subrequest))\""),
        ("exec", "lua = \"v\"\ncontent = \"ngx.exec('/plain/y', 'z=1')\""),
        ("forever", "lua = \"v\"\ncontent = \"ngx.exec('/forever')\""),
        ("refused", "content = \"ngx.location.capture('/plain')\""),
    ];
    let gateway = gateway(&upstream, sections, &scripts);
    assert_eq!(gateway.get("/capture").text(), "200 from upstream yes\n200 senttrue\n404\n");
    assert_eq!(upstream.received()[0].target, "/plain/x?q=1");
    let exec = gateway.get("/exec");
    assert_eq!((exec.status, exec.text().as_str()), (200, "from upstream"));
    assert_eq!(exec.header("x-plain").as_deref(), Some("yes"));
    assert!(gateway.get("/forever").status >= 500);
    assert_eq!(gateway.get("/refused").status, 500);
}

#[test]
fn a_scripts_filters_see_its_own_answers_and_an_exit_in_them_counts() {
    let upstream = Upstream::saying("from upstream");
    let filters = "header_filter = \"ngx.header['X-Filter'] = ngx.get_phase() .. ' ' .. ngx.status\"";
    let scripts = [
        ("exit", format!("access = \"ngx.header['X-Why'] = 'own' return ngx.exit(401)\"\n{filters}")),
        ("redirect", format!("rewrite = \"return ngx.redirect('/there')\"\n{filters}")),
        ("fails", format!("content = \"error('no')\"\n{filters}")),
        ("late", "header_filter = \"ngx.header['X-Filter'] = 'late' return ngx.exit(429)\"".to_owned()),
        (
            "own",
            "content = \"ngx.say('secret')\"\nheader_filter = \"return ngx.exit(403)\"\n\
             body_filter = \"ngx.arg[1] = ngx.arg[1]:upper()\""
                .to_owned(),
        ),
        ("body", "content = \"ngx.print('made')\"\nbody_filter = \"ngx.arg[1] = ngx.arg[1]:upper()\"".to_owned()),
    ];
    let scripts: Vec<(&str, &str)> = scripts.iter().map(|(name, script)| (*name, script.as_str())).collect();
    let gateway = gateway(&upstream, "", &scripts);
    let ask = |path: &str| {
        let answer = gateway.get(path);
        (answer.status, answer.header("x-filter").unwrap_or_default(), answer.header("x-why").unwrap_or_default())
    };
    assert_eq!(ask("/exit"), (401, "header_filter 401".into(), "own".into()));
    assert_eq!(ask("/redirect"), (302, "header_filter 302".into(), String::new()));
    assert_eq!(ask("/fails"), (500, "header_filter 500".into(), String::new()));
    assert_eq!(ask("/late"), (429, "late".into(), String::new()));
    let own = gateway.get("/own");
    assert_eq!((own.status, own.code().as_str()), (403, "FORBIDDEN"), "what was refused is not sent");
    assert_eq!(gateway.get("/body").text(), "MADE");
}

#[test]
fn subrequests_take_the_final_response_and_half_of_one_does_not_pass_for_all() {
    let upstream = Upstream::new(|received, stream| {
        let (early, length) = match received.target.as_str() {
            "/hints" => ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 5),
            "/cut" => ("", 100),
            _ => ("", 5),
        };
        let head = format!("{early}HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nfinal");
        stream.write_all(head.as_bytes()).is_ok() && length == 5
    });
    let sections = "[lua.v]\ngrants = [\"routes\"]\n[[routes]]\nname = \"rest\"\nupstream = \"u\"\n";
    let exec = "lua = \"v\"\ncontent = \"ngx.req.read_body() ngx.exec(ngx.var.arg_to)\"";
    let capture = "lua = \"v\"\ncontent = \"local r = ngx.location.capture(ngx.var.arg_to) \
                   ngx.print(r.status, ' ', r.body, ' ', tostring(r.truncated))\"";
    let gateway = gateway(&upstream, sections, &[("exec", exec), ("capture", capture)]);
    for target in ["/plain", "/hints"] {
        let answer = gateway.get(&format!("/exec?to={target}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "final"), "{target}");
        assert_eq!(gateway.get(&format!("/capture?to={target}")).text(), "200 final false", "{target}");
    }
    assert_eq!(gateway.get("/exec?to=/cut").status, 502);
    assert_eq!(gateway.get("/capture?to=/cut").text(), "200 final true");
}

#[test]
fn a_script_chooses_the_endpoint() {
    let (one, other) = (Upstream::saying("one"), Upstream::saying("other"));
    let balance = |address: &str| format!("balancer = \"require('ngx.balancer').set_current_peer('{address}')\"");
    let config = format!(
        "[upstreams.both]\nendpoints = [\"{}\", \"{}\"]\n[scripts.b]\n{}\n[scripts.c]\n{}\n[[routes]]\nname = \"b\"\n\
         upstream = \"both\"\nstages = [{{ script = \"b\" }}]\n[[routes]]\nname = \"c\"\npath = \"/c\"\nupstream = \"both\"\n\
         stages = [{{ script = \"c\" }}]\n",
        one.address(),
        other.address(),
        balance(&other.address().to_string()),
        balance("127.0.0.1:1")
    );
    let gateway = Gateway::with(&config);
    for _ in 0..4 {
        assert_eq!(gateway.get("/").text(), "other");
    }
    assert_eq!(gateway.get("/c").status, 503, "an endpoint that the upstream does not have");
}

#[test]
fn what_a_script_chooses_among_its_routes_endpoints_says_nothing_of_those_that_a_score_sends_a_request_to() {
    let (one, other, honeypot) = (Upstream::saying("one"), Upstream::saying("other"), Upstream::saying("sticky"));
    let model = crate::scoring::model("identity_float");
    let balance = |name: &str, address: &str| {
        format!("[scripts.{name}]\nbalancer = \"require('ngx.balancer').set_current_peer('{address}')\"\n")
    };
    let score = "{ inference = \"echo\", inputs = [\"score\"], levels = [{ above = 0.5, upstream = \"honeypot\" }] }";
    let route = |name: &str, stages: &str| {
        format!("[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nupstream = \"both\"\nstages = [{stages}]\n")
    };
    let gateway = Gateway::with(&format!(
        "[upstreams.both]\nendpoints = [\"{}\", \"{}\"]\n{}[models.echo]\npath = \"{}\"\n\
         [features.score]\nvalues = [{{ number = \"header:x-score\" }}]\n{}{}{}{}{}",
        one.address(),
        other.address(),
        honeypot.config("honeypot"),
        model.display(),
        balance("own", &other.address().to_string()),
        balance("theirs", &honeypot.address().to_string()),
        route("first", &format!("{{ script = \"own\" }}, {score}")),
        route("last", &format!("{score}, {{ script = \"own\" }}")),
        route("both", &format!("{{ script = \"theirs\" }}, {score}")),
    ));
    for path in ["/first", "/last"] {
        for _ in 0..3 {
            assert_eq!(gateway.get_with(path, &[("x-score", "0.1")]).text(), "other", "{path}");
            assert_eq!(gateway.get_with(path, &[("x-score", "0.9")]).text(), "sticky", "{path}");
        }
    }
    assert_eq!(gateway.get_with("/both", &[("x-score", "0.1")]).status, 503, "its own upstream has no such endpoint");
    assert_eq!(gateway.get_with("/both", &[("x-score", "0.9")]).text(), "sticky", "the other one has");
}

#[test]
fn tracebacks_of_scripts_that_fail_again_and_again_are_limited_and_counted() {
    let upstream = Upstream::saying("ok");
    let mut gateway = Gateway::with(&format!(
        "{}[scripts.s]\ncontent = \"error('broken')\"\n[[routes]]\nname = \"all\"\nstages = [{{ script = \"s\" }}]\n\
         [[routes]]\nname = \"ok\"\npath = \"/ok\"\nupstream = \"u\"\n",
        upstream.config("u")
    ));
    let mut failed = 0_u32;
    gateway.eventually("there are more in a second than are logged", |gateway| {
        failed += 100;
        let address = gateway.address();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..25).for_each(|_| assert_eq!(client::get(address, "/", &[]).status, 500)));
            }
        });
        gateway.metric("witgate_failure_lines_dropped_total") > 0.0
    });
    assert_eq!(gateway.get_with("/ok", &[("x-request-id", "after-1")]).status, 200);
    gateway.record("after-1");
    let dropped = gateway.metric("witgate_failure_lines_dropped_total");
    let logged = gateway.seen().iter().filter(|line| line.starts_with("err ") && line.contains("broken")).count();
    assert!(logged > 0 && (logged as f64) <= f64::from(failed) - dropped, "{logged} lines, {dropped} dropped");
}
