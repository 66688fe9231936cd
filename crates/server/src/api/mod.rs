//! The API under `/api/v1`: every route, and the answers and errors that they share.

mod accounts;
mod connectors;
mod errors;
mod events;
mod flows;
mod handle;
mod letters;
mod openapi;
mod paging;
mod secrets;
mod state;
mod tokens;
mod why;

pub(crate) use events::Ring;
pub(crate) use openapi::document;

use crate::routes::Routes;

pub(crate) fn routes() -> Routes {
    Routes::default()
        .with(flows::routes())
        .with(state::routes())
        .with(letters::routes())
        .with(accounts::routes())
        .with(connectors::routes())
        .with(why::routes())
        .with(events::routes())
        .with(tokens::routes())
        .with(secrets::routes())
        .with(handle::routes())
        .with(openapi::routes())
}
