//! The vault's secrets, as far as accounts name them: their names, never their values.

use axum::extract::State;
use connector::{Secret, Timestamp};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::extract::{Json, Path};
use crate::problem::Problem;
use crate::routes::{Access, Routes, delete, get, put};
use crate::scope::Scope;
use crate::server::Server;

/// No credential of a system is longer.
const LONGEST: usize = 64 * 1024;

pub(super) fn routes() -> Routes {
    let admin = Access::Needs(Scope::Admin);
    Routes::default()
        .and(
            get("/api/v1/secrets", admin, list)
                .says("secrets", "listSecrets", "Lists the secrets that are kept, without values.")
                .answers::<SecretList>(200, "The secrets, by name."),
        )
        .and(
            put("/api/v1/secrets/{name}", admin, set)
                .says(
                    "secrets",
                    "setSecret",
                    "Keeps a secret, in the place of an older one; accounts use it from their next \
                     runs on.",
                )
                .takes::<Value>()
                .answers::<Kept>(200, "It is kept.")
                .problems(&[(422, "It cannot be a secret.")]),
        )
        .and(
            delete("/api/v1/secrets/{name}", admin, remove)
                .says("secrets", "removeSecret", "Removes a secret, also if accounts use it.")
                .answers_as(204, "It is gone.", "")
                .problems(&[(404, "There is no such secret.")]),
        )
}

/// The secrets that are kept.
#[derive(Debug, Serialize, JsonSchema)]
struct SecretList {
    /// By name.
    secrets: Vec<Line>,
}

/// A secret without its value.
#[derive(Debug, Serialize, JsonSchema)]
struct Line {
    /// What accounts call it.
    name: String,
    /// When it was set.
    set: Timestamp,
}

/// The value of a secret.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SecretValue")]
struct Value {
    /// One line of text.
    #[schemars(length(min = 1, max = 65_536))]
    value: String,
}

/// What became of a secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SecretKept")]
struct Kept {
    /// Whether another one was there before.
    replaced: bool,
}

fn failed(reason: String) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store", reason)
}

async fn list(State(server): State<Server>) -> Result<Json<SecretList>, Problem> {
    let secrets = server.office().project.secrets().await.map_err(failed)?;
    let secrets = secrets.into_iter().map(|(name, set)| Line { name, set }).collect();
    Ok(Json(SecretList { secrets }))
}

async fn set(
    State(server): State<Server>,
    Path(name): Path<String>,
    Json(Value { value }): Json<Value>,
) -> Result<Json<Kept>, Problem> {
    let refused = |detail: &str| Err(Problem::unprocessable("secret", detail));
    if !flow::config::is_secret_name(&name) {
        return refused("a name has letters, digits, `-`, `_` and `.`, at most 100");
    }
    if value.trim().is_empty() || value.len() > LONGEST {
        return refused("the value is empty, or longer than 64 KiB");
    }
    if value.chars().any(char::is_control) {
        return refused("the value holds a line break or another control character");
    }
    let replaced = server.office().project.set_secret(&name, &Secret::new(value)).await;
    Ok(Json(Kept { replaced: replaced.map_err(failed)? }))
}

async fn remove(
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    match server.office().project.remove_secret(&name).await.map_err(failed)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(format!("there is no secret \"{name}\""))),
    }
}
