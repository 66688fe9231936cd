//! Accounts: their pages, their API, and the logins of people at the systems.
//!
//! [`routes`] is what a server adds; [`Host`] keeps the accounts; [`Logins`] are under way for ten
//! minutes. `callback` is the one public path, where people come back to.

mod api;
mod callback;
mod form;
mod host;
mod logins;
mod markup;
mod pages;

use axum::Extension;

use crate::routes::{Route, Routes};

pub use host::{Added, Failed, Host, Lacking, Line, Login, New, Refusal, Removed, words};
pub use logins::{Arrival, CALLBACK, Departure, Ended, LoginError, Logins, Return};

/// Everything about accounts: pages, API and the callback.
pub fn routes(logins: &Logins) -> Routes {
    with(pages::routes().with(api::routes()).with(callback::routes()), logins)
}

/// The API of accounts as the API document has it.
pub(crate) fn table() -> Routes {
    api::routes()
}

/// The callback alone, for a command that waits for one login without a service.
pub fn callback_routes(logins: &Logins) -> Routes {
    with(callback::routes(), logins)
}

fn with(routes: Routes, logins: &Logins) -> Routes {
    routes.map(|route| Route { handler: route.handler.layer(Extension(logins.clone())), ..route })
}
