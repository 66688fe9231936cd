//! The pages of accounts: which there are, a new one, and what can be done with one.

use axum::Extension;
use axum::extract::Form;
use axum::response::{IntoResponse, Redirect, Response};
use connector::Connector;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::host::{Line, Login, New, Refusal, words};
use super::logins::Logins;
use super::{form, markup};
use crate::extract::{Path, Query};
use crate::page::{Page, escape, segment};
use crate::problem::Problem;
use crate::routes::{Access, Routes, get, post};
use crate::scope::Scope;
use crate::session::Session;

const READ: Access = Access::Needs(Scope::Read);
const CONNECT: Access = Access::Needs(Scope::Connect);

pub(super) fn routes() -> Routes {
    Routes::default()
        .and(get("/accounts", READ, list))
        .and(get("/accounts/new", CONNECT, new))
        .and(post("/accounts", CONNECT, add))
        .and(get("/accounts/{name}", READ, show))
        .and(post("/accounts/{name}/test", CONNECT, test))
        .and(post("/accounts/{name}/login", CONNECT, login))
        .and(post("/accounts/{name}/logout", CONNECT, logout))
        .and(post("/accounts/{name}/remove", CONNECT, remove))
        .and(get("/assets/accounts.css", Access::Anyone, async || {
            ([(CONTENT_TYPE, "text/css; charset=utf-8")], markup::STYLE)
        }))
        .and(get("/assets/accounts.js", Access::Anyone, async || {
            ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("accounts.js"))
        }))
}

async fn list(Extension(logins): Extension<Logins>) -> Result<Page, Problem> {
    let lines = logins.host().list().await?;
    let rows = lines.iter().map(|line| {
        let name = escape(&line.account);
        let flows = if line.flows.is_empty() { "none".to_owned() } else { line.flows.join(", ") };
        format!(
            "<tr><th scope=\"row\"><a href=\"/accounts/{}\">{name}</a></th><td data-of=\"connector\">{}</td>\
             <td data-of=\"state\">{}</td><td data-of=\"flows\">{}</td></tr>\n",
            segment(&line.account),
            escape(&line.connector),
            escape(&state(line)),
            escape(&flows),
        )
    });
    let table = if lines.is_empty() {
        "<p>There is no account yet.</p>\n".to_owned()
    } else {
        format!(
            "<table class=\"accounts\"><thead><tr><th>Account</th><th>Connector</th><th>State</th>\
             <th>Flows</th></tr></thead><tbody>\n{}</tbody></table>\n",
            rows.collect::<String>()
        )
    };
    let choices = logins.host().connectors().iter().filter(|it| connects(it)).map(|it| {
        format!(
            "<li><a class=\"button\" href=\"/accounts/new?connector={}\">{}</a> {}</li>\n",
            segment(it.name()),
            escape(it.title()),
            escape(it.description())
        )
    });
    let choices: String = choices.collect();
    let body =
        format!("{table}<h2>Connect an account</h2>\n<ul class=\"choices\">\n{choices}</ul>\n");
    Ok(markup::page(StatusCode::OK, "Accounts", &body))
}

/// Whether an account of a connector has anything to be asked for.
fn connects(connector: &Connector) -> bool {
    !connector.settings().is_empty()
}

fn state(line: &Line) -> String {
    match line.login {
        Login::Missing => "needs a login".to_owned(),
        _ if line.paused.is_some() => "paused".to_owned(),
        _ if line.held.is_some() => "in use, but for what is held".to_owned(),
        Login::NotNeeded => "in use".to_owned(),
        login => login.words().to_owned(),
    }
}

#[derive(Deserialize)]
struct Chosen {
    connector: Option<String>,
}

async fn new(
    Extension(logins): Extension<Logins>,
    session: Session,
    Query(chosen): Query<Chosen>,
) -> Response {
    let Some(connector) = chosen.connector.as_deref().and_then(|name| find(&logins, name)) else {
        return Redirect::to("/accounts").into_response();
    };
    let empty = New { connector: connector.name().to_owned(), ..New::default() };
    form_page(&logins, connector, &empty, &BTreeMap::new(), "", &session).into_response()
}

fn find<'a>(logins: &'a Logins, name: &str) -> Option<&'a Connector> {
    logins.host().connectors().iter().find(|it| it.name() == name)
}

