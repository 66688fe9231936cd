//! How accounts stand, and their resumption; `crate::accounts` has the rest of them.

use std::collections::BTreeMap;

use axum::extract::State;
use engine::{AccountState, Answer, Held, Open, Outage, Request, Rest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::errors::ask;
use super::flows::Resumed;
use super::paging::{Page, Paging, number};
use crate::extract::{Json, Path, Query};
use crate::problem::Problem;
use crate::routes::{Access, Routes, get, post};
use crate::scope::Scope;
use crate::server::Server;

pub(super) fn routes() -> Routes {
    let (read, operate) = (Access::Needs(Scope::Read), Access::Needs(Scope::Operate));
    let missing: &[(u16, &str)] = &[(404, "There is no such account.")];
    Routes::default()
        .and(
            get("/api/v1/accounts", read, list)
                .says(
                    "accounts",
                    "listAccounts",
                    "Lists the accounts by name, and how each stands.",
                )
                .query::<Filter>()
                .answers::<Page<AccountView>>(200, "A page of accounts."),
        )
        .and(
            get("/api/v1/accounts/{name}", read, one)
                .says(
                    "accounts",
                    "getAccount",
                    "Shows how an account stands: whether it is paused, and what its breakers do.",
                )
                .answers::<AccountView>(200, "The account.")
                .problems(missing),
        )
        .and(
            post("/api/v1/accounts/{name}/resume", operate, resume)
                .says(
                    "accounts",
                    "resumeAccount",
                    "Uses an account again: ends its pause and closes its circuit breakers.",
                )
                .idempotent()
                .answers::<Resumed>(200, "It is used.")
                .problems(missing),
        )
}

/// Which accounts are asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Filter {
    /// Only those of this connector.
    connector: Option<String>,
    /// Only those that are paused, or not.
    paused: Option<bool>,
    /// How many at most: 50 if nothing is said, and never more than 500.
    #[schemars(range(min = 1, max = 500))]
    #[serde(default, deserialize_with = "number")]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// An account.
#[derive(Debug, Serialize, JsonSchema)]
struct AccountView {
    /// Its name.
    account: String,
    /// Its connector; absent if it is not configured any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    connector: Option<String>,
    /// Why it is paused, if it is: nothing is asked or sent with it but a probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Rest>,
    /// Why something of it is held, if it is: what the system refused is sent again only after
    /// somebody resumed the account, or with other settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
    /// The limit classes whose circuit breakers are open, and why.
    open: Vec<Open>,
    /// The limit classes whose requests have been answered with nothing but 5xx for so long that
    /// the connector says what to do.
    outages: Vec<Outage>,
}

async fn all(server: &Server) -> Result<BTreeMap<String, AccountView>, Problem> {
    let Answer::Accounts { accounts } = ask(server, Request::Accounts).await? else {
        return Err(Problem::internal());
    };
    let mut views = BTreeMap::new();
    for (account, connector) in server.office().project.accounts() {
        let connector = Some(connector);
        let view = AccountView {
            account: account.clone(),
            connector,
            paused: None,
            held: None,
            open: vec![],
            outages: vec![],
        };
        views.insert(account, view);
    }
    for AccountState { account, paused, held, open, outages } in accounts {
        let connector = views.get(&account).and_then(|view| view.connector.clone());
        let view = AccountView { account: account.clone(), connector, paused, held, open, outages };
        views.insert(account, view);
    }
    Ok(views)
}

async fn list(
    State(server): State<Server>,
    Query(Filter { connector, paused, limit, after }): Query<Filter>,
) -> Result<Json<Page<AccountView>>, Problem> {
    let wanted = |view: &AccountView| {
        (connector.is_none() || connector == view.connector)
            && paused.is_none_or(|paused| paused == view.paused.is_some())
    };
    let views = all(&server).await?.into_values().filter(wanted);
    Page::by_name(views, &Paging { limit, after }, |it| &it.account).map(Json)
}

async fn one(
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<Json<AccountView>, Problem> {
    all(&server).await?.remove(&name).map(Json).ok_or_else(|| unknown(&name))
}

async fn resume(
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<Json<Resumed>, Problem> {
    if !all(&server).await?.contains_key(&name) {
        return Err(unknown(&name));
    }
    match ask(&server, Request::Resume { account: name }).await? {
        Answer::Resumed { was } => Ok(Json(Resumed { was })),
        _ => Err(Problem::internal()),
    }
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(format!("there is no account \"{name}\""))
}
