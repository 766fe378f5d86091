//! A script without a gateway around it.
#![allow(dead_code)]

pub mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use witgate_script::{
    AppSpec, Chunk, Limits, Network, Phase, Reach, Script, ScriptHost, ScriptSpec, ScriptStage, Trust,
};
use witgate_stage::{Client, Exchange, Hook, RequestHead, Response, ResponseHead, Run, Stage, StageError, Verdict};

/// Settings for libraries: sockets reach everything on this machine, there is a dictionary `d`, and trusted code has libcrypto.
pub fn for_libraries(trust: Trust) -> AppSpec {
    AppSpec {
        name: "libraries".into(),
        trust,
        reach: home(),
        libraries: if trust == Trust::Full { vec![PathBuf::from("libcrypto.so.3")] } else { Vec::new() },
        dicts: BTreeMap::from([("d".to_owned(), 1 << 20)]),
        // The watchdog of a busy machine would find slow starts otherwise.
        limits: Limits { cpu: Duration::from_secs(5), ..Limits::default() },
        ..AppSpec::default()
    }
}

/// Everything on this machine.
fn home() -> Reach {
    let home = Network { address: [127, 0, 0, 0].into(), bits: 8, port: None };
    Reach { networks: vec![home], ..Reach::default() }
}

pub struct Rig {
    host: ScriptHost,
    script: Arc<Script>,
    app: AppSpec,
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    pub fn new(phases: &[(Phase, &str)]) -> Self {
        Self::with(phases, Limits::default())
    }

    pub fn with(phases: &[(Phase, &str)], limits: Limits) -> Self {
        Self::of(phases, AppSpec { name: "test".into(), limits, ..AppSpec::default() })
    }

    pub fn of(phases: &[(Phase, &str)], app: AppSpec) -> Self {
        let host = ScriptHost::new(1, None).unwrap();
        let script = script(&host, phases, app.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { host, script, app, runtime }
    }

    /// A content script whose sockets reach everything on this machine.
    pub fn at_home(code: &str) -> Self {
        Self::at_home_with(code, |_| {})
    }

    pub fn at_home_with(code: &str, change: impl FnOnce(&mut AppSpec)) -> Self {
        let mut app = AppSpec { name: "test".into(), reach: home(), ..AppSpec::default() };
        change(&mut app);
        Self::of(&[(Phase::Content, code)], app)
    }

    /// What a content script says, or its error.
    pub fn told(&self) -> String {
        match self.run(Hook::RequestHeaders, get("/")).1 {
            Ok(Verdict::Respond(response)) => String::from_utf8(response.body.to_vec()).unwrap(),
            Err(error) => format!("error: {}", error.source),
            other => panic!("{other:?}"),
        }
    }

    /// Takes the script out of service and another, with the same settings, into it.
    pub fn replace(&mut self, code: &str) {
        let mut app = self.app.clone();
        app.name = "replaced".into();
        self.script = script(&self.host, &[(Phase::Content, code)], app);
    }

    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }

    pub fn stage(&self) -> ScriptStage {
        ScriptStage::new(Arc::clone(&self.script), true)
    }

    pub fn host(&self) -> &ScriptHost {
        &self.host
    }

    pub fn run(&self, hook: Hook, exchange: Box<Exchange>) -> (Box<Exchange>, Result<Verdict, StageError>) {
        let stage = ScriptStage::new(Arc::clone(&self.script), true);
        let _entered = self.runtime.enter();
        match stage.run(hook, exchange) {
            Run::Ended(exchange, result) => (exchange, result),
            Run::Waits(future) => self.runtime.block_on(future),
        }
    }

    pub fn respond(&self, exchange: Box<Exchange>) -> Response {
        match self.run(Hook::RequestHeaders, exchange).1 {
            Ok(Verdict::Respond(response)) => *response,
            Err(error) => panic!("{error}: {}", error.source),
            other => panic!("{other:?}"),
        }
    }

    /// What a content script says.
    pub fn say(code: &str) -> String {
        let rig = Self::new(&[(Phase::Content, code)]);
        String::from_utf8(rig.respond(get("/")).body.to_vec()).unwrap()
    }
}

fn script(host: &ScriptHost, phases: &[(Phase, &str)], app: AppSpec) -> Arc<Script> {
    let app = host.app(app).unwrap();
    let chunk = |phase: Phase, code: &str| Chunk {
        name: format!("={}", phase.name()),
        source: Bytes::copy_from_slice(code.as_bytes()),
    };
    let phases: BTreeMap<_, _> = phases.iter().map(|(phase, code)| (*phase, chunk(*phase, code))).collect();
    let variables = BTreeMap::from([("color".to_owned(), "red".to_owned())]);
    host.script(ScriptSpec { name: "test".into(), phases, variables }, &app).unwrap()
}

pub fn get(path: &str) -> Box<Exchange> {
    let mut headers = HeaderMap::new();
    headers.insert("host", "localhost:8080".parse().unwrap());
    let request = RequestHead { method: Method::GET, path: path.parse().unwrap(), headers };
    let client =
        Client { address: ([127, 0, 0, 1], 5000).into(), local: ([127, 0, 0, 1], 80).into(), tls: false, sni: None };
    Box::new(Exchange::new(request, "id-1".into(), "route".into(), client))
}

pub fn answered(mut exchange: Box<Exchange>) -> Box<Exchange> {
    exchange.answered(ResponseHead { status: StatusCode::OK, headers: HeaderMap::new() }, true);
    exchange
}
