//! One request from its head to the last byte of its response.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use tracing::warn;
use witgate_inference::protocol::{ModelServer, ServerRequest, ServerResponse};
use witgate_stage::{BodyDesk, BodyMode, Ended, Exchange, Hook, Outcome, Progress, RequestHead, ResponseHead};

use crate::envelope::{Code, Problem};
use crate::gateway::Gateway;
use crate::http1::field::Names;
use crate::http1::response::is_bodiless;
use crate::http1::write::Framing;
use crate::proxy::alarm::Alarm;
use crate::proxy::context::RequestCtx;
use crate::proxy::downstream::{Downstream, Length};
use crate::proxy::failure::Failure;
use crate::proxy::filter::Filter;
use crate::proxy::origin::{Incoming, Origin};
use crate::proxy::relay::{PassOn, RequestFlow, Times};
use crate::proxy::request::Admitted;
use crate::proxy::upstream::{ResponseParts, TUNNEL_IDLE_TIMEOUT, Upstream, UpstreamError};
use crate::proxy::{answer, filter, forward, hop, relay, request, tunnel};
use crate::request_id;
use crate::snapshot::{self, Endpoint, Target};

/// Serves a request; afterwards the connection tells whether it can be used again.
pub async fn serve(
    downstream: &mut Downstream<'_>,
    incoming: Incoming,
    origin: &Origin,
    alarm: &mut Alarm,
    gateway: &Gateway,
) {
    let snapshot = gateway.snapshot();
    let mut ctx = RequestCtx::new(gateway, &snapshot, &incoming, origin);
    let mut serving = Serving { downstream: &mut *downstream, origin, alarm: &mut *alarm, ctx: &mut ctx };
    if let Err(failure) = serving.run(incoming).await {
        Box::pin(answer::to_failure(downstream, &mut ctx, alarm, failure)).await;
    }
    (ctx.facts.bytes_in, ctx.facts.bytes_out) = downstream.counts();
    if ctx.logged.is_some() {
        Box::pin(tell_stages(&mut ctx, origin)).await;
    }
}

/// Tells the stages that want to hear of it how the request ended.
async fn tell_stages(ctx: &mut RequestCtx<'_>, origin: &Origin) {
    let (Some(route), Some(request)) = (ctx.route, ctx.logged.take()) else { return };
    // Lost with a stage that was cut off.
    let lost = || Box::new(Exchange::new(request, Arc::clone(&ctx.id), Arc::clone(&route.name), origin.client.clone()));
    let mut exchange = ctx.exchange.take().unwrap_or_else(lost);
    exchange.heads_sent = true;
    exchange.ended = Some(Ended {
        status: ctx.facts.status,
        code: ctx.facts.code,
        stage: ctx.facts.stage.clone(),
        duration: ctx.started.elapsed(),
        bytes_in: ctx.facts.bytes_in,
        bytes_out: ctx.facts.bytes_out,
    });
    let (exchange, outcome) = route.pipeline.run(Hook::Log, exchange, &**route).await;
    ctx.exchange = Some(exchange);
    if let Outcome::Failed { error, .. } = outcome {
        warn!(request_id = &*ctx.id, route = &*route.name, "{error}: {}", error.source);
    }
}

struct Serving<'s, 'd, 'g> {
    downstream: &'s mut Downstream<'d>,
    origin: &'s Origin,
    alarm: &'s mut Alarm,
    ctx: &'s mut RequestCtx<'g>,
}