fn form_page(
    logins: &Logins,
    connector: &Connector,
    new: &New,
    problems: &BTreeMap<String, String>,
    before: &str,
    session: &Session,
) -> Page {
    let about = connector.documentation();
    let helps: String = ["Credentials", "Roles and account type"]
        .iter()
        .filter(|heading| !about.section(heading).is_empty())
        .map(|heading| {
            format!(
                "<details><summary>{heading}</summary>{}</details>\n",
                markup::prose(about.section(heading))
            )
        })
        .collect();
    let form = form::form(connector, new, problems, logins.redirect_url(), &session.csrf);
    let wrong = !problems.is_empty() || !before.is_empty();
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let title = format!("Connect {}", connector.title());
    markup::page(status, &title, &format!("{before}{helps}{form}"))
}

async fn add(
    Extension(logins): Extension<Logins>,
    session: Session,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let new = form::read(fields);
    let Some(connector) = find(&logins, &new.connector) else {
        return Problem::unprocessable("connector", "there is no such connector").into_response();
    };
    let mut shown = new.clone();
    for setting in connector.settings().iter().filter(|setting| setting.secret) {
        shown.settings.remove(setting.name);
    }
    let none = BTreeMap::new();
    let again = |problems: &BTreeMap<String, String>, before: &str| {
        form_page(&logins, connector, &shown, problems, before, &session).into_response()
    };
    match logins.host().add(new).await {
        Ok(added) if added.login_needed => {
            Redirect::to(&format!("/accounts/{}", segment(&added.account))).into_response()
        }
        Ok(added) => {
            let body = format!(
                "<p class=\"done\" role=\"status\">Account <strong>{0}</strong> is connected, and can \
                 be used from now on.</p>\n{1}<p><a href=\"/accounts\">All accounts</a></p>",
                escape(&added.account),
                markup::checks(&added.tested),
            );
            markup::page(StatusCode::CREATED, "Connected", &body).into_response()
        }
        Err(Refusal::Fields(problems)) => again(&problems, ""),
        Err(Refusal::Exists(name)) => {
            let problem = Refusal::Exists(name).to_string();
            again(&[("name".to_owned(), problem)].into(), "")
        }
        Err(Refusal::Failed(failed)) => {
            let before = format!(
                "<div class=\"summary\" role=\"alert\"><p><strong>The test failed, and nothing was \
                 saved.</strong></p>{}</div>\n",
                markup::failed(&failed)
            );
            again(&none, &before)
        }
        Err(other) => again(
            &none,
            &format!(
                "<p class=\"error\" role=\"alert\">{}.</p>\n",
                escape(&markup::sentence(&other.to_string()))
            ),
        ),
    }
}

async fn show(
    Extension(logins): Extension<Logins>,
    session: Session,
    Path(name): Path<String>,
) -> Result<Page, Problem> {
    one(&logins, &session, &name, "").await
}

/// The page of an account, with what was done just now above it.
async fn one(logins: &Logins, session: &Session, name: &str, said: &str) -> Result<Page, Problem> {
    let lines = logins.host().list().await?;
    let line = lines.into_iter().find(|line| line.account == name);
    let line = line.ok_or_else(|| Refusal::NoSuch(name.to_owned()))?;
    let flows = if line.flows.is_empty() { "none".to_owned() } else { line.flows.join(", ") };
    let expires = line.expires.map_or_else(String::new, |at| {
        format!("<dt>Token until</dt><dd>{}</dd>\n", escape(&at.to_string()))
    });
    let because = |state: &str, why: Option<&String>| {
        why.map_or_else(String::new, |why| {
            format!("<dt>{state}</dt><dd class=\"error\">{}</dd>\n", escape(why))
        })
    };
    let paused = because("Paused", line.paused.as_ref());
    let held = because("Held", line.held.as_ref());
    let button = |action: &str, words: &str, class: &str| {
        format!(
            "<form method=\"post\" action=\"/accounts/{}/{action}\"><input type=\"hidden\" \
             name=\"csrf\" value=\"{}\"><button class=\"{class}\">{words}</button></form>\n",
            segment(name),
            escape(&session.csrf)
        )
    };
    let mut actions = String::new();
    let mut address = String::new();
    if line.login != Login::NotNeeded {
        address = markup::redirect_url(logins.redirect_url());
        let again = if line.login == Login::Missing { "Log in" } else { "Log in again" };
        actions.push_str(&button("login", again, ""));
    }
    if line.login != Login::Missing {
        actions.push_str(&button("test", "Test", "second"));
    }
    if !matches!(line.login, Login::NotNeeded | Login::Missing) {
        actions.push_str(&button("logout", "Log out", "second"));
    }
    actions.push_str(&button("remove", "Remove", "second"));
    let body = format!(
        "{said}<dl><dt>Connector</dt><dd>{}</dd>\n<dt>State</dt><dd>{}</dd>\n{expires}{paused}{held}\
         <dt>Flows</dt><dd>{}</dd></dl>\n{address}<div class=\"actions\">{actions}</div>\n\
         <p><a href=\"/accounts\">All accounts</a></p>",
        escape(&line.connector),
        escape(&state(&line)),
        escape(&flows),
    );
    Ok(markup::page(StatusCode::OK, &line.account, &body))
}

