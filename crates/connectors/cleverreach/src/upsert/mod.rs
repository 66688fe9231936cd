//! One upsert: the receivers of one group in one call.

mod answer;
mod attributes;
mod confirmation;
mod known;
mod receiver;
mod send;
mod state;
mod written;

pub(crate) use receiver::Receiver;
pub(crate) use send::{Call, send};
pub(crate) use written::written;
