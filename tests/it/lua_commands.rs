//! `witgate lua check` and `witgate lua test`: what authors do with scripts, through the binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use witgate_tests::examples::root;
use witgate_tests::gateway::binary;

struct Ran {
    status: Option<i32>,
    out: String,
    err: String,
}

fn witgate(arguments: &[&str], folder: &Path) -> Ran {
    let output = Command::new(binary()).arg("lua").args(arguments).current_dir(folder).output().expect("witgate runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The report of a command that was asked for JSON, and its exit status.
fn json(arguments: &[&str], folder: &Path) -> (Value, Option<i32>) {
    let ran = witgate(&[arguments, &["--format", "json"]].concat(), folder);
    let report = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err));
    (report, ran.status)
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, text).expect("written");
    }
    folder
}

#[test]
fn check_shows_the_place_of_each_finding_and_tells_by_its_status() {
    let script =
        "local req = ngx.req\nlocal args = req.get_uri_arg()\nif args.x then\n    local function f() n = 1 end\nend\n";
    let site = folder(&[("a.lua", script), ("fine.lua", "ngx.say('hello')\n")]);
    let ran = witgate(&["check", "a.lua"], site.path());
    assert_eq!(
        ran.out,
        "error: there is no `ngx.req.get_uri_arg`\n  --> a.lua:2:18\n   |\n 2 | local args = req.get_uri_arg()\n   |                  ^\n   \
         = help: did you mean `ngx.req.get_uri_args`?\n\n\
         warning: a function assigns to the global `n`, which does not outlive the request\n  --> a.lua:4:24\n   |\n \
         4 |     local function f() n = 1 end\n   |                        ^\n   \
         = help: make it `local`, or keep it in `ngx.ctx` or a shared dictionary\n\n\
         1 file: not ok (1 error, 1 warning)\n"
    );
    assert_eq!((ran.status, ran.err.as_str()), (Some(1), ""));
    assert_eq!(witgate(&["check", "fine.lua"], site.path()).out, "1 file: ok (0 errors, 0 warnings)\n");
    let (report, status) = json(&["check", "."], site.path());
    assert_eq!((status, &report["files"], &report["errors"]), (Some(1), &2.into(), &1.into()), "{report}");
    assert_eq!(report["diagnostics"][0]["severity"], "error");
    assert_eq!(report["diagnostics"][0]["line"], 2);
    let missing = witgate(&["check"], site.path());
    assert!(
        missing.status == Some(1) && missing.out.contains("gateway.toml") && missing.out.contains("cannot be read")
    );
}

#[test]
fn warnings_can_be_denied_and_notes_asked_for() {
    let site = folder(&[("a.lua", "ngx.flush()\nreturn foo\n")]);
    assert_eq!(witgate(&["check", "a.lua"], site.path()).status, Some(0));
    assert_eq!(witgate(&["check", "a.lua", "--deny", "warnings"], site.path()).status, Some(1));
    let noted = witgate(&["check", "a.lua", "--notes"], site.path());
    assert!(noted.out.starts_with("note: `ngx.flush` is not quite as in OpenResty\n"), "{}", noted.out);
}

#[test]
fn hostile_files_are_told_of_and_harm_nobody() {
    let deep = format!("x = {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let blocks = "do ".repeat(100_000);
    let site = folder(&[("deep.lua", &deep), ("blocks.lua", &blocks), ("code.lua", "\u{1b}LJ\u{2}")]);
    fs::write(site.path().join("latin.lua"), b"x = '\xe4' y = \xff").expect("written");
    fs::File::create(site.path().join("large.lua")).expect("created").set_len(100 << 20).expect("grown");
    std::os::unix::fs::symlink(site.path(), site.path().join("round")).expect("linked");
    std::os::unix::fs::symlink("/dev/zero", site.path().join("zero.lua")).expect("linked");
    let (report, status) = json(&["check", "."], site.path());
    assert_eq!((status, &report["errors"]), (Some(1), &4.into()), "{report:#}");
    let human = witgate(&["check", "."], site.path()).out;
    assert!(!human.contains('\u{1b}'), "{human}");
    let zero = witgate(&["check", "zero.lua"], site.path());
    assert!(zero.status == Some(1) && zero.out.contains("is not a file"), "{}", zero.out);
}

#[test]
fn the_examples_are_clean_and_do_what_their_cases_say() {
    for example in ["openresty"] {
        let folder = root().join("examples").join(example);
        let checked = witgate(&["check", "--deny", "warnings"], &folder);
        assert_eq!(checked.status, Some(0), "{}{}", checked.out, checked.err);
        for cases in ["cases.toml", "cases-follow.toml"] {
            let ran = witgate(&["test", cases], &folder);
            assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
            assert!(ran.out.contains(", 0 failed") && !ran.out.contains("\n0 passed"), "{}", ran.out);
        }
    }
}

/// Blocks of TOML in a page that have scripts, as whole configurations.
fn configurations_of(page: &str) -> Vec<String> {
    let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("[scripts.")).map(str::to_owned).collect()
}

