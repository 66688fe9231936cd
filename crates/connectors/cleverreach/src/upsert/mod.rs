//! One upsert: the receivers of one group in one call.

mod answer;
mod attributes;
mod confirmation;
mod known;
mod send;

pub(crate) use send::{Call, send};
