//! One hook of one request: its phases in their order, and the verdict that they come to.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use mlua::prelude::*;
use witgate_stage::{Edits, ErrorCode, Hook, Refusal, Response, ResponseHead, Verdict};

use crate::Phase;
use crate::error::ScriptError;
use crate::phase::Moment;
use crate::request::{Answered, Request, Results};
use crate::script::Script;
use crate::vm::{Standing, Vm};

/// What `ngx.exit` takes besides statuses.
const OK: i64 = 0;
const DECLINED: i64 = -5;

/// From here on `ngx.exit` means a page of the gateway's, and before that a status without one of the script's own making.
const REDIRECTS: i64 = 300;
const FAILURES: i64 = 400;
/// How often a header filter may exit with yet another status: nginx would go on for ever.
const FILTER_EXITS_LIMIT: usize = 8;

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
                    variables.insert(name.clone(), Some(value.clone().into_bytes()));
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
        match self.hook {
            Hook::ResponseHeaders => Step::Ended(self.filter_head()),
            Hook::ResponseBody => Step::Ended(self.filter_piece()),
            Hook::RequestHeaders | Hook::RequestBody | Hook::Log => self.phases(),
        }
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
            return Ok(Verdict::Continue(Edits::default()));
        }
        let mut draft = std::mem::take(&mut *self.request.draft.borrow_mut());
        if status < OK {
            return Err(ScriptError::Runtime("the script ended the request with ngx.ERROR".to_owned()));
        }
        // It is on the answer itself.
        self.request.withdraw();
        let is_silent = !draft.begun && draft.body.is_empty();
        let code = match status {
            OK => draft.status.unwrap_or(200),
            _ if draft.begun => draft.status.unwrap_or(200),
            // The gateway's page is for the status that was asked for last.
            FAILURES.. => return self.page(status, draft.headers),
            REDIRECTS.. => u16::try_from(status).unwrap_or(500),
            status => draft.status.unwrap_or(u16::try_from(status).unwrap_or(500)),
        };
        let status = final_status(code.into())?;
        draft.headers.remove(CONTENT_LENGTH);
        let is_bodiless = matches!(code, 204 | 304);
        if !is_bodiless && !draft.untyped && !draft.headers.contains_key(CONTENT_TYPE) {
            draft.headers.insert(CONTENT_TYPE, DEFAULT_TYPE);
        }
        if is_silent && i64::from(code) >= REDIRECTS {
            self.request.answered.set(Answered::Page(code));
        }
        let body = if is_bodiless { Bytes::new() } else { Bytes::from(draft.body) };
        Ok(Verdict::Respond(Box::new(Response { status, headers: draft.headers, body })))
    }

    /// Answers with the gateway's page for a status, and these fields.
    fn page(&self, status: i64, mut headers: HeaderMap) -> Result<Verdict, ScriptError> {
        let status = final_status(status)?;
        self.request.answered.set(Answered::Page(status.as_u16()));
        // Of the page, whatever the script has said of its own response.
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_LENGTH);
        page(status, headers)
    }

    /// Runs the header filter. What it exits with takes the response's place, and the filter sees that, too, until it exits
    /// with what is there already: as in nginx.
    fn filter_head(&self) -> Result<Verdict, ScriptError> {
        if self.request.answered.get() == Answered::Elsewhere {
            return Ok(Verdict::Continue(Edits::default()));
        }
        let mut replaced = Replaced { request: &self.request, original: None };
        let mut page = if let Answered::Page(code) = self.request.answered.get() { Some(code) } else { None };
        for _ in 0..FILTER_EXITS_LIMIT {
            match self.run_head_filter()? {
                None | Some(OK | DECLINED) => return self.filtered(replaced, page),
                Some(status) if page.map(i64::from) == Some(status) => return self.filtered(replaced, page),
                Some(status) if status < OK => {
                    return Err(ScriptError::Runtime("the header filter ended the request with ngx.ERROR".to_owned()));
                }
                Some(status) => {
                    let status = final_status(status)?;
                    replaced.by(status)?;
                    page = Some(status.as_u16());
                }
            }
        }
        Err(ScriptError::Output("the header filter exits with one status after another".to_owned()))
    }

    /// Runs the header filter once; gives what it exits with.
    fn run_head_filter(&self) -> Result<Option<i64>, ScriptError> {
        self.request.exit.set(None);
        match self.vm.start(&self.request, (self.script, self.keeps), Phase::HeaderFilter)? {
            Standing::Ended => Ok(self.request.exit.take()),
            Standing::Exited(status) => Ok(Some(status)),
            Standing::Waits => {
                self.abandon();
                Err(ScriptError::Runtime("a header filter cannot wait".to_owned()))
            }
        }
    }

    /// What a header filter that has ended leaves: the response, or an answer in its place.
    fn filtered(&self, replaced: Replaced<'_>, page: Option<u16>) -> Result<Verdict, ScriptError> {
        let Some(ResponseHead { status, headers }) = replaced.take() else {
            return Ok(Verdict::Continue(Edits::default()));
        };
        match page.and_then(|code| StatusCode::from_u16(code).ok()) {
            Some(asked) if asked == status => self::page(status, headers),
            // The filter has given the page another status.
            Some(asked) if i64::from(asked.as_u16()) >= REDIRECTS => {
                let mut response = plain(asked, headers);
                response.status = status;
                Ok(Verdict::Respond(Box::new(response)))
            }
            _ => Ok(Verdict::Respond(Box::new(Response { status, headers, body: Bytes::new() }))),
        }
    }

    fn filter_piece(&self) -> Result<Verdict, ScriptError> {
        let none = || ScriptError::Output("no body".to_owned());
        match self.request.answered.get() {
            Answered::Cut => return Ok(Verdict::Replace(Edits::default(), Bytes::new())),
            Answered::Elsewhere => return Ok(Verdict::Continue(Edits::default())),
            Answered::Plainly | Answered::Page(_) => {}
        }
        let (piece, last) =
            self.request.exchange(|exchange| (exchange.body.clone(), exchange.end_of_stream)).map_err(|_| none())?;
        let (body, ended) = self.filter(&piece, last)?;
        if ended && !last {
            self.request.answered.set(Answered::Cut);
        }
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

/// A response's head in whose place a header filter has put another one. Dropped, it is put back: the filter has failed.
struct Replaced<'a> {
    request: &'a Request,
    original: Option<ResponseHead>,
}