#[test]
fn scripts_in_the_documentation_are_clean() {
    let mut seen = 0;
    for page in ["README.md", "docs/lua/README.md", "docs/configuration.md", "docs/operation.md"] {
        let text = fs::read_to_string(root().join(page)).expect("there is such a page");
        for block in configurations_of(&text) {
            seen += 1;
            let rest = "\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[upstreams.shop]\nendpoints = [\"127.0.0.1:1\"]\n\
                        [upstreams.redis]\nendpoints = [\"127.0.0.1:1\"]\n";
            let site = folder(&[("gateway.toml", &format!("{block}{rest}")), ("lua/empty.lua", "return {}")]);
            let checked = witgate(&["check", "--deny", "warnings"], site.path());
            assert_eq!(checked.status, Some(0), "{page}: {}{}", checked.out, checked.err);
        }
    }
    assert!(seen > 0, "no page has a script");
}

/// A cases file with a script of its own.
fn tested(script: &str, cases: &str) -> (Value, Option<i32>) {
    let site = folder(&[("cases.toml", &format!("{script}\n{cases}"))]);
    json(&["test", "cases.toml"], site.path())
}

/// The differences of the only case in a report, as path, expected and got.
fn differences(report: &Value) -> Vec<[String; 3]> {
    let differences = report["cases"][0]["differences"].as_array().unwrap_or_else(|| panic!("{report}"));
    let text = |it: &Value, key: &str| it[key].as_str().expect("a text").to_owned();
    differences.iter().map(|it| ["path", "expected", "got"].map(|key| text(it, key))).collect()
}

#[track_caller]
fn passes(script: &str, cases: &str) {
    let (report, status) = tested(script, cases);
    assert_eq!(status, Some(0), "{report:#}");
}

#[test]
fn phases_see_requests_and_responses_and_change_them() {
    let script = "[script]\nvariables = { color = \"red\" }\nrewrite = \"ngx.var.color = ngx.var.arg_color or ngx.var.color\"\n\
        access = '''\nngx.req.read_body()\nngx.req.set_header('X-Color', ngx.var.color)\nngx.req.clear_header('X-Secret')\n\
        ngx.req.set_body_data(ngx.req.get_body_data():upper())\nngx.log(ngx.WARN, 'seen ', ngx.var.remote_addr)\n'''\n\
        header_filter = \"ngx.header.x_color = ngx.var.color\"\nbody_filter = \"ngx.arg[1] = ngx.arg[1]:gsub('o', '0')\"\n\
        log = \"ngx.log(ngx.INFO, 'ended with ', ngx.status)\"\n";
    let cases = "[[cases]]\nname = \"all phases\"\n\
        request = { path = \"/?color=blue\", method = \"POST\", headers = { x-secret = \"s\" }, body = \"hello\" }\n\
        response = { status = 201, body = \"foo foo\" }\n[cases.expect]\n\
        upstream = { headers = { x-color = \"blue\" }, absent = [\"x-secret\"], body = \"HELLO\" }\n\
        client = { status = 201, headers = { x-color = \"blue\" }, body = \"f00 f00\" }\n\
        log = [\"warn *seen 192.0.2.1\", \"info *ended with 201\"]\n";
    passes(script, cases);
}

