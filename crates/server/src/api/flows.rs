//! Flows: which there are, where they stand, and run, pause and resume.

use std::sync::Arc;

use axum::extract::State;
use connector::Timestamp;
use engine::service::{self, Pause, Standing};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Counts, RunLine};

use super::paging::{Page, Paging, moment, number};
use crate::extract::{Json, Path, Query};
use crate::identity::Identity;
use crate::problem::Problem;
use crate::project::Listed;
use crate::routes::{Access, Routes, get, post};
use crate::scope::Scope;
use crate::server::Server;

/// A reason for a pause has so many characters at most.
const LONGEST_REASON: usize = 1_000;

pub(super) fn routes() -> Routes {
    let (read, operate) = (Access::Needs(Scope::Read), Access::Needs(Scope::Operate));
    let missing: &[(u16, &str)] = &[(404, "There is no such flow.")];
    Routes::default()
        .and(
            get("/api/v1/flows", read, list)
                .says("flows", "listFlows", "Lists the flows that the service has, by name.")
                .query::<Filter>()
                .answers::<Page<FlowLine>>(200, "A page of flows."),
        )
        .and(
            get("/api/v1/flows/{flow}", read, one)
                .says("flows", "getFlow", "Shows a flow: its trigger, its steps, where it stands.")
                .answers::<FlowView>(200, "The flow.")
                .problems(missing),
        )
        .and(
            post("/api/v1/flows/{flow}/run", operate, run)
                .says(
                    "flows",
                    "runFlow",
                    "Runs a flow as soon as there is room, also if it is paused or has no schedule.",
                )
                .idempotent()
                .answers::<Asked>(202, "It will run.")
                .problems(missing)
                .problems(&[(409, "It runs already, or the service is stopping.")]),
        )
        .and(
            post("/api/v1/flows/{flow}/pause", operate, pause)
                .says(
                    "flows",
                    "pauseFlow",
                    "Pauses a flow: it runs only when somebody says so, also after a restart. A run \
                     under way goes on to its end. One that is paused already stays as it was.",
                )
                .idempotent()
                .may_take::<Why>()
                .answers::<Pause>(200, "It is paused.")
                .problems(missing),
        )
        .and(
            post("/api/v1/flows/{flow}/resume", operate, resume)
                .says("flows", "resumeFlow", "Lets a paused flow run on its schedule again.")
                .idempotent()
                .answers::<Resumed>(200, "It is not paused.")
                .problems(missing),
        )
        .and(
            get("/api/v1/flows/{flow}/runs", read, runs)
                .says("flows", "listRuns", "Lists the runs of a flow, newest first.")
                .query::<Paging>()
                .answers::<Page<RunView>>(200, "A page of runs.")
                .problems(missing),
        )
}

/// Which flows are asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Filter {
    /// Only those that are paused, or not.
    paused: Option<bool>,
    /// Only those whose run is under way, or not.
    running: Option<bool>,
    /// How many at most: 50 if nothing is said, and never more than 500.
    #[schemars(range(min = 1, max = 500))]
    #[serde(default, deserialize_with = "number")]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// A flow in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct FlowLine {
    /// Its name.
    flow: String,
    /// Its file.
    file: String,
    /// Its schedule in words; absent if it runs only when somebody says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    /// Whether it runs only when somebody says so, because it was paused.
    paused: bool,
    /// When the run under way began, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<Timestamp>,
    /// When it runs next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Timestamp>,
}

/// A flow.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct FlowView {
    /// What a list shows of it.
    line: FlowLine,
    /// What it is for, in the author's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    /// What finds its records.
    trigger: UseView,
    /// What is done with each message, in an order in which each step comes behind those that it
    /// waits for.
    steps: Vec<StepView>,
    /// Since when it is paused, by whom and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<Pause>,
}

/// One use of a connector.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct UseView {
    /// `connector.name`.
    #[serde(rename = "use")]
    used: String,
    /// The account, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

/// A step.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StepView {
    /// Its id.
    id: String,
    /// The steps that it waits for; none is the trigger alone.
    after: Vec<String>,
    /// `connector.name`.
    #[serde(rename = "use")]
    used: String,
    /// The account.
    account: String,
}

/// A run of a flow, ended.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RunView {
    /// The run's id.
    run: String,
    /// When it began.
    started: Timestamp,
    /// When it ended.
    finished: Timestamp,
    /// How it ended.
    outcome: String,
    /// What it moved.
    counts: Counts,
    /// What went wrong, if something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What was asked of a flow.
#[derive(Debug, Serialize, JsonSchema)]
struct Asked {
    /// The flow.
    flow: String,
}

/// Why a flow is paused.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Why {
    /// For whoever wonders later; no secrets.
    #[schemars(length(max = 1_000))]
    reason: Option<String>,
}

/// Whether something was resumed.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Resumed {
    /// Whether it was paused before.
    pub(super) was: bool,
}

/// The flow of that name, if the service has it.
pub(super) fn known(server: &Server, name: &str) -> Result<Listed, Problem> {
    let found = server.office().project.flow_named(name);
    found.ok_or_else(|| Problem::not_found(format!("the service has no flow \"{name}\"")))
}

