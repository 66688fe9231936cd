//! What a flow file says, checked.
//!
//! Start with [`check`]: it reads a flow file and gives a [`Flow`], in which nothing can be wrong
//! any more without the systems' own say, or every [`Finding`] at once. [`config`] does the same
//! for `towpath.yaml`. [`message`] says what a mapping's result means; the engine and
//! [`Flow::run_tests`] both follow it, and [`trial`], which tries a flow on one record.
//!
//! Must not know: stores, networks, environment variables, the engine. Connectors are only
//! described here, never called.

mod across;
mod check;
pub mod config;
mod deletes;
pub mod duration;
mod editor;
mod examples;
mod fields;
mod file;
mod finding;
mod flow;
mod graph;
mod kind;
pub mod message;
mod misnamed;
mod outline;
mod render;
mod retry;
mod same_name;
mod sarif;
mod scalar;
mod schedule;
pub mod schema;
mod secret;
mod shape;
mod shared;
mod source;
mod suggest;
mod syntax;
mod test;
pub mod trial;
mod yaml;

pub use check::{Context, check, is_name};
pub use config::Config;
pub use finding::{CODES, Code, Finding, Place, Severity};
pub use flow::{
    Flow, InDoubt, MaxDeletes, MaxRejects, OnReject, Prefer, Retry, Step, Takes, Transformation,
    Trigger,
};
pub use misnamed::misnamed;
pub use render::{line, render};
pub use same_name::same_name;
pub use sarif::sarif;
pub use schedule::{Cron, Schedule};
pub use suggest::hint as did_you_mean;
pub use test::{EXAMPLES_AT, Expectation, Given, Test, TestFailure, TestResult};
