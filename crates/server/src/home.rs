//! The page that a browser lands on: which accounts there are, and where everything else is.

use axum::extract::State;
use http::StatusCode;

use crate::identity::Identity;
use crate::page::{Page, escape, segment};
use crate::routes::{Access, Routes, get};
use crate::scope::Scope;
use crate::server::Server;
use crate::session::Session;

pub(crate) fn routes() -> Routes {
    Routes::default().and(get("/", Access::Needs(Scope::Read), home))
}

async fn home(
    State(server): State<Server>,
    identity: Identity,
    session: Option<axum::Extension<Session>>,
) -> Page {
    let mut accounts = server.office().project.accounts();
    accounts.sort();
    let rows = accounts.iter().map(|(name, connector)| {
        format!(
            "<tr><th scope=\"row\"><a href=\"/accounts/{}\">{}</a></th><td>{}</td></tr>\n",
            segment(name),
            escape(name),
            escape(connector)
        )
    });
    let table = if accounts.is_empty() {
        "<p>There is no account yet.</p>\n".to_owned()
    } else {
        let rows: String = rows.collect();
        format!(
            "<table><thead><tr><th>Account</th><th>Connector</th></tr></thead><tbody>\n{rows}\
             </tbody></table>\n"
        )
    };
    let flows = match server.office().project.flows().len() {
        0 => "no flow yet".to_owned(),
        1 => "1 flow".to_owned(),
        count => format!("{count} flows"),
    };
    // Who asks with a token has nothing to sign out of.
    let out = session.map_or_else(String::new, |session| {
        format!(
            "<form method=\"post\" action=\"/logout\"><input type=\"hidden\" name=\"csrf\" \
             value=\"{}\"><button>Sign out</button></form>\n",
            escape(&session.csrf)
        )
    });
    let (who, scopes) = (escape(identity.name()), escape(&identity.scopes().to_string()));
    let body = format!(
        "<p>This service has {flows}. You are signed in as <strong>{who}</strong> ({scopes}).</p>\n\
         <h2>Accounts</h2>\n{table}<p><a href=\"/accounts\">Connect, test and remove accounts</a></p>\n\
         <h2>For programs</h2>\n\
         <p>The API is under <code>/api/v1</code>; <a href=\"/api/v1/openapi.json\">its document</a> \
         names every route, and <code>towpath token create</code> makes a token for it. \
         <a href=\"/metrics\">Metrics</a> are at <code>/metrics</code>.</p>\n{out}"
    );
    Page::new(StatusCode::OK, "This service", &body)
}
