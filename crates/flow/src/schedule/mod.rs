//! When a flow runs: intervals, cron expressions, and what daylight saving does to them.

mod calendar;
mod check;
mod cron;
mod expression;
mod plan;

pub use cron::Cron;
pub use plan::Schedule;

pub(crate) use check::{check, refuse};
