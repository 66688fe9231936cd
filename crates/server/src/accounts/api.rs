//! The API of accounts. No answer holds a secret.

use axum::Extension;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::host::{Added, Line, New, Refusal, Removed, words};
use super::logins::Logins;
use crate::extract::{Json, Path, Query};
use crate::problem::Problem;
use crate::routes::{Access, Routes, delete, get, post};
use crate::scope::Scope;

const TAG: &str = "accounts";
const CONNECT: Access = Access::Needs(Scope::Connect);
/// Problems of a route about one account.
const OF_ONE: &[(u16, &str)] = &[
    (404, "There is no such account."),
    (422, "It cannot be done with this account; `code` and `detail` say why."),
    (503, "The account's system did not answer."),
];

pub(super) fn routes() -> Routes {
    Routes::default()
        .and(
            get("/api/v1/accounts/{name}/login", Access::Needs(Scope::Read), state)
                .says(TAG, "showLogin", "Shows whether somebody logged in for an account.")
                .answers::<Line>(200, "What is known of the login.")
                .problems(&[(404, "There is no such account.")]),
        )
        .and(
            post("/api/v1/accounts", CONNECT, add)
                .body_limit(256 * 1024)
                .says(
                    TAG,
                    "addAccount",
                    "Tests a new account and keeps it: its settings in towpath.yaml, its secrets \
                     sealed. If the test fails, nothing is kept.",
                )
                .takes::<New>()
                .answers::<Added>(201, "It is kept.")
                .problems(&[
                    (409, "There is an account of that name."),
                    (422, "A setting is missing or wrong (`fields`), or the test failed (`testFailed`)."),
                    (503, "The account's system did not answer."),
                ]),
        )
        .and(
            delete("/api/v1/accounts/{name}", CONNECT, remove)
                .says(TAG, "removeAccount", "Takes an account away, its secrets and its login with it.")
                .query::<Although>()
                .answers::<Removed>(200, "It is gone.")
                .problems(&[(404, "There is no such account."), (409, "Flows use it.")]),
        )
        .and(
            post("/api/v1/accounts/{name}/test", CONNECT, test)
                .says(
                    TAG,
                    "testAccount",
                    "Asks the system harmless questions: what the account may do there.",
                )
                .answers::<Outcome>(200, "What was found.")
                .problems(OF_ONE),
        )
        .and(
            post("/api/v1/accounts/{name}/login", CONNECT, login)
                .says(
                    TAG,
                    "beginLogin",
                    "Begins a login: gives the address that one browser opens, once, within ten \
                     minutes.",
                )
                .answers::<Begun>(201, "The login has begun.")
                .problems(OF_ONE),
        )
        .and(
            post("/api/v1/accounts/{name}/refresh", CONNECT, refresh)
                .says(TAG, "refreshLogin", "Renews the token of an account now.")
                .answers::<Line>(200, "It is renewed.")
                .problems(OF_ONE),
        )
        .and(
            post("/api/v1/accounts/{name}/logout", CONNECT, logout)
                .says(TAG, "endLogin", "Ends the login of an account, at its system too where that is possible.")
                .answers::<Ended>(200, "It is ended.")
                .problems(OF_ONE),
        )
        .with(hooks())
}

fn hooks() -> Routes {
    let path = "/api/v1/accounts/{name}/hooks";
    Routes::default()
        .and(
            get(path, Access::Needs(Scope::Read), registered)
                .says(
                    TAG,
                    "listHooks",
                    "Lists where an account's system calls flows, as that tells.",
                )
                .answers::<Registered>(200, "What is registered there.")
                .problems(OF_ONE),
        )
        .and(
            post(path, CONNECT, register)
                .says(
                    TAG,
                    "registerHook",
                    "Tells an account's system where a flow is called. What was registered for the \
                     same before goes.",
                )
                .takes::<NewHook>()
                .answers::<HookAt>(201, "It is registered.")
                .problems(OF_ONE),
        )
        .and(
            delete("/api/v1/accounts/{name}/hooks/{flow}", CONNECT, unregister)
                .says(TAG, "removeHook", "Takes the registration of a flow away.")
                .answers::<Unregistered>(200, "It is gone.")
                .problems(OF_ONE),
        )
}

/// What is registered at an account's system.
#[derive(Serialize, JsonSchema)]
struct Registered {
    /// Each with `event`, `of` and `url`.
    #[schemars(with = "Vec<serde_json::Value>")]
    hooks: Vec<connector::Registered>,
}

/// A flow that is to be called.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewHook {
    /// The flow.
    flow: String,
    /// Where it is called; the service's own address without it.
    #[serde(default)]
    url: Option<String>,
}

/// Where a flow is called.
#[derive(Serialize, JsonSchema)]
struct HookAt {
    /// The flow.
    flow: String,
    /// Where it is called.
    url: String,
}

