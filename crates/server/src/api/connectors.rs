//! Connectors: what each offers, with the schemas of its fields.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::paging::{Page, Paging};
use crate::extract::{Json, Path, Query};
use crate::problem::Problem;
use crate::routes::{Access, Routes, get};
use crate::scope::Scope;
use crate::server::Server;

pub(super) fn routes() -> Routes {
    let read = Access::Needs(Scope::Read);
    Routes::default()
        .and(
            get("/api/v1/connectors", read, list)
                .says("connectors", "listConnectors", "Lists the connectors by name.")
                .query::<Paging>()
                .answers::<Page<ConnectorLine>>(200, "A page of connectors."),
        )
        .and(
            get("/api/v1/connectors/{connector}", read, one)
                .says(
                    "connectors",
                    "getConnector",
                    "Describes a connector: settings, limits, triggers and actions with the JSON \
                     Schemas of their fields, as `towpath connectors NAME --json` does.",
                )
                .answers::<ConnectorView>(200, "The connector.")
                .problems(&[(404, "There is no such connector.")]),
        )
}

/// A connector in a list.
#[derive(Debug, Serialize, JsonSchema)]
struct ConnectorLine {
    /// Its name.
    connector: String,
    /// The system that it is for.
    title: String,
    /// What that is.
    about: String,
    /// The names of its triggers.
    triggers: Vec<String>,
    /// The names of its actions.
    actions: Vec<String>,
}

/// A connector.
#[derive(Debug, Serialize, JsonSchema)]
struct ConnectorView {
    /// Its name.
    connector: String,
    /// Everything that is known of it.
    description: Value,
}

async fn list(
    State(server): State<Server>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ConnectorLine>>, Problem> {
    let names = |names: Vec<&'static str>| names.into_iter().map(ToOwned::to_owned).collect();
    let connectors = server.office().connectors.iter();
    let lines = connectors.map(|it| ConnectorLine {
        connector: it.name().to_owned(),
        title: it.title().to_owned(),
        about: it.description().to_owned(),
        triggers: names(it.triggers().iter().map(|trigger| trigger.name).collect()),
        actions: names(it.actions().iter().map(|action| action.name).collect()),
    });
    Page::by_name(lines, &paging, |it| &it.connector).map(Json)
}

async fn one(
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<Json<ConnectorView>, Problem> {
    let office = server.office();
    let found = office.connectors.iter().find(|it| it.name() == name);
    let found =
        found.ok_or_else(|| Problem::not_found(format!("there is no connector \"{name}\"")))?;
    Ok(Json(ConnectorView { connector: name, description: (office.describe)(found) }))
}