async fn test(
    Extension(logins): Extension<Logins>,
    session: Session,
    Path(name): Path<String>,
) -> Result<Page, Problem> {
    let said = match logins.host().test(&name).await {
        Ok(tested) if tested.is_good() => {
            format!(
                "<div class=\"done\" role=\"status\"><p>The test passed.</p>{}</div>\n",
                markup::checks(&tested)
            )
        }
        Ok(tested) => {
            let api = logins.host().access(&name).await?;
            let connector = find(&logins, api.account().connector());
            let connector = connector.ok_or_else(Problem::internal)?;
            let failed = super::Failed::new(&name, connector, tested);
            format!(
                "<div class=\"summary\" role=\"alert\"><p><strong>The test failed.</strong></p>{}</div>\n",
                markup::failed(&failed)
            )
        }
        Err(refusal @ Refusal::NoSuch(_)) => return Err(refusal.into()),
        Err(refusal) => told("error", "alert", &refusal.to_string()),
    };
    one(&logins, &session, &name, &said).await
}

fn told(class: &str, role: &str, words: &str) -> String {
    let words = escape(&markup::sentence(words));
    format!("<p class=\"{class}\" role=\"{role}\">{words}.</p>\n")
}

/// A page with a link, since a form may lead to no other site.
async fn login(
    Extension(logins): Extension<Logins>,
    session: Session,
    Path(name): Path<String>,
) -> Result<Page, Problem> {
    let url = match logins.begin(&name).await {
        Ok(url) => url,
        Err(refusal @ Refusal::NoSuch(_)) => return Err(refusal.into()),
        Err(refusal) => {
            let said = told("error", "alert", &refusal.to_string());
            return one(&logins, &session, &name, &said).await;
        }
    };
    let body = format!(
        "<p>The login is at the system itself, and takes you back here. It has to be ended within \
         ten minutes, in this browser.</p>\n{}\
         <p><a class=\"button\" id=\"go\" href=\"{}\">Go on to the login</a> \
         <a href=\"/accounts/{}\">Cancel</a></p>",
        markup::redirect_url(logins.redirect_url()),
        escape(&url),
        segment(&name),
    );
    Ok(markup::page(StatusCode::OK, &format!("Log in for {name}"), &body))
}

async fn logout(
    Extension(logins): Extension<Logins>,
    session: Session,
    Path(name): Path<String>,
) -> Result<Page, Problem> {
    let api = logins.host().access(&name).await?;
    let revoked = api.log_out().await.map_err(Refusal::of_call)?;
    let said = told("done", "status", &format!("logged out; of the token: {}", words(&revoked)));
    one(&logins, &session, &name, &said).await
}

async fn remove(
    Extension(logins): Extension<Logins>,
    session: Session,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    match logins.host().remove(&name, false).await {
        Ok(_) => Ok(Redirect::to("/accounts").into_response()),
        Err(refusal @ Refusal::NoSuch(_)) => Err(refusal.into()),
        Err(refusal) => {
            let said = format!("not removed, {refusal}");
            let said = told("error", "alert", &said);
            one(&logins, &session, &name, &said).await.map(IntoResponse::into_response)
        }
    }
}
