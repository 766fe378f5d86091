//! The gateway of the matrix: a route for each stage, upstream and deadline, side by side.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use witgate_tests::gateway::guest;

use crate::dimensions::{Stage, Upstream};
use crate::upstream::Addresses;

/// How long requests may take on a route: longer than anything here does, and then so little that it passes soon. A machine that is
/// too slow to come to the middle of a request within the first of these gets the next.
pub const DEADLINES: [&str; 4] = ["5m", "1s", "8s", "50s"];

/// What stages set, so that it can be told which generation they are of.
pub const TAG: &str = "one";
pub const TAG_AFTER_RELOAD: &str = "two";

/// Prefix of the paths of a route; `deadline`: which of [`DEADLINES`].
pub fn prefix(stage: Stage, upstream: Upstream, deadline: usize) -> String {
    let late = if deadline == 0 { String::new() } else { format!("/late-{deadline}") };
    format!("{late}/{}/{}", stage.label(), upstream.label())
}

/// The configuration. `drain`: how long requests may take after SIGTERM.
pub fn config(addresses: &Addresses, drain: &str, tag: &str) -> String {
    let mut config = format!(
        r#"
[[listeners]]
address = "127.0.0.1:0"
[admin]
address = "127.0.0.1:0"
[access_log]
output = "stdout"
[runtime]
threads = 2
accept_timeout = "0ms"
drain_timeout = "{drain}"
[downstream]
body_timeout = "5m"
[upstreams.http1]
endpoints = ["{http1}"]
{patience}
[upstreams.http2]
endpoints = ["{http2}"]
protocol = "http2"
{patience}
{plugins}{scripts}
[models.echo]
path = "{model}"
queue_timeout = "1m"
[features.score]
values = [{{ number = "header:x-score" }}]
[features.body]
values = [{{ length = "body" }}]
"#,
        http1 = addresses.http1,
        patience = "connect_timeout = \"1m\"\nread_timeout = \"5m\"",
        http2 = addresses.http2,
        plugins = ["tagger", "bodies", "hostile"].map(plugin).concat(),
        scripts = scripts(addresses, tag),
        model = model().display(),
    );
    for &stage in Stage::ALL {
        for &upstream in Upstream::ALL {
            for deadline in 0..DEADLINES.len() {
                config.push_str(&route(stage, upstream, deadline, tag));
            }
        }
    }
    config
}

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/identity_float.onnx")
}

/// Limits are so wide that no machine is too slow for them: they are not what is tried here.
fn plugin(name: &str) -> String {
    format!(
        "[plugins.{name}]\npath = \"{}\"\nmemory_limit = \"128MiB\"\nhook_timeout = \"1m\"\nwall_timeout = \"2m\"\n",
        guest(name).display()
    )
}

fn scripts(addresses: &Addresses, tag: &str) -> String {
    let (host, port) = (addresses.gate.ip(), addresses.gate.port());
    let wait = format!(
        "if ngx.var.http_x_gate == 'stage' then local sock = ngx.socket.tcp() sock:settimeout(300000) \
         assert(sock:connect('{host}', {port})) assert(sock:send(ngx.var.http_x_request_id .. '\\n')) \
         assert(sock:receive()) sock:close() end"
    );
    let mut text = format!(
        "[lua.matrix]\ngrants = [\"address:{host}:{port}\"]\nmemory_limit = \"1GiB\"\nrequest_memory_limit = \"256MiB\"\n\
         cpu_limit = \"1m\"\nwall_timeout = \"5m\"\n"
    );
    let content = format!(
        "ngx.req.read_body() {wait} ngx.header['X-Own'] = 'yes' \
         local answer = 'content of ' .. #(ngx.req.get_body_data() or '') \
         if ngx.var.http_x_reply == 'huge' then answer = answer .. (' '):rep({CONTENT_PADDING}) end ngx.print(answer)"
    );
    let scripts = [
        ("filter", "header_filter", format!("ngx.header['X-Filter'] = '{tag}'")),
        ("upper", "body_filter", "ngx.arg[1] = ngx.arg[1]:upper()".to_owned()),
        (
            "reads",
            "access",
            "ngx.req.read_body() ngx.req.set_header('X-Read', #(ngx.req.get_body_data() or ''))".to_owned(),
        ),
        ("first", "access", format!("ngx.header['X-First'] = '{tag}'")),
        ("waits", "access", wait),
        ("content", "content", content),
        (
            "status",
            "header_filter",
            // Of what is answered, not of the gateway's own words about it.
            "local status = ngx.var.http_x_status if status and ngx.status < 500 then ngx.status = tonumber(status) end"
                .to_owned(),
        ),
    ];
    for (name, phase, code) in scripts {
        let _ = write!(text, "[scripts.{name}]\nlua = \"matrix\"\n{phase} = '''\n{code}\n'''\n");
    }
    text
}

/// Behind what a script says, if that is to be large.
pub const CONTENT_PADDING: usize = 3 << 20;

fn route(stage: Stage, upstream: Upstream, deadline: usize, tag: &str) -> String {
    let bodies = |config: &str| format!("{{ plugin = \"bodies\", grants = [\"kv\"], config = {{ {config} }} }}");
    let model = |features: &str, more: &str| {
        format!("{{ inference = \"echo\", inputs = [\"{features}\"], tag = \"x-rated\", deadline = \"1m\", {more} }}")
    };
    let stages = match stage {
        Stage::None => String::new(),
        Stage::Heads => format!("{{ plugin = \"tagger\", config = {{ tag = \"{tag}\" }} }}"),
        Stage::HoldRequest => bodies("request = \"buffered\", mark = \">\""),
        Stage::HoldResponse => bodies("response = \"buffered\", mark = \">\""),
        Stage::Pieces => bodies("request = \"chunks\", response = \"chunks\", mark = \">\""),
        Stage::Answers | Stage::Refuses => "{ script = \"status\" }, { plugin = \"hostile\" }".to_owned(),
        Stage::HeaderFilter => "{ script = \"filter\" }".to_owned(),
        Stage::BodyFilter => "{ script = \"upper\" }".to_owned(),
        Stage::Reads => "{ script = \"reads\" }".to_owned(),
        Stage::Waits => "{ script = \"first\" }, { script = \"waits\" }".to_owned(),
        Stage::Content => "{ script = \"status\" }, { script = \"content\" }".to_owned(),
        Stage::Scores => model("score", "refuse_above = 1e9"),
        Stage::ScoresBody => model("body", "refuse_above = 1e9"),
        Stage::Unwanted => model("body", "when = { header = \"x-never\" }"),
        Stage::Shadow => model("body", "mode = \"shadow\""),
        Stage::Models => "{ script = \"status\" }".to_owned(),
    };
    let target = match stage {
        Stage::Content => String::new(),
        Stage::Models => "models = [\"echo\"]\n".to_owned(),
        _ => format!("upstream = \"{}\"\n", upstream.label()),
    };
    // The others hold nothing back, so the default must not matter to them.
    let holds = stage.holds_request() || stage.holds_response();
    let buffer = if holds { "buffer_limit = \"8MiB\"\n" } else { "" };
    format!(
        "[[routes]]\nname = \"{}-{}-{deadline}\"\npath_prefix = \"{}\"\n{target}deadline = \"{}\"\n{buffer}stages = [{stages}]\n",
        stage.label(),
        upstream.label(),
        prefix(stage, upstream, deadline),
        DEADLINES[deadline],
    )
}