async fn list(
    State(server): State<Server>,
    Query(query): Query<Filter>,
) -> Result<Json<Page<FlowLine>>, Problem> {
    let limit = Paging { limit: query.limit, after: None }.limit()?;
    let mut flows = server.office().project.flows();
    flows.sort_by(|a, b| a.flow.cmp(&b.flow));
    if let Some(after) = &query.after {
        flows.retain(|it| *it.flow > **after);
    }
    let names = flows.iter().map(|it| it.flow.clone()).collect();
    let standing = server.office().service.standing(names).await;
    let standing = standing.into_iter().chain(std::iter::repeat(Standing::default()));
    let lines = flows.into_iter().zip(standing).map(|(listed, standing)| line(listed, standing));
    let wanted = |line: &FlowLine| {
        query.paused.is_none_or(|paused| paused == line.paused)
            && query.running.is_none_or(|running| running == line.running.is_some())
    };
    let lines = lines.filter(wanted).take(limit + 1).collect();
    Ok(Json(Page::cut(lines, limit, |line| line.flow.clone())))
}

fn line(listed: Listed, standing: Standing) -> FlowLine {
    let Standing { next, running, paused } = standing;
    let Listed { flow, file, schedule } = listed;
    FlowLine { flow: flow.to_string(), file, schedule, paused, running, next }
}

async fn one(
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<Json<FlowView>, Problem> {
    let listed = known(&server, &name)?;
    let office = server.office();
    let standing = office.service.standing(vec![listed.flow.clone()]).await;
    let line = line(listed, standing.first().copied().unwrap_or_default());
    let project = office.project.clone();
    let of = name.clone();
    let flow = tokio::task::spawn_blocking(move || project.shown(&of)).await;
    let flow = flow.map_err(|_| Problem::internal())??;
    let steps = flow.steps.iter().map(|step| {
        let after = step.after.iter().filter_map(|at| flow.steps.get(*at));
        StepView {
            id: step.id.clone(),
            after: after.map(|step| step.id.clone()).collect(),
            used: format!("{}.{}", step.connector, step.name),
            account: step.account.clone(),
        }
    });
    let trigger = UseView {
        used: format!("{}.{}", flow.trigger.connector, flow.trigger.name),
        account: flow.trigger.account().map(str::to_owned),
    };
    let pause = service::paused(&**server.store(), &name).await?;
    let (about, steps) = (flow.about.clone(), steps.collect());
    Ok(Json(FlowView { line, about, trigger, steps, pause }))
}

async fn run(
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Asked>), Problem> {
    let listed = known(&server, &name)?;
    if server.office().service.run_now(listed.flow).await {
        return Ok((StatusCode::ACCEPTED, Json(Asked { flow: name })));
    }
    let detail = format!("a run of flow \"{name}\" is under way, or the service is stopping");
    Err(Problem::conflict("flowRunning", detail))
}

async fn pause(
    State(server): State<Server>,
    identity: Identity,
    Path(name): Path<String>,
    body: Option<Json<Why>>,
) -> Result<Json<Pause>, Problem> {
    let listed = known(&server, &name)?;
    let reason = body.and_then(|Json(why)| why.reason);
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > LONGEST_REASON) {
        let detail = format!("`reason` is longer than {LONGEST_REASON} characters");
        return Err(Problem::unprocessable("body", detail));
    }
    let (by, since) = (identity.name().to_owned(), server.clock().now());
    let pause = Pause { flow: name, since, by, reason };
    // Kept first: what the service does, a restart does too.
    let pause = service::pause(&**server.store(), pause).await?;
    server.office().service.pause(listed.flow);
    Ok(Json(pause))
}

async fn resume(
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<Json<Resumed>, Problem> {
    let flow: Arc<str> = match server.office().project.flow_named(&name) {
        Some(listed) => listed.flow,
        // What is gone may be paused still, and come back.
        None if service::paused(&**server.store(), &name).await?.is_some() => name.as_str().into(),
        None => return Err(known(&server, &name).err().unwrap_or_else(Problem::internal)),
    };
    let was = service::resume(&**server.store(), &name).await?;
    server.office().service.resume(flow);
    Ok(Json(Resumed { was }))
}

async fn runs(
    State(server): State<Server>,
    Path(name): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<RunView>>, Problem> {
    let limit = paging.limit()?;
    let runs = server.store().runs(&name).await?;
    if runs.is_empty() {
        known(&server, &name)?;
    }
    let after = paging.moment()?;
    let is_behind = |run: &RunLine| {
        after.as_ref().is_none_or(|(started, id)| (run.started, &run.run) < (started.millis(), id))
    };
    // By start and id, so that a page begins where the one before ended.
    let mut runs: Vec<RunLine> = runs.into_iter().filter(is_behind).collect();
    runs.sort_by(|a, b| (b.started, &b.run).cmp(&(a.started, &a.run)));
    let views = runs.into_iter().take(limit + 1).map(|it| RunView {
        run: it.run,
        started: Timestamp::from_millis(it.started),
        finished: Timestamp::from_millis(it.finished),
        outcome: it.outcome,
        counts: it.counts,
        error: it.error,
    });
    Ok(Json(Page::cut(views.collect(), limit, |it| moment(it.started, &it.run))))
}
