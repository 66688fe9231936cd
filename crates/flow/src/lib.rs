//! What a flow file says, checked.
//!
//! Start with [`check`]: it reads a flow file and gives a [`Flow`], in which nothing can be wrong
//! any more without the systems' own say, or every [`Finding`] at once. [`config`] does the same
//! for `towpath.yaml`. [`message`] says what a mapping's result means; the engine and
//! [`Flow::run_tests`] both follow it.
//!
//! Must not know: stores, networks, environment variables, the engine. Connectors are only
//! described here, never called.

mod check;
pub mod config;
mod duration;
mod examples;
mod fields;
mod file;
mod finding;
mod flow;
mod graph;
pub mod message;
mod render;
mod same_name;
mod scalar;
mod schedule;
pub mod schema;
mod secret;
mod shape;
mod shared;
mod source;
mod suggest;
mod test;
mod yaml;

pub use check::{Context, check};
pub use config::Config;
pub use finding::{CODES, Code, Finding, Place, Severity};
pub use flow::{Flow, MaxRejects, Retry, Step, Transformation, Trigger};
pub use render::{line, render};
pub use same_name::same_name;
pub use schedule::{Cron, Schedule};
pub use suggest::hint as did_you_mean;
pub use test::{Expectation, Given, Test, TestFailure, TestResult};
