//! The stand-in of CleverReach's REST API v3.

mod api;
mod directory;
mod listing;
mod oauth;
mod query;
mod receiver;
mod seed;

pub(crate) use api::{CleverReach, Endpoint};
pub use receiver::{Receiver, Stamp, Touch};
