//! A script as a stage of a route.

use std::sync::Arc;

use witgate_stage::{BodyMode, Exchange, Hook, Stage, StageError, Verdict};

use crate::confined::Confined;
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

    fn answers(&self) -> bool {
        self.script.has(Phase::Content)
    }

    fn filters_own_answers(&self) -> bool {
        self.script.has(Phase::HeaderFilter) || self.script.has(Phase::BodyFilter)
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
        request.lend(exchange);
        let mut run = Run::new(vm, request, (&self.script, self.keeps), hook);
        match run.begin() {
            Step::Ended(result) => {
                let (exchange, result) = self.end(run, result);
                witgate_stage::Run::Ended(exchange, result)
            }
            // A proxy thread runs its tasks itself, so the VM's own thread is the only one that polls or drops this.
            Step::Waits => witgate_stage::Run::Waits(Box::pin(Confined::new(self.wait(run)))),
        }
    }
}

impl ScriptStage {
    async fn wait(&self, run: Run<'_>) -> (Box<Exchange>, Result<Verdict, StageError>) {
        let mut waiting = Waiting { run: Some(run), keeps: self.keeps };
        let Some(run) = &mut waiting.run else { unreachable!("a run waits until it is taken below") };
        let result = run.go_to_end().await;
        let Some(run) = waiting.run.take() else { unreachable!("nobody else takes it") };
        self.end(run, result)
    }

    /// Takes the exchange back. A mistake of ours in that ends this request, by a panic, and does not make it wait for ever.
    fn end(&self, run: Run<'_>, result: Result<Verdict, ScriptError>) -> (Box<Exchange>, Result<Verdict, StageError>) {
        if result.is_err() {
            run.request().undo();
            // What it has written is not sent; its filters see what is.
            run.request().draft.borrow_mut().clear();
        }
        // By itself the VM keeps nothing of a request that ended well.
        if !self.keeps && (run.keeps() || result.is_err()) {
            run.forget();
        }
        let Some(mut exchange) = run.request().take_back() else {
            unreachable!("the request has had the exchange since `lend`")
        };
        exchange.usage.guest = run.request().took.get();
        exchange.usage.memory = run.used_memory();
        if !self.keeps {
            run.end();
        }
        (exchange, result.map_err(|error| self.error(error)))
    }
}

/// A run that waits. If the request is cut off, this is dropped, and what the run waits for and has left in its VM goes with it;
/// what it was lent goes home.
struct Waiting<'a> {
    /// None: it has ended.
    run: Option<Run<'a>>,
    /// Later hooks go on with the request.
    keeps: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(run) = &self.run else { return };
        run.abandon();
        run.request().undo();
        drop(run.request().take_back());
        if !self.keeps {
            run.forget();
        }
    }
}
