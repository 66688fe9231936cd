//! The stand-in of CleverReach's REST API v3.

mod api;
mod attributes;
mod blacklist;
mod directory;
mod hooks;
mod listing;
mod mail;
mod memberships;
mod oauth;
mod orders;
mod query;
mod receiver;
mod seed;
mod status;
mod tags;
mod touch;
mod upsert;
mod write;

pub(crate) use api::{CleverReach, Endpoint};
pub use blacklist::Blacklisted;
pub use mail::{Mail, MailKind};
pub use receiver::Receiver;
pub use touch::{Stamp, Touch, What};