/// What became of a registration.
#[derive(Serialize, JsonSchema)]
struct Unregistered {
    /// Whether there was one.
    was: bool,
}

async fn registered(
    Extension(logins): Extension<Logins>,
    Path(account): Path<String>,
) -> Result<Json<Registered>, Problem> {
    Ok(Json(Registered { hooks: logins.host().registered(&account).await? }))
}

async fn register(
    Extension(logins): Extension<Logins>,
    Path(account): Path<String>,
    Json(NewHook { flow, url }): Json<NewHook>,
) -> Result<(StatusCode, Json<HookAt>), Problem> {
    let url = url.unwrap_or_else(|| logins.hook_url(&flow));
    logins.host().register(&account, &flow, &url).await?;
    Ok((StatusCode::CREATED, Json(HookAt { flow, url })))
}

async fn unregister(
    Extension(logins): Extension<Logins>,
    Path((account, flow)): Path<(String, String)>,
) -> Result<Json<Unregistered>, Problem> {
    Ok(Json(Unregistered { was: logins.host().unregister(&account, &flow).await? }))
}

async fn state(
    Extension(logins): Extension<Logins>,
    Path(account): Path<String>,
) -> Result<Json<Line>, Problem> {
    line(&logins, account).await.map(Json)
}

async fn line(logins: &Logins, account: String) -> Result<Line, Problem> {
    let line = logins.host().list().await?.into_iter().find(|line| line.account == account);
    line.ok_or_else(|| Refusal::NoSuch(account).into())
}

async fn add(
    Extension(logins): Extension<Logins>,
    Json(new): Json<New>,
) -> Result<(StatusCode, Json<Added>), Problem> {
    Ok((StatusCode::CREATED, Json(logins.host().add(new).await?)))
}

/// Whether an account that flows use is taken away.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Although {
    /// Also where flows use it, which cannot run then.
    #[serde(default)]
    although_used: bool,
}

async fn remove(
    Extension(logins): Extension<Logins>,
    Path(name): Path<String>,
    Query(although): Query<Although>,
) -> Result<Json<Removed>, Problem> {
    Ok(Json(logins.host().remove(&name, although.although_used).await?))
}

/// What a test found.
#[derive(Serialize, JsonSchema)]
struct Outcome {
    /// The account.
    account: String,
    /// Whether nothing failed.
    good: bool,
    /// What was looked at: `what`, `verdict` (`passed`, `failed`, `untested`), and words.
    #[schemars(with = "Vec<serde_json::Value>")]
    checks: Vec<connector::Check>,
}

async fn test(
    Extension(logins): Extension<Logins>,
    Path(account): Path<String>,
) -> Result<Json<Outcome>, Problem> {
    let tested = logins.host().test(&account).await?;
    Ok(Json(Outcome { account, good: tested.is_good(), checks: tested.checks }))
}

/// A login that has begun.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Begun {
    /// What a browser opens, once.
    url: String,
    /// What has to be entered into the system's app before.
    redirect_url: String,
}

async fn login(
    Extension(logins): Extension<Logins>,
    Path(account): Path<String>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    let url = logins.begin(&account).await?;
    let redirect_url = logins.redirect_url().to_owned();
    Ok((StatusCode::CREATED, Json(Begun { url, redirect_url })))
}

async fn refresh(
    Extension(logins): Extension<Logins>,
    Path(account): Path<String>,
) -> Result<Json<Line>, Problem> {
    let host = logins.host();
    host.access(&account).await?.renew().await.map_err(Refusal::of_call)?;
    host.used_again(&account).await?;
    line(&logins, account).await.map(Json)
}

/// A login that was ended.
#[derive(Serialize, JsonSchema)]
struct Ended {
    /// The account.
    account: String,
    /// What became of the token, in words.
    token: String,
}

async fn logout(
    Extension(logins): Extension<Logins>,
    Path(account): Path<String>,
) -> Result<Json<Ended>, Problem> {
    let api = logins.host().access(&account).await?;
    let revoked = api.log_out().await.map_err(Refusal::of_call)?;
    Ok(Json(Ended { account, token: words(&revoked) }))
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let said = refusal.to_string();
        match refusal {
            Refusal::NoSuch(_) => Self::not_found(said),
            Refusal::Exists(_) => Self::conflict("accountExists", said),
            Refusal::Fields(_) => Self::unprocessable("fields", said),
            Refusal::Failed(failed) => {
                let helps: Vec<_> = failed.troubles.into_iter().map(|(_, text)| text).collect();
                Self::unprocessable("testFailed", said).hint(helps.join("\n\n"))
            }
            Refusal::Used(_) => Self::conflict("accountUsed", said)
                .hint("with `althoughUsed=true` it is taken away all the same"),
            Refusal::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "systemUnavailable", said)
            }
            Refusal::NeedsLogin(_) => Self::unprocessable("needsLogin", said),
            Refusal::Other(_) => Self::unprocessable("account", said),
        }
    }
}
