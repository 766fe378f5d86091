//! One request from its head to the last byte of its response.

use std::pin::pin;
use std::time::Instant;

use http::StatusCode;
use tracing::{error, warn};
use witgate_inference::protocol::{ModelServer, ServerRequest};
use witgate_stage::{Ended, FAILURE_LINES, Hook, Outcome, RequestHead};

use crate::envelope::{Code, Problem};
use crate::gateway::Gateway;
use crate::proxy::context::RequestCtx;
use crate::proxy::failure::Failure;
use crate::proxy::origin::{Arrival, Incoming};
use crate::proxy::relay::RequestFlow;
use crate::proxy::reply::{self, Reply};
use crate::proxy::request::{self, Admitted};
use crate::proxy::session::{Connected, Session};
use crate::proxy::{attempt, filter, panic, stages, tunnel};
use crate::snapshot::{Snapshot, Target};

/// Serves a request by the generation that was current when its head had come; afterwards the connection tells whether it can be
/// used again. Gives the moment when the request ended.
pub async fn serve(
    connected: Connected<'_>,
    incoming: Box<Incoming>,
    gateway: &Gateway,
    snapshot: &Snapshot,
) -> Instant {
    let Incoming { head, arrival } = *incoming;
    let Connected { client, timer, closing, origin } = connected;
    // In place: it is large.
    let mut session =
        Session { client, timer, closing, origin, ctx: RequestCtx::new(gateway, snapshot, head, &arrival, origin) };
    let served = {
        let walk = pin!(walk(&mut session, arrival));
        panic::guard(walk).await
    };
    let served = served.unwrap_or_else(|panic| {
        gateway.metrics.panics.inc();
        error!(request_id = &*session.ctx.id, "{panic}");
        Err(Failure::Panicked(panic))
    });
    if let Err(failure) = served {
        Box::pin(reply::send_failure(&mut session, failure)).await;
    }
    let ended = session.ctx.end();
    (session.ctx.facts.bytes_in, session.ctx.facts.bytes_out) = session.client.counts();
    if session.ctx.route.is_some_and(|route| route.pipeline.has(Hook::Log)) {
        Box::pin(end(&mut session)).await;
    }
    ended
}

async fn walk(session: &mut Session<'_>, arrival: Arrival) -> Result<(), Failure> {
    let mut admitted = request::admit(&mut session.ctx, arrival)?;
    let mut flow = RequestFlow::new(admitted.route.body_limit, session.ctx.started);
    stages::on_request_head(session, &mut admitted, &mut flow).await?;
    if admitted.route.pipeline.has(Hook::RequestBody) {
        Box::pin(stages::on_request_body(session, &mut admitted, &mut flow)).await?;
    }
    let chosen = session.ctx.exchange.here()?.upstream.clone();
    match admitted.route.target(chosen.as_deref()) {
        Target::Upstream(group) => {
            let (exchanged, head) = attempt::ask(session, &admitted, group, flow).await?;
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Box::pin(tunnel::switch(session, exchanged, head, admitted.upgrade)).await;
            }
            let mut reply = Reply::of_endpoint(*head, exchanged);
            reply::send(session, &mut reply).await
        }
        Target::Models(server) => Box::pin(answer_by_models(session, &admitted, server, flow)).await,
        // It has answered, unless its stage was skipped.
        Target::Script => Err(Problem::new(Code::NotFound, "Nothing answers here.").into()),
    }
}

/// Has the gateway's own model server answer.
async fn answer_by_models(
    session: &mut Session<'_>,
    admitted: &Admitted<'_>,
    server: &ModelServer,
    mut flow: RequestFlow,
) -> Result<(), Failure> {
    let body = match flow.take_held() {
        Some(body) => body,
        None => filter::hold_request(session, &mut flow, stages::models_limit(admitted.route)).await?,
    };
    // Taken for as long as the models have it: nobody else looks at it meanwhile.
    let exchange = session.ctx.exchange.lend()?;
    let RequestHead { method, path, headers } = &exchange.request;
    let request = ServerRequest { method, path: path.path(), headers, body, deadline: session.ctx.deadline };
    let answer = session.bounded(server.answer(request)).await;
    session.ctx.exchange.put(exchange);
    let mut reply = Reply::of_models(answer?);
    reply::send(session, &mut reply).await
}

/// Tells the stages that want to hear of it how the request ended.
async fn end(session: &mut Session<'_>) {
    session.client.settle().await;
    let ctx = &mut session.ctx;
    stages::cut_off(ctx);
    let (Some(route), Ok(mut exchange)) = (ctx.route, ctx.exchange.lend()) else { return };
    exchange.heads_sent = true;
    exchange.ended = Some(Ended {
        status: ctx.facts.status,
        code: ctx.facts.code,
        stage: ctx.facts.stage.clone(),
        duration: ctx.duration(),
        bytes_in: ctx.facts.bytes_in,
        bytes_out: ctx.facts.bytes_out,
    });
    let run = route.pipeline.run(Hook::Log, exchange, &**route);
    let Ok((exchange, outcome)) = panic::guard(run).await else {
        ctx.exchange.recover();
        return;
    };
    ctx.exchange.put(exchange);
    if let Outcome::Failed { error, .. } = outcome
        && let Some(dropped) = FAILURE_LINES.admit(Instant::now())
    {
        let dropped = (dropped > 0).then_some(dropped);
        warn!(request_id = &*ctx.id, route = &*route.name, dropped, "{error}: {}", error.source);
    }
}
