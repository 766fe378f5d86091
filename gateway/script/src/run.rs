//! One hook of one request: its phases in their order, and the verdict that they come to.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use mlua::prelude::*;
use witgate_stage::{Edits, ErrorCode, Hook, Refusal, Response, Verdict};

use crate::Phase;
use crate::error::ScriptError;
use crate::phase::Moment;
use crate::request::{Request, Results};
use crate::script::Script;
use crate::vm::{Standing, Vm};

/// What `ngx.exit` takes besides statuses.
const OK: i64 = 0;
const DECLINED: i64 = -5;

/// What a response of a script has that says nothing of it (nginx's `default_type`).
const DEFAULT_TYPE: HeaderValue = HeaderValue::from_static("text/plain");

/// A hook that runs.
pub(crate) struct Run<'a> {
    vm: Rc<Vm>,
    request: Rc<Request>,
    script: &'a Arc<Script>,
    hook: Hook,
    /// Later hooks go on with the request.
    keeps: bool,
    /// Phases that are left.
    left: &'static [Phase],
}

/// How far it got.
pub(crate) enum Step {
    Waits,
    Ended(Result<Verdict, ScriptError>),
}

enum Next {
    Phase,
    Answer(i64),
}

impl<'a> Run<'a> {
    pub fn new(vm: Rc<Vm>, request: Rc<Request>, (script, keeps): (&'a Arc<Script>, bool), hook: Hook) -> Self {
        request.memory_left.set(script.app.app.spec.limits.request_memory);
        request.belongs_to(&script.spec.name);
        if !script.spec.variables.is_empty() {
            let mut variables = request.variables.borrow_mut();
            for (name, value) in &script.spec.variables {
                // One that an earlier script of the request has set stays.
                if !variables.contains_key(name) {
                    variables.insert(name.clone(), value.clone().into_bytes());
                }
            }
        }
        // Phases of one hook share what they leave even if no later hook wants it.
        let phases = Phase::of(hook);
        let keeps = keeps || phases.iter().filter(|phase| script.has(**phase)).count() > 1;
        Self { vm, request, script, hook, keeps, left: phases }
    }

    /// Whether the VM keeps the request until [`Self::forget`].
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    pub fn request(&self) -> &Rc<Request> {
        &self.request
    }

    /// Runs phases until one waits or all have run.
    pub fn begin(&mut self) -> Step {
        if self.hook == Hook::ResponseBody {
            return Step::Ended(self.filter_piece());
        }
        self.phases()
    }

    /// Goes on after an operation.
    pub fn go_on(&mut self, event: (u64, Results)) -> Step {
        let standing = self.vm.event(&self.request, event);
        match self.judge(standing) {
            None => Step::Waits,
            Some(Ok(Next::Phase)) if self.has_written() => Step::Ended(self.answer(OK)),
            Some(Ok(Next::Phase)) => self.phases(),
            Some(Ok(Next::Answer(status))) => Step::Ended(self.answer(status)),
            Some(Err(error)) => Step::Ended(Err(error)),
        }
    }

    /// Goes on until the hook ends, within the time that it has.
    pub async fn go_to_end(&mut self) -> Result<Verdict, ScriptError> {
        let limit = self.script.app.app.spec.limits.wall;
        let deadlines = Rc::clone(&self.vm.core().deadlines);
        let ended = deadlines.within(limit, async {
            while let Some(event) = poll_fn(|context| self.request.poll_operation(context)).await {
                if let Step::Ended(result) = self.go_on(event) {
                    return Some(result);
                }
            }
            None
        });
        let failure = match ended.await {
            Some(Some(result)) => return result,
            Some(None) => ScriptError::Runtime("it waits for what can never happen".to_owned()),
            None => ScriptError::WallTime { limit_ms: limit.as_millis() },
        };
        self.abandon();
        Err(failure)
    }

    /// Lets the VM serve another request with this one's memory.
    pub fn end(self) {
        self.vm.take_back(self.request);
    }

    pub fn used_memory(&self) -> usize {
        self.vm.used_memory()
    }

    /// Forgets the request: no later hook goes on with it.
    pub fn forget(&self) {
        self.vm.forget(&self.request);
    }

    /// Gives up.
    pub fn abandon(&self) {
        self.vm.abandon(&self.request);
    }

    fn phases(&mut self) -> Step {
        while let Some((phase, left)) = self.left.split_first() {
            self.left = left;
            if !self.script.has(*phase) {
                continue;
            }
            let standing = self.vm.start(&self.request, (self.script, self.keeps), *phase);
            match self.judge(standing) {
                None => return Step::Waits,
                Some(Ok(Next::Phase)) if *phase == Phase::Content => return Step::Ended(self.answer(OK)),
                // What an earlier phase has written is the response: no later one adds to it.
                Some(Ok(Next::Phase)) if self.has_written() => return Step::Ended(self.answer(OK)),
                Some(Ok(Next::Phase)) => {}
                Some(Ok(Next::Answer(status))) => return Step::Ended(self.answer(status)),
                Some(Err(error)) => return Step::Ended(Err(error)),
            }
        }
        Step::Ended(self.pass())
    }

    /// What a phase's standing means; none: it waits.
    fn judge(&self, standing: Result<Standing, ScriptError>) -> Option<Result<Next, ScriptError>> {
        let is_content = self.request.moment.get() == Moment::Phase(Phase::Content);
        Some(match standing {
            Ok(Standing::Waits) => return None,
            Ok(Standing::Ended) if is_content => Ok(Next::Answer(OK)),
            Ok(Standing::Ended) => Ok(Next::Phase),
            Ok(Standing::Exited(OK | DECLINED)) if !is_content => Ok(Next::Phase),
            Ok(Standing::Exited(status)) => Ok(Next::Answer(status)),
            Err(error) => Err(error),
        })
    }

    fn has_written(&self) -> bool {
        self.hook == Hook::RequestHeaders && self.request.draft.borrow().begun
    }

    /// The script lets the request or response pass, unless it has written something.
    fn pass(&self) -> Result<Verdict, ScriptError> {
        if self.has_written() {
            return self.answer(OK);
        }
        Ok(Verdict::Continue(Edits::default()))
    }

    /// The script ends the request with a status, or with what it has written.
    fn answer(&self, status: i64) -> Result<Verdict, ScriptError> {
        if self.hook != Hook::RequestHeaders {
            return self.answer_late(status);
        }
        let mut draft = std::mem::take(&mut *self.request.draft.borrow_mut());
        if status < OK {
            return Err(ScriptError::Runtime("the script ended the request with ngx.ERROR".to_owned()));
        }
        let is_silent = !draft.begun && draft.body.is_empty();
        let code = match status {
            OK => draft.status.unwrap_or(200),
            _ if draft.begun => draft.status.unwrap_or(200),
            status => u16::try_from(status).unwrap_or(500),
        };
        if is_silent
            && code >= 400
            && draft.status.is_none_or(|own| own == code)
            && !draft.headers.contains_key(CONTENT_TYPE)
        {
            return refuse(code, draft.headers);
        }
        let status = StatusCode::from_u16(code)
            .ok()
            .filter(|status| (200..=599).contains(&status.as_u16()))
            .ok_or_else(|| ScriptError::Output(format!("a response cannot have status {code}")))?;
        draft.headers.remove(CONTENT_LENGTH);
        let bodiless = matches!(code, 204 | 304);
        if !bodiless && !draft.headers.contains_key(CONTENT_TYPE) {
            draft.headers.insert(CONTENT_TYPE, DEFAULT_TYPE);
        }
        let body = if bodiless { Bytes::new() } else { Bytes::from(draft.body) };
        let response = self.filtered(Response { status, headers: draft.headers, body })?;
        Ok(Verdict::Respond(Box::new(response)))
    }

    /// Runs the script's own filters over its own response, as nginx does.
    fn filtered(&self, response: Response) -> Result<Response, ScriptError> {
        if !self.script.has(Phase::HeaderFilter) && !self.script.has(Phase::BodyFilter) {
            return Ok(response);
        }
        let Response { status, headers, body } = response;
        let head = witgate_stage::ResponseHead { status, headers };
        let _ = self.request.swap_response(Some(head));
        if self.script.has(Phase::HeaderFilter) {
            self.vm.start(&self.request, (self.script, self.keeps), Phase::HeaderFilter)?;
        }
        let body = if self.script.has(Phase::BodyFilter) { self.filter(&body, true)?.0 } else { body };
        let head = self.request.swap_response(None).ok().flatten();
        let witgate_stage::ResponseHead { status, headers } =
            head.ok_or_else(|| ScriptError::Output("no head".into()))?;
        Ok(Response { status, headers, body })
    }

    /// After the upstream has answered, a script can end with another status only before the head is sent.
    fn answer_late(&self, status: i64) -> Result<Verdict, ScriptError> {
        match u16::try_from(status).ok().filter(|status| *status >= 300) {
            Some(code) if self.hook == Hook::ResponseHeaders => {
                let status = StatusCode::from_u16(code)
                    .map_err(|_| ScriptError::Output(format!("a response cannot have status {code}")))?;
                Ok(Verdict::Respond(Box::new(plain(status))))
            }
            _ => Ok(Verdict::Continue(Edits::default())),
        }
    }

    fn filter_piece(&self) -> Result<Verdict, ScriptError> {
        let none = || ScriptError::Output("no body".to_owned());
        let (piece, last) =
            self.request.exchange(|exchange| (exchange.body.clone(), exchange.end_of_stream)).map_err(|_| none())?;
        let (body, _) = self.filter(&piece, last)?;
        Ok(Verdict::Replace(Edits::default(), body))
    }

    fn filter(&self, piece: &Bytes, last: bool) -> Result<(Bytes, bool), ScriptError> {
        let (made, last) = self.vm.filter_body(&self.request, (self.script, self.keeps), piece, last)?;
        let mut bytes = Vec::new();
        match made {
            Some(LuaValue::String(text)) if *text.as_bytes() == **piece => return Ok((piece.clone(), last)),
            Some(value) => flatten(&value, &mut bytes, 0)?,
            None => {}
        }
        if bytes.len() > self.script.app.app.spec.limits.response {
            return Err(ScriptError::Output("the body is larger than `response_limit`".to_owned()));
        }
        Ok((Bytes::from(bytes), last))
    }
}

/// Depth of tables in tables that are written as text.
const DEPTH_LIMIT: usize = 32;

/// What `ngx.print` writes of a value, and what a body filter leaves in `ngx.arg[1]`.
fn flatten(value: &LuaValue, into: &mut Vec<u8>, depth: usize) -> Result<(), ScriptError> {
    match value {
        LuaValue::Nil => {}
        LuaValue::String(text) => into.extend_from_slice(&text.as_bytes()),
        LuaValue::Table(table) if depth < DEPTH_LIMIT => {
            for piece in table.sequence_values::<LuaValue>() {
                let piece = piece.map_err(|error| ScriptError::Output(error.to_string()))?;
                flatten(&piece, into, depth + 1)?;
            }
        }
        LuaValue::Integer(_) | LuaValue::Number(_) | LuaValue::Boolean(_) => {
            let text = value.to_string().map_err(|error| ScriptError::Output(error.to_string()))?;
            into.extend_from_slice(text.as_bytes());
        }
        other => {
            return Err(ScriptError::Output(format!("expected a string as the body, got a {}", other.type_name())));
        }
    }
    Ok(())
}

/// What nginx would have a page of its own for is the gateway's envelope.
fn refuse(code: u16, headers: http::HeaderMap) -> Result<Verdict, ScriptError> {
    let status =
        StatusCode::from_u16(code).map_err(|_| ScriptError::Output(format!("a response cannot have status {code}")))?;
    let known = match code {
        400 => Some(ErrorCode::InvalidRequest),
        401 => Some(ErrorCode::Unauthenticated),
        403 => Some(ErrorCode::Forbidden),
        404 => Some(ErrorCode::NotFound),
        413 => Some(ErrorCode::PayloadTooLarge),
        429 => Some(ErrorCode::RateLimitExceeded),
        503 => Some(ErrorCode::Overloaded),
        _ => None,
    };
    let Some(known) = known else {
        let mut response = plain(status);
        response.headers.extend(headers);
        return Ok(Verdict::Respond(Box::new(response)));
    };
    let message = format!("{code} {}", status.canonical_reason().unwrap_or_default());
    let mut refusal =
        Refusal::new(known, message.trim_end()).map_err(|error| ScriptError::Output(error.to_string()))?;
    refusal.headers = headers;
    Ok(Verdict::Refuse(Box::new(refusal)))
}

/// A status with nothing to say but its name.
fn plain(status: StatusCode) -> Response {
    let text = format!("{} {}\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let mut headers = http::HeaderMap::new();
    headers.insert(CONTENT_TYPE, DEFAULT_TYPE);
    Response { status, headers, body: Bytes::from(text) }
}
