//! What it costs a script to wait: `cargo bench -p witgate-script --bench waiting [FILTER]`, with a Redis at the address in
//! `REDIS` (127.0.0.1:6379 by default) for the calls over a connection that is kept.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends at the first surprise"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use witgate_script::{AppSpec, Chunk, Network, Phase, Reach, ScriptHost, ScriptSpec, ScriptStage};
use witgate_stage::{Client, Exchange, Hook, RequestHead, Run, Stage};

const REQUESTS: u32 = 50_000;
const ROUNDS: usize = 5;
/// Requests at once.
const TOGETHER: usize = 16;

const CASES: &[(&str, &str)] = &[
    ("nothing", ""),
    (
        "no wait: check a key",
        "local key = ngx.var.http_x_api_key if key ~= 'secret' then return ngx.exit(401) end
        ngx.req.set_header('x-consumer', 'consumer-42') ngx.req.clear_header('x-api-key')",
    ),
    ("sleep(0)", "ngx.sleep(0)"),
    ("timer.at(0)", "ngx.timer.at(0, function() end)"),
    ("semaphore", "local s = require('ngx.semaphore').new(1) s:wait(1) s:post()"),
    (
        "redis GET, kept connection",
        "local sock = ngx.socket.tcp() sock:settimeout(1000) assert(sock:connect('HOST', PORT))
        sock:send('*2\\r\\n$3\\r\\nGET\\r\\n$3\\r\\nkey\\r\\n') local head = assert(sock:receive())
        if head ~= '$-1' then sock:receive(tonumber(head:sub(2))) sock:receive(2) end
        assert(sock:setkeepalive(10000, 100))",
    ),
    (
        "redis GET, new connection",
        "local sock = ngx.socket.tcp() sock:settimeout(1000) assert(sock:connect('HOST', PORT))
        sock:send('*2\\r\\n$3\\r\\nGET\\r\\n$3\\r\\nkey\\r\\n') assert(sock:receive()) sock:close()",
    ),
];

fn exchange() -> Box<Exchange> {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_static("secret"));
    let request = RequestHead { method: Method::GET, path: "/".parse().unwrap(), headers };
    let client =
        Client { address: ([127, 0, 0, 1], 5000).into(), local: ([127, 0, 0, 1], 80).into(), tls: false, sni: None };
    Box::new(Exchange::new(request, "id".into(), "route".into(), client))
}

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let redis: std::net::SocketAddr =
        std::env::var("REDIS").map_or(([127, 0, 0, 1], 6379).into(), |address| address.parse().unwrap());
    let host = ScriptHost::new(1, None).unwrap();
    let networks = vec![Network { address: redis.ip(), bits: 32, port: Some(redis.port()) }];
    let reach = Reach { networks, ..Reach::default() };
    let app = host.app(AppSpec { name: "bench".into(), reach, ..AppSpec::default() }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, code) in CASES.iter().filter(|(name, _)| name.contains(&filter)) {
        let code = code.replace("HOST", &redis.ip().to_string()).replace("PORT", &redis.port().to_string());
        let chunk = Chunk { name: "=access".into(), source: Bytes::from(code) };
        let phases = BTreeMap::from([(Phase::Access, chunk)]);
        let spec = ScriptSpec { name: "bench".into(), phases, variables: BTreeMap::new() };
        let stage = Arc::new(ScriptStage::new(host.script(spec, &app).unwrap(), false));
        let mut rounds: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let begun = Instant::now();
                let tasks = tokio::task::LocalSet::new();
                for _ in 0..TOGETHER {
                    let stage = Arc::clone(&stage);
                    tasks.spawn_local(async move {
                        for _ in 0..REQUESTS / TOGETHER as u32 {
                            let (_, result) = match stage.run(Hook::RequestHeaders, exchange()) {
                                Run::Ended(exchange, result) => (exchange, result),
                                Run::Waits(future) => future.await,
                            };
                            result.unwrap();
                        }
                    });
                }
                runtime.block_on(tasks);
                begun.elapsed().as_secs_f64() * 1e6 / f64::from(REQUESTS)
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        println!("{name:40} {:8.2} us", rounds[ROUNDS / 2]);
    }
}
