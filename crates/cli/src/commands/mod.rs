//! One file a command.

pub(crate) mod accounts;
pub(crate) mod backfill;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod connect;
pub(crate) mod connectors;
pub(crate) mod dead_letters;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod flow;
pub(crate) mod map;
pub(crate) mod new;
pub(crate) mod open;
pub(crate) mod plan;
pub(crate) mod reference;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod schedule;
pub(crate) mod schema;
pub(crate) mod secret;
pub(crate) mod serve;
pub(crate) mod state;
pub(crate) mod store;
pub(crate) mod test;
pub(crate) mod token;
pub(crate) mod why;
