//! Tokens: made, listed, revoked.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::paging::{Page, Paging};
use crate::extract::{Json, Path, Query};
use crate::problem::Problem;
use crate::routes::{Access, Routes, delete, get, post};
use crate::scope::{Scope, Scopes};
use crate::server::Server;
use crate::token::{NewToken, TokenLine};

/// No token lasts longer than ten years, unless it lasts for ever.
const LONGEST: u64 = 3650 * 24 * 3600;

pub(super) fn routes() -> Routes {
    let admin = Access::Needs(Scope::Admin);
    Routes::default()
        .and(
            get("/api/v1/tokens", admin, list)
                .says("tokens", "listTokens", "Lists tokens by name, without themselves.")
                .query::<Paging>()
                .answers::<Page<TokenLine>>(200, "A page of tokens."),
        )
        .and(
            post("/api/v1/tokens", admin, create)
                .says("tokens", "createToken", "Makes a token, which is shown this once.")
                .takes::<New>()
                .answers::<Made>(201, "The token.")
                .problems(&[
                    (409, "There is a token of that name."),
                    (422, "A token cannot be so."),
                ]),
        )
        .and(
            delete("/api/v1/tokens/{token}", admin, revoke)
                .says(
                    "tokens",
                    "revokeToken",
                    "Revokes a token by its name: it and its sessions open nothing any more.",
                )
                .answers_as(204, "It is revoked.", "")
                .problems(&[(404, "There is no such token.")]),
        )
}

/// What a token is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct New {
    /// Its name.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,100}$"))]
    name: String,
    /// What it opens.
    #[schemars(length(min = 1))]
    scopes: Scopes,
    /// After so many seconds it ends; for ever if nothing is said.
    #[schemars(range(min = 1, max = 315_360_000_u32))]
    expires_in: Option<u64>,
}

/// A token.
#[derive(Serialize, JsonSchema)]
struct Made {
    /// Its name.
    name: String,
    /// The token itself: it cannot be had again.
    token: String,
}

async fn list(
    State(server): State<Server>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<TokenLine>>, Problem> {
    Page::by_name(server.tokens().list(), &paging, |it| &it.name).map(Json)
}

async fn create(
    State(server): State<Server>,
    Json(New { name, scopes, expires_in }): Json<New>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    if expires_in.is_some_and(|seconds| !(1..=LONGEST).contains(&seconds)) {
        let detail = format!("`expiresIn` is not from 1 to {LONGEST} seconds");
        return Err(Problem::unprocessable("token", detail));
    }
    let new = NewToken { name: name.clone(), scopes, lasts: expires_in.map(Duration::from_secs) };
    let token = server.tokens().create(new, server.clock().now()).await?;
    Ok((StatusCode::CREATED, Json(Made { name, token: token.expose().to_owned() })))
}

async fn revoke(
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    server.sessions().end_of(&name);
    match server.tokens().revoke(&name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(format!("there is no token \"{name}\""))),
    }
}