impl Replaced<'_> {
    /// Puts a head without fields in its place, as nginx does.
    fn by(&mut self, status: StatusCode) -> Result<(), ScriptError> {
        // What the filter has changed of it was for the response that does not come.
        self.request.undo();
        let head = ResponseHead { status, headers: HeaderMap::new() };
        let former = self.request.swap_response(Some(head)).map_err(|error| ScriptError::Output(error.to_string()))?;
        if self.original.is_none() {
            self.original = former;
        }
        Ok(())
    }

    /// The head that was put there, if one was; the original is back then.
    fn take(mut self) -> Option<ResponseHead> {
        let original = self.original.take()?;
        self.request.settle();
        self.request.swap_response(Some(original)).ok().flatten()
    }
}

impl Drop for Replaced<'_> {
    fn drop(&mut self) {
        if let Some(original) = self.original.take() {
            self.request.settle();
            let _ = self.request.swap_response(Some(original));
        }
    }
}

fn final_status(status: i64) -> Result<StatusCode, ScriptError> {
    let status_code = u16::try_from(status).ok().filter(|code| (200..=599).contains(code));
    status_code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| ScriptError::Output(format!("a response cannot have status {status}")))
}

/// What nginx would have a page of its own for is the gateway's envelope.
fn page(status: StatusCode, headers: HeaderMap) -> Result<Verdict, ScriptError> {
    let known = match status.as_u16() {
        400 => Some(ErrorCode::InvalidRequest),
        401 => Some(ErrorCode::Unauthenticated),
        403 => Some(ErrorCode::Forbidden),
        404 => Some(ErrorCode::NotFound),
        413 => Some(ErrorCode::PayloadTooLarge),
        429 => Some(ErrorCode::RateLimitExceeded),
        503 => Some(ErrorCode::Overloaded),
        _ => None,
    };
    let Some(known) = known else { return Ok(Verdict::Respond(Box::new(plain(status, headers)))) };
    let message = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let mut refusal =
        Refusal::new(known, message.trim_end()).map_err(|error| ScriptError::Output(error.to_string()))?;
    refusal.headers = headers;
    Ok(Verdict::Refuse(Box::new(refusal)))
}

/// A status with nothing to say but its name, if that is something.
fn plain(status: StatusCode, mut headers: HeaderMap) -> Response {
    let Some(reason) = status.canonical_reason().filter(|_| i64::from(status.as_u16()) >= REDIRECTS) else {
        return Response { status, headers, body: Bytes::new() };
    };
    if status == StatusCode::NOT_MODIFIED {
        return Response { status, headers, body: Bytes::new() };
    }
    headers.entry(CONTENT_TYPE).or_insert(DEFAULT_TYPE);
    Response { status, headers, body: Bytes::from(format!("{} {reason}\n", status.as_u16())) }
}