impl Serving<'_, '_, '_> {
    async fn run(&mut self, incoming: Incoming) -> Result<(), Failure> {
        let mut admitted = request::admit(self.ctx, incoming, self.origin)?;
        let mut flow = RequestFlow::new(admitted.route.body_limit, self.ctx.started);
        if admitted.route.pipeline.may_ask_for_body() && admitted.body != Length::Known(0) {
            self.stages_with_body(&mut admitted, &mut flow).await?;
        } else {
            self.stages(Hook::RequestHeaders, &admitted).await?;
        }
        if admitted.route.pipeline.has(Hook::RequestBody) {
            Box::pin(self.stage_request_body(&mut admitted, &mut flow)).await?;
        }
        let chosen = self.ctx.exchange.as_ref().and_then(|exchange| exchange.upstream.clone());
        let group = match admitted.route.target(chosen.as_deref()) {
            Target::Upstream(group) => group,
            Target::Models(server) => return Box::pin(self.answer_by_models(&admitted, server, &mut flow)).await,
            // It has answered, unless its stage was skipped.
            Target::Script => return Err(Problem::new(Code::NotFound, "Nothing answers here.").into()),
        };
        let (mut upstream, endpoint, head) = self.ask(&admitted, group, &mut flow).await?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Box::pin(self.switch(&admitted, upstream, head)).await;
        }
        let body = self.respond(&admitted, &mut upstream, &mut flow, head).await?;
        let times = self.times();
        match body {
            ResponseBody::Held(body) => {
                if !body.is_empty() {
                    self.downstream.push(&body);
                }
                self.downstream.end(None);
                relay::flush(self.downstream, self.alarm, times.pause).await?;
            }
            ResponseBody::Flows(filter) => {
                let pass_on = PassOn { home: &mut self.ctx.exchange, filter, times, trailers: admitted.trailers };
                relay::stream(self.downstream, &mut upstream, &mut flow, self.alarm, pass_on).await?;
            }
        }
        upstream.release(&endpoint).await;
        Ok(())
    }

    /// Has the gateway's own model server answer, and the stages see what it says like any response.
    async fn answer_by_models(
        &mut self,
        admitted: &Admitted<'_>,
        server: &ModelServer,
        flow: &mut RequestFlow,
    ) -> Result<(), Failure> {
        let times = self.times();
        let body = match flow.take_held() {
            Some(body) => body,
            None => {
                // The flow stops at the route's limit; without one, what can be held back is the limit.
                let limit = admitted
                    .route
                    .body_limit
                    .map_or(admitted.route.buffer_limit, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
                filter::hold_request(self.downstream, flow, self.alarm, (times, limit)).await?
            }
        };
        let Some(exchange) = &self.ctx.exchange else { return Err(Failure::Late) };
        let RequestHead { method, path, headers } = &exchange.request;
        let is_head = method == Method::HEAD;
        let request = ServerRequest { method, path: path.path(), headers, body, deadline: self.ctx.deadline };
        let answer = relay::bounded(self.downstream, self.alarm, self.ctx.deadline, server.answer(request)).await?;
        let ServerResponse { status, headers, body, trailers } = answer;
        let Some(exchange) = &mut self.ctx.exchange else { return Err(Failure::Late) };
        exchange.heads_sent = false;
        exchange.end_of_stream = body.is_empty();
        let pipeline = &admitted.route.pipeline;
        let stays = !pipeline.has(Hook::ResponseHeaders) && !pipeline.has(Hook::ResponseBody);
        exchange.answered(ResponseHead { status, headers }, stays);
        self.stages(Hook::ResponseHeaders, admitted).await?;
        let body = if pipeline.has(Hook::ResponseBody) && !body.is_empty() {
            self.stage_whole(Hook::ResponseBody, admitted, body).await?
        } else {
            body
        };
        let Some(response) = self.ctx.exchange.as_mut().and_then(|exchange| exchange.response.as_mut()) else {
            return Err(Failure::Late);
        };
        response.headers.insert(request_id::FIELD, self.ctx.id_field.clone());
        let length = match &trailers {
            Some(_) => Length::Unknown,
            None => {
                response.headers.insert(CONTENT_LENGTH, length_of(&body).into());
                if is_head { Length::Described } else { Length::Known(length_of(&body)) }
            }
        };
        let reason = response.status.canonical_reason().unwrap_or_default().as_bytes();
        self.downstream.respond(response.status, reason, (&response.headers, &Names::default()), length)?;
        self.ctx.facts.status = Some(response.status);
        if matches!(length, Length::Unknown | Length::Known(1..)) {
            self.downstream.push(&body);
            self.downstream.end(trailers);
        }
        relay::flush(self.downstream, self.alarm, times.pause).await
    }

    /// Runs the stages on the request's head, and reads its body if one of them asks for it meanwhile.
    async fn stages_with_body(&mut self, admitted: &mut Admitted<'_>, flow: &mut RequestFlow) -> Result<(), Failure> {
        let desk = Arc::new(BodyDesk::default());
        if let Some(exchange) = &mut self.ctx.exchange {
            exchange.desk = Some(Arc::clone(&desk));
        }
        let times = self.times();
        let route = admitted.route;
        let Some(run) = request::begin_stages(Hook::RequestHeaders, route, self.ctx) else { return Ok(()) };
        let ended = match run {
            Progress::Ended(exchange, outcome) => Ok((exchange, outcome)),
            Progress::Waits(run) => {
                let limit = admitted.route.buffer_limit;
                filter::serve_desk(self.downstream, flow, self.alarm, (times, limit), (&desk, run)).await
            }
        };
        let (mut exchange, outcome) = ended?;
        exchange.desk = None;
        self.ctx.exchange = Some(exchange);
        if let Some(body) = desk.body() {
            admitted.body = Length::Known(length_of(&body));
            flow.hold(body);
        }
        if matches!(outcome, Outcome::Continue) { Ok(()) } else { Err(Failure::Stopped(Box::new(outcome))) }
    }

    /// Gives the request's body to the stages that want it: whole and now, or piece by piece when it is sent.
    async fn stage_request_body(&mut self, admitted: &mut Admitted<'_>, flow: &mut RequestFlow) -> Result<(), Failure> {
        let is_whole = match admitted.route.pipeline.body_mode(Hook::RequestBody) {
            // A request to leave HTTP may have a body as well, and whoever checks bodies has to see it.
            _ if admitted.body == Length::Known(0) => return Ok(()),
            BodyMode::None => return Ok(()),
            // Models want it whole, too.
            BodyMode::Chunks => matches!(admitted.route.target, Target::Models(_)),
            BodyMode::Buffered => true,
        };
        let is_whole = is_whole || flow.is_held();
        if !is_whole {
            // Nobody knows how long it will be.
            admitted.body = Length::Unknown;
            if let Some(filter) = Filter::new(admitted.route, Hook::RequestBody) {
                flow.filter(filter);
            }
            return Ok(());
        }
        let limits = (self.times(), admitted.route.buffer_limit);
        let body = match flow.take_held() {
            Some(body) => body,
            None => filter::hold_request(self.downstream, flow, self.alarm, limits).await?,
        };
        let body = self.stage_whole(Hook::RequestBody, admitted, body).await?;
        admitted.body = Length::Known(length_of(&body));
        flow.hold(body);
        Ok(())
    }

    /// Runs a body hook on a whole body; gives what the stages made of it.
    async fn stage_whole(&mut self, hook: Hook, admitted: &Admitted<'_>, body: Bytes) -> Result<Bytes, Failure> {
        if let Some(exchange) = &mut self.ctx.exchange {
            (exchange.body, exchange.end_of_stream) = (body, true);
        }
        self.stages(hook, admitted).await?;
        Ok(self.ctx.exchange.as_mut().map(|exchange| std::mem::take(&mut exchange.body)).unwrap_or_default())
    }

    async fn stages(&mut self, hook: Hook, admitted: &Admitted<'_>) -> Result<(), Failure> {
        request::run_stages(hook, admitted.route, self.ctx, self.downstream, self.alarm).await
    }

    fn times(&self) -> Times {
        Times { deadline: self.ctx.deadline, pause: self.ctx.snapshot.config.downstream.body_timeout }
    }

    /// Sends the request to an endpoint, the next one if the first cannot be reached, and waits for the response.
    async fn ask(
        &mut self,
        admitted: &Admitted<'_>,
        group: &snapshot::Upstream,
        flow: &mut RequestFlow,
    ) -> Result<(Upstream, Arc<Endpoint>, ResponseParts), Failure> {
        let chosen = self.ctx.exchange.as_ref().and_then(|exchange| exchange.endpoint);
        let chosen = chosen.map(|address| group.find(address).ok_or(address)).transpose().map_err(|address| {
            warn!(request_id = &*self.ctx.id, %address, "a stage chose an endpoint that the upstream does not have");
            Problem::new(Code::UpstreamUnavailable, "The request cannot be sent where it should go.")
        })?;
        let mut endpoint = Arc::clone(chosen.unwrap_or_else(|| group.next()));
        if let Some(exchange) = &mut self.ctx.exchange {
            let headers = &mut exchange.request.headers;
            forward::prepare(
                headers,
                admitted.authority.as_ref(),
                &self.ctx.id_field,
                self.ctx.facts.version,
                self.origin,
                &endpoint,
            );
        }
        let mut tries = 1;
        let mut fresh = false;
        loop {
            self.ctx.facts.endpoint = Some(endpoint.address);
            let reused = if fresh { None } else { Upstream::reuse(&endpoint, self.ctx.started) };
            let upstream = match reused {
                Some(upstream) => Ok(upstream),
                None => {
                    // In a box of its own, like all that is rare here: every connection has room for the largest future.
                    let connect = Box::pin(Upstream::connect(&endpoint));
                    relay::bounded(self.downstream, self.alarm, self.ctx.deadline, connect).await?
                }
            };
            let mut upstream = match upstream {
                Ok(upstream) => upstream,
                // Nothing of the request has been sent, so it does not matter what it asks for.
                Err(UpstreamError::Unreachable(_) | UpstreamError::ConnectTimeout)
                    if tries < group.endpoints() && chosen.is_none() =>
                {
                    tries += 1;
                    endpoint = Arc::clone(group.next());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match self.ask_on(&mut upstream, admitted, flow).await {
                Ok(head) => return Ok((upstream, endpoint, head)),
                // The endpoint closed an idle connection while the request was on its way (RFC 9112, section 9.3.1): as
                // if it had never been sent, if it can be sent again as it was.
                Err(Failure::Upstream(UpstreamError::Closed(_)))
                    if upstream.may_be_stale()
                        && flow.is_untouched(self.downstream)
                        && is_idempotent(&self.ctx.facts.method) =>
                {
                    fresh = true;
                    flow.restart();
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn ask_on(
        &mut self,
        upstream: &mut Upstream,
        admitted: &Admitted<'_>,
        flow: &mut RequestFlow,
    ) -> Result<ResponseParts, Failure> {
        let times = self.times();
        let Some(exchange) = &mut self.ctx.exchange else { return Err(Failure::Late) };
        let head = &mut exchange.request;
        if admitted.body == Length::Unknown {
            head.headers.remove(CONTENT_LENGTH);
        }
        let framing = match admitted.body {
            Length::Known(0) if !head.headers.contains_key(CONTENT_LENGTH) => Framing::None,
            Length::Known(length) => Framing::Length(length),
            _ => Framing::Chunked,
        };
        upstream.send(&head.method, &head.path, (&head.headers, &admitted.names), framing, admitted.upgrade)?;
        let method = head.method.clone();
        let with = (&method, &mut self.ctx.exchange, times);
        relay::await_head(self.downstream, upstream, flow, self.alarm, with).await
    }

    /// Runs the stages on the response's head, and on its body if they want it whole, and writes the head.
    async fn respond(
        &mut self,
        admitted: &Admitted<'_>,
        upstream: &mut Upstream,
        flow: &mut RequestFlow,
        head: ResponseParts,
    ) -> Result<ResponseBody, Failure> {
        let ResponseParts { status, reason, mut headers, names } = head;
        hop::strip(&mut headers, false);
        let left = upstream.body_left(status);
        let pipeline = &admitted.route.pipeline;
        if pipeline.has(Hook::ResponseHeaders) || pipeline.has(Hook::ResponseBody) {
            self.settle(upstream, flow).await?;
        }
        let Some(exchange) = &mut self.ctx.exchange else { return Err(Failure::Late) };
        // Pieces of the request's body came after its head; this one has not been sent.
        exchange.heads_sent = false;
        exchange.end_of_stream = left == Some(0);
        let stays = !pipeline.has(Hook::ResponseHeaders) && !pipeline.has(Hook::ResponseBody);
        exchange.answered(ResponseHead { status, headers }, stays);
        self.stages(Hook::ResponseHeaders, admitted).await?;
        let (left, body) = match pipeline.body_mode(Hook::ResponseBody) {
            BodyMode::None => (left, ResponseBody::Flows(None)),
            _ if left == Some(0) => (left, ResponseBody::Flows(None)),
            BodyMode::Chunks => (None, ResponseBody::Flows(Filter::new(admitted.route, Hook::ResponseBody))),
            BodyMode::Buffered => {
                let body = Box::pin(self.stage_response_body(admitted, upstream, flow)).await?;
                (Some(length_of(&body)), ResponseBody::Held(body))
            }
        };
        let is_head = self.ctx.facts.method == Method::HEAD;
        let Some(exchange) = &mut self.ctx.exchange else { return Err(Failure::Late) };
        let Some(response) = &mut exchange.response else { return Err(Failure::Late) };
        response.headers.insert(request_id::FIELD, self.ctx.id_field.clone());
        if pipeline.has(Hook::ResponseBody) {
            // What the upstream said no longer holds.
            response.headers.remove(CONTENT_LENGTH);
            if let (Some(length), false) = (left, is_head) {
                response.headers.insert(CONTENT_LENGTH, length.into());
            }
        }
        let length = match left {
            _ if is_head || response.status == StatusCode::NOT_MODIFIED => Length::Described,
            _ if is_bodiless(response.status) => Length::None,
            Some(length) => Length::Known(length),
            None => Length::Unknown,
        };
        let reason = reason_of(response.status, status, &reason);
        self.downstream.respond(response.status, reason, (&response.headers, &names), length)?;
        self.ctx.facts.status = Some(response.status);
        Ok(body)
    }

    /// Waits until no stage has the exchange, for a piece of the request's body.
    async fn settle(&mut self, upstream: &mut Upstream, flow: &mut RequestFlow) -> Result<(), Failure> {
        let times = self.times();
        relay::settle(self.downstream, upstream, flow, self.alarm, (&mut self.ctx.exchange, times)).await
    }

    async fn stage_response_body(
        &mut self,
        admitted: &Admitted<'_>,
        upstream: &mut Upstream,
        flow: &mut RequestFlow,
    ) -> Result<Bytes, Failure> {
        let times = self.times();
        let with = (&mut self.ctx.exchange, times, admitted.route.buffer_limit);
        let body = filter::hold_response(self.downstream, upstream, flow, self.alarm, with).await?;
        self.settle(upstream, flow).await?;
        self.stage_whole(Hook::ResponseBody, admitted, body).await
    }

    /// Leaves HTTP, as the client has asked for and the endpoint has agreed to.
    async fn switch(
        &mut self,
        admitted: &Admitted<'_>,
        upstream: Upstream,
        head: ResponseParts,
    ) -> Result<(), Failure> {
        let (Downstream::Http1(client), Upstream::Http1 { mut connection, .. }, true) =
            (&mut *self.downstream, upstream, admitted.upgrade)
        else {
            return Err(UpstreamError::Invalid("it switches protocols, which nobody asked for".to_owned()).into());
        };
        let ResponseParts { reason, mut headers, names, .. } = head;
        hop::strip(&mut headers, true);
        if let Some(exchange) = &self.ctx.exchange {
            exchange.response_edits.apply_to(&mut headers);
        }
        headers.insert(request_id::FIELD, self.ctx.id_field.clone());
        client.switch(&reason, (&headers, &names));
        self.ctx.facts.status = Some(StatusCode::SWITCHING_PROTOCOLS);
        (client.received, client.sent) =
            tunnel::carry(&mut client.wire, &mut connection.wire, self.alarm, TUNNEL_IDLE_TIMEOUT).await;
        Ok(())
    }
}

/// Where a response's body comes from.
enum ResponseBody {
    /// The stages have had it whole.
    Held(Bytes),
    /// From the endpoint, perhaps piece by piece through stages.
    Flows(Option<Filter>),
}

fn length_of(body: &Bytes) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

/// The words behind a status: the upstream's own, unless a stage has changed what they were for.
fn reason_of(status: StatusCode, original: StatusCode, reason: &[u8]) -> &[u8] {
    if status == original { reason } else { status.canonical_reason().unwrap_or_default().as_bytes() }
}

/// RFC 9110, section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}