#[test]
fn time_stands_still_but_for_what_passes() {
    let script = "now = \"2026-01-01T00:00:00Z\"\n[script]\nshared_dicts = { d = \"64KiB\" }\ncontent = '''\nlocal since = ngx.now()\n\
        local t = ngx.thread.spawn(function() ngx.sleep(30) ngx.print('late ') end)\nngx.sleep(5) ngx.print('soon ')\n\
        ngx.thread.wait(t)\nngx.say(ngx.now() - since, ' ', ngx.http_time(ngx.time()), ' ', os.time() - ngx.time(), ' ', os.date('!%H:%M:%S'))\n\
        ngx.say(tostring(ngx.shared.d:get('seen')))\nngx.shared.d:set('seen', 1, 60)\n\
        ngx.timer.at(10, function(premature) ngx.shared.d:incr('timers', 1, 0) end)\n'''\n";
    let cases = "[[cases]]\nname = \"first\"\n[cases.expect]\nverdict = \"respond\"\n\
        client.body = \"soon late 30 Thu, 01 Jan 2026 00:00:30 GMT 0 00:00:30\\nnil\\n\"\ndicts_absent.d = [\"timers\"]\n\
        [[cases]]\nname = \"second\"\nadvance = \"10s\"\n[cases.expect]\nverdict = \"respond\"\n\
        client.body = \"soon late 30 Thu, 01 Jan 2026 00:01:10 GMT 0 00:01:10\\n1\\n\"\ndicts = { d = { timers = \"1\" } }\n\
        [[cases]]\nname = \"third\"\nadvance = \"60s\"\n[cases.expect]\nverdict = \"respond\"\n\
        client.body = \"soon late 30 Thu, 01 Jan 2026 00:02:40 GMT 0 00:02:40\\nnil\\n\"\ndicts = { d = { timers = \"2\" } }\n";
    passes(script, cases);
}

#[test]
fn sockets_reach_what_the_file_says_and_nothing_else() {
    let script = "[script]\ncontent = '''\nlocal sock = ngx.socket.tcp()\nlocal ok, message = sock:connect(ngx.var.arg_host, 6379)\n\
        if not ok then return ngx.say(message) end\nsock:send('PING\\r\\n')\nngx.say(sock:receive())\nsock:setkeepalive()\n'''\n\
        [[sockets.\"10.0.0.1:6379\"]]\nreceive = \"PING\\r\\n\"\nsend = \"+PONG\\r\\n\"\n";
    let case = |rest: &str| format!("[[cases]]\nname = \"a\"\n{rest}");
    passes(
        script,
        &case(
            "repeat = 3\nrequest.path = \"/?host=10.0.0.1\"\nexpect = { verdict = \"respond\", client.body = \"+PONG\\n\" }\n",
        ),
    );
    let (report, _) = tested(script, &case("request.path = \"/?host=10.0.0.2\"\nexpect = { verdict = \"respond\" }\n"));
    let [path, _, got] = &differences(&report)[0];
    assert_eq!(path, "sockets");
    assert_eq!(got, "10.0.0.1:6379: the script never sends \"PING\\r\\n\"");
    let other = "sockets.\"10.0.0.1:6379\" = [{ receive = \"QUIT\" }]\nrequest.path = \"/?host=10.0.0.1\"\n\
                 expect = { verdict = \"respond\" }\n";
    let (report, _) = tested(script, &case(other));
    let [_, _, got] = &differences(&report)[0];
    assert_eq!(got, "10.0.0.1:6379: expected \"QUIT\", got \"PING\\r\\n\"");
}

#[test]
fn subrequests_get_the_answers_of_the_file() {
    let script = "upstreams.routes = [{ path = \"/users/*\", body = \"alice\" }]\n[script]\n\
        access = \"ngx.req.set_header('X-User', ngx.location.capture('/users/' .. ngx.var.arg_id).body)\"\n";
    let case = "[[cases]]\nname = \"a\"\nrequest.path = \"/?id=7\"\n[cases.expect]\nupstream.headers.x-user = \"alice\"\n\
                calls = [{ upstream = \"routes\", method = \"GET\", path = \"/users/7\" }]\n";
    passes(script, case);
}

