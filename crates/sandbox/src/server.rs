//! Two loopback ports: every request passes the counters, the limits and the faults here.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::answer::{Answer, Body, Ending};
use crate::call::Call;
use crate::cleverreach;
use crate::clevertap::{self, CleverTap};
use crate::control;
use crate::fault::Action;
use crate::options::Switches;
use crate::sandbox::State;
use crate::stats::Vendor;

/// The largest request body that is read; far above what either vendor is known to take.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Hangup {
    #[error("a fault closes the connection")]
    Asked,
    #[error("the request's body is unreadable")]
    Unreadable,
}

/// Accepts connections until it is dropped or aborted; its connections end with it.
pub(crate) async fn serve(listener: TcpListener, vendor: Vendor, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, vendor, Arc::clone(&state)));
                }
                // Out of descriptors, most likely: the others have to end first.
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::task::yield_now().await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, vendor: Vendor, state: Arc<State>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the connection keeps its delay");
    }
    let service = service_fn(|request| answer(request, vendor, &state));
    // hyper's own `Date` would come from another clock.
    let conversation = http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = conversation.await {
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer(
    request: Request<Incoming>,
    vendor: Vendor,
    state: &State,
) -> Result<Response<Body>, Hangup> {
    let (parts, body) = request.into_parts();
    let call = Call::new(parts);
    let (answer, ending) = if call.segments.first().is_some_and(|first| first == "_sandbox") {
        (control::answer(state, &call, &read(body).await?), Ending::Whole)
    } else {
        vendor_answer(call, body, vendor, state).await?
    };
    let date = state.date_header.then(|| state.clock.date_header());
    Ok(answer.into_response(ending, date))
}

async fn read(body: Incoming) -> Result<Bytes, Hangup> {
    let collected = Limited::new(body, LARGEST_BODY).collect().await;
    Ok(collected.map_err(|_| Hangup::Unreadable)?.to_bytes())
}

/// Which endpoint of which vendor.
enum Target {
    Reach(cleverreach::Endpoint),
    Tap(clevertap::Endpoint),
}

async fn vendor_answer(
    call: Call,
    body: Incoming,
    vendor: Vendor,
    state: &State,
) -> Result<(Answer, Ending), Hangup> {
    let target = match vendor {
        Vendor::CleverReach => Target::Reach(cleverreach::Endpoint::of(&call)),
        Vendor::CleverTap => Target::Tap(clevertap::Endpoint::of(&call)),
    };
    let template = match &target {
        Target::Reach(endpoint) => endpoint.template(),
        Target::Tap(endpoint) => endpoint.template(),
    };
    let unknown = format!("{} *", call.method);
    let template = if template == "*" { unknown.as_str() } else { template };
    let _under_way = state.counters.arrive(vendor, template);
    let switches = state.switches();
    let permit = match &target {
        Target::Tap(endpoint) => state.clevertap.enter(*endpoint, &switches).map(Some),
        Target::Reach(_) => Some(None),
    };
    let body = read(body).await?;
    let Some(_permit) = permit else {
        state.counters.update(vendor, |stats| stats.over_limit += 1);
        return Ok((CleverTap::too_many(), Ending::Whole));
    };

    let verdict = state.faults.judge(vendor, call.method.as_str(), &call.target);
    if verdict.is_fault() {
        state.counters.update(vendor, |stats| stats.faults_applied += 1);
    }
    for place in verdict.gathered {
        place.wait().await;
    }
    if !verdict.delay.is_zero() {
        tokio::time::sleep(verdict.delay).await;
    }
    if let Some(action) = &verdict.action
        && let Some(made_up) = instead(action, vendor)
    {
        let (answer, ending) = made_up?;
        tracing::debug!(template, status = answer.status, "request answered by a fault");
        return Ok((answer, ending));
    }
    if verdict.action == Some(Action::ExpireTokens) {
        state.cleverreach.expire_tokens();
    }
    let step_back = verdict.action == Some(Action::RepeatPage);
    let answer = match &target {
        Target::Reach(cleverreach::Endpoint::RegisterHook) => register(&call, &body, state).await,
        target => process(target, &call, &body, state, &switches, step_back),
    };
    tracing::debug!(template, status = answer.status, "request answered");
    match verdict.action {
        Some(Action::CloseConnection { .. }) => Err(Hangup::Asked),
        Some(Action::CutBody { after_bytes }) => Ok((answer, Ending::CutAfter(after_bytes))),
        _ => Ok((answer, Ending::Whole)),
    }
}

/// Gives the answer of a fault that keeps the request from being processed.
fn instead(action: &Action, vendor: Vendor) -> Option<Result<(Answer, Ending), Hangup>> {
    let whole = |answer| Some(Ok((answer, Ending::Whole)));
    match action {
        Action::Status { status, headers, body } => {
            let answer = Answer::text(*status, body.clone());
            whole(
                headers
                    .iter()
                    .fold(answer, |answer, (name, value)| answer.with_header(name, value.as_str())),
            )
        }
        Action::TooManyRequests { retry_after } => {
            let answer = match vendor {
                Vendor::CleverReach => Answer::error(429, "Too Many Requests"),
                Vendor::CleverTap => CleverTap::too_many(),
            };
            whole(match retry_after {
                Some(seconds) => answer.with_header("Retry-After", seconds.to_string()),
                None => answer,
            })
        }
        Action::Body { status, body } => whole(Answer::text(*status, body.clone())),
        Action::HugeBody { bytes } => {
            Some(Ok((Answer::text(200, Bytes::new()), Ending::Huge(*bytes))))
        }
        Action::CloseConnection { process: false } => Some(Err(Hangup::Asked)),
        Action::CloseConnection { process: true }
        | Action::Delay { .. }
        | Action::Gather { .. }
        | Action::CutBody { .. }
        | Action::ExpireTokens
        | Action::RepeatPage => None,
    }
}

/// Registers a webhook, whose address is asked before it is taken.
async fn register(call: &Call, body: &[u8], state: &State) -> Answer {
    if state.cleverreach.lets_in(call, state.clock.now()) {
        state.cleverreach.hooks.register(body).await
    } else {
        Answer::error(401, "Unauthorized")
    }
}

fn process(
    target: &Target,
    call: &Call,
    body: &Bytes,
    state: &State,
    switches: &Switches,
    step_back: bool,
) -> Answer {
    let context = (&state.credentials, switches, state.clock.now());
    match target {
        Target::Reach(endpoint) => {
            let (answer, tally) =
                state.cleverreach.answer(endpoint, call, body, context, step_back);
            state.counters.update(Vendor::CleverReach, |stats| {
                stats.tokens_issued += tally.tokens_issued;
                stats.receivers_listed += tally.receivers_listed;
                stats.receivers_upserted += tally.receivers_upserted;
                stats.receivers_refused += tally.receivers_refused;
                stats.mails_sent += tally.mails_sent;
            });
            answer
        }
        Target::Tap(endpoint) => {
            let (answer, tally) = state.clevertap.answer(*endpoint, call, body, context);
            state.counters.update(Vendor::CleverTap, |stats| {
                stats.uploads += tally.uploads;
                stats.dry_runs += tally.dry_runs;
                stats.records_accepted += tally.accepted;
                stats.events_accepted += tally.events;
                stats.records_refused += tally.refused;
                stats.attributions += tally.attributions;
            });
            answer
        }
    }
}
