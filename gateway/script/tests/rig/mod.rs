//! A script without a gateway around it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use witgate_script::{AppSpec, Chunk, Limits, Phase, Script, ScriptHost, ScriptSpec, ScriptStage};
use witgate_stage::{Client, Exchange, Hook, RequestHead, Response, ResponseHead, Run, Stage, StageError, Verdict};

pub struct Rig {
    host: ScriptHost,
    script: Arc<Script>,
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
        let app = host.app(app).unwrap();
        let chunk = |phase: Phase, code: &str| Chunk {
            name: format!("={}", phase.name()),
            source: Bytes::copy_from_slice(code.as_bytes()),
        };
        let phases: BTreeMap<_, _> = phases.iter().map(|(phase, code)| (*phase, chunk(*phase, code))).collect();
        let variables = BTreeMap::from([("color".to_owned(), "red".to_owned())]);
        let script = host.script(ScriptSpec { name: "test".into(), phases, variables }, &app).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { host, script, runtime }
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

pub fn get(path: &str) -> Box<Exchange> {
    let mut headers = HeaderMap::new();
    headers.insert("host", "localhost:8080".parse().unwrap());
    let request = RequestHead { method: Method::GET, path: path.parse().unwrap(), headers };
    let client = Client { address: ([127, 0, 0, 1], 5000).into(), tls: false, sni: None };
    Box::new(Exchange::new(request, "id-1".into(), "route".into(), client))
}

pub fn answered(mut exchange: Box<Exchange>) -> Box<Exchange> {
    exchange.answered(ResponseHead { status: StatusCode::OK, headers: HeaderMap::new() }, true);
    exchange
}