#[test]
fn a_script_that_fails_or_loops_is_told_with_its_line() {
    let case = |expect: &str| format!("[[cases]]\nname = \"a\"\nexpect = {{ verdict = \"fail\", {expect} }}\n");
    passes(
        "[script]\naccess = '''\n\nlocal t = nil\nreturn t.x'''",
        &case("failure = \"trap\", message = \"*scripts.test.access:3: attempt to index*\""),
    );
    passes(
        "[script]\naccess = \"while true do end\"\nlua = { cpu_limit = \"5ms\" }\n",
        &case("failure = \"deadline\", client.status = 500"),
    );
    passes(
        "[script]\naccess = \"return\"\n",
        "[[cases]]\nname = \"a\"\nfault = \"trap\"\nexpect = { verdict = \"fail\" }\n",
    );
}

#[test]
fn mistakes_in_the_file_are_told_with_what_to_do() {
    let site = folder(&[("a.lua", "return")]);
    let mistake = |text: &str| {
        fs::write(site.path().join("cases.toml"), text).expect("written");
        let ran = witgate(&["test", "cases.toml"], site.path());
        assert_eq!(ran.status, Some(1), "{text}: {}", ran.out);
        ran.err
    };
    let case = "[[cases]]\nname = \"a\"\n";
    for (text, told) in [
        (case.to_owned(), "the file names no `script`"),
        (format!("script = \"a\"\n{case}"), "add `gateway = \"gateway.toml\"`"),
        (format!("script = {{ access_file = \"a.lua\" }}\ngateway = \"g\"\n{case}"), "got both"),
        (format!("script = {{ acess_file = \"a.lua\" }}\n{case}"), "did you mean `access_file`?"),
        (format!("script = {{ access = \"x =\" }}\n{case}"), "cannot be compiled"),
        (format!("plugin = \"p.wasm\"\n{case}"), "run `witgate plugin test`"),
        (format!("script = {{ access_file = \"a.lua\" }}\ngrants = [\"kv\"]\n{case}"), "cases.toml:2:1"),
        (
            format!("script = {{ access_file = \"a.lua\" }}\nupstreams.u = []\n{case}"),
            "expected only `upstreams.routes`",
        ),
        (format!("script = {{ access_file = \"a.lua\" }}\nsockets.s = []\n{case}sockets.t = []\n"), "[[sockets.NAME]]"),
        (format!("script = {{ access_file = \"none.lua\" }}\n{case}"), "none.lua"),
        (format!("script = {{ access_file = \"a.lua\" }}\ndicts.d.k = 1\n{case}"), "the shared dictionary `d`"),
        (format!("scripts = 1\n{case}"), "unknown key `scripts`"),
    ] {
        let error = mistake(&text);
        assert!(error.contains(told), "{text}\n{error}");
    }
    fs::write(site.path().join("cases.toml"), format!("script = \"a\"\n{case}")).expect("written");
    let cases: PathBuf = site.path().join("cases.toml");
    let plugin = Command::new(binary()).args(["plugin", "test"]).arg(cases).output().expect("witgate runs");
    assert!(String::from_utf8_lossy(&plugin.stderr).contains("run `witgate lua test`"));
}

#[test]
fn what_a_reload_finds_in_a_script_is_told_at_its_own_line() {
    let config = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[scripts.a]\ncontent = '''\n\nlocal x = = 1\n'''\n\
                  [scripts.b]\ncontent_file = \"b.lua\"\n[lua.v]\ninit = '''\nlocal a\nerror(\"not today\")\n'''\n";
    let site = folder(&[("gateway.toml", config), ("b.lua", "local y = 1\nif y then")]);
    let output = Command::new(binary()).arg("check").current_dir(site.path()).output().expect("witgate runs");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    for told in [
        "  --> gateway.toml:6:1 (scripts.a.content)\n   |\n 6 | local x = = 1\n",
        "  --> b.lua:2:1 (scripts.b.content_file)\n   |\n 2 | if y then\n",
        "   --> gateway.toml:13:1 (lua.v.init)\n    |\n 13 | error(\"not today\")\n",
    ] {
        assert!(err.contains(told), "{told}\n{err}");
    }
}
