//! A script as a stage of a route.

use std::sync::Arc;
use std::time::Duration;

use send_wrapper::SendWrapper;
use witgate_stage::{BodyMode, Exchange, Hook, Stage, StageError, Stopwatch, Verdict};

use crate::run::{Run, Step};
use crate::script::Script;
use crate::vm::Vm;
use crate::{Phase, ScriptError};

/// Runs a script's phases.
pub struct ScriptStage {
    script: Arc<Script>,
    /// Later hooks of a request see what earlier ones left: `ngx.ctx` and variables.
    keeps: bool,
}

impl ScriptStage {
    /// `keeps`: whether the route's scripts of this app have more than one hook.
    pub fn new(script: Arc<Script>, keeps: bool) -> Self {
        Self { script, keeps }
    }

    fn error(&self, error: ScriptError) -> StageError {
        StageError { stage: self.script.name().to_owned(), kind: error.kind(), source: Box::new(error) }
    }
}

impl Stage for ScriptStage {
    fn name(&self) -> &str {
        self.script.name()
    }

    fn has(&self, hook: Hook) -> bool {
        Phase::of(hook).iter().any(|phase| self.script.has(*phase))
    }

    fn body_mode(&self, _: Hook) -> BodyMode {
        BodyMode::Chunks
    }

    fn may_ask_for_body(&self) -> bool {
        [Phase::Rewrite, Phase::Access, Phase::Content].iter().any(|phase| self.script.has(*phase))
    }

    fn run(&self, hook: Hook, mut exchange: Box<Exchange>) -> witgate_stage::Run<'_> {
        let vm = match Vm::of(self.script.app.app()) {
            Ok(vm) => vm,
            Err(error) => return witgate_stage::Run::Ended(exchange, Err(self.error(error))),
        };
        if vm.is_full() {
            vm.retire();
        }
        let request = if self.keeps { vm.request_of(&mut exchange) } else { vm.request() };
        let mut stopwatch = Stopwatch::start();
        request.lend(exchange);
        let mut run = Run::new(vm, request, (Arc::clone(&self.script), self.keeps), hook);
        match run.begin() {
            Step::Ended(result) => {
                let (exchange, result) = self.end(&run, result, stopwatch.lap());
                match exchange {
                    Some(exchange) => witgate_stage::Run::Ended(exchange, result),
                    // Never: the request has had it since `lend`.
                    None => witgate_stage::Run::Waits(Box::pin(std::future::pending())),
                }
            }
            Step::Waits => {
                let began = stopwatch.lap();
                // A proxy thread runs its tasks itself, so the VM's own thread is the only one that polls or drops this.
                witgate_stage::Run::Waits(Box::pin(SendWrapper::new(self.wait(run, began))))
            }
        }
    }
}

impl ScriptStage {
    async fn wait(&self, run: Run, mut guest: Duration) -> (Box<Exchange>, Result<Verdict, StageError>) {
        let limit = self.script.app.app().spec.limits.wall;
        // Dropped in the middle, if the client is gone: what it waits for goes with it.
        let mut run = Abandons { run, forgets: !self.keeps };
        let timeout = tokio::time::sleep(limit);
        tokio::pin!(timeout);
        let result = loop {
            let event = tokio::select! {
                biased;
                event = run.run.event() => event,
                () = &mut timeout => {
                    run.run.abandon();
                    break Err(ScriptError::WallTime { limit_ms: limit.as_millis() });
                }
            };
            let Some(event) = event else {
                run.run.abandon();
                break Err(ScriptError::Runtime("it waits for what can never happen".to_owned()));
            };
            let mut stopwatch = Stopwatch::start();
            let step = run.run.go_on(event);
            guest += stopwatch.lap();
            if let Step::Ended(result) = step {
                break result;
            }
        };
        match self.end(&run.run, result, guest) {
            (Some(exchange), result) => (exchange, result),
            (None, _) => std::future::pending().await,
        }
    }

    /// Takes the exchange back.
    fn end(
        &self,
        run: &Run,
        result: Result<Verdict, ScriptError>,
        guest: Duration,
    ) -> (Option<Box<Exchange>>, Result<Verdict, StageError>) {
        if result.is_err() {
            run.request().undo();
        }
        if !self.keeps && run.keeps() {
            run.forget();
        }
        let mut exchange = run.request().take_back();
        if let Some(exchange) = &mut exchange {
            exchange.usage.guest = guest;
            exchange.usage.memory = run.used_memory();
        }
        (exchange, result.map_err(|error| self.error(error)))
    }
}

/// What a run has left in its VM goes when this does, also if the client is gone before its end.
struct Abandons {
    run: Run,
    /// No later hook goes on with the request.
    forgets: bool,
}

impl Drop for Abandons {
    fn drop(&mut self) {
        self.run.abandon();
        if self.forgets {
            self.run.forget();
        }
    }
}
