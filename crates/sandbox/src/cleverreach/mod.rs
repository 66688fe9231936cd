//! The stand-in of CleverReach's REST API v3.

mod api;
mod directory;
mod listing;
mod mail;
mod oauth;
mod query;
mod receiver;
mod seed;
mod touch;
mod upsert;

pub(crate) use api::{CleverReach, Endpoint};
pub use mail::Mail;
pub use receiver::Receiver;
pub use touch::{Stamp, Touch, What};
