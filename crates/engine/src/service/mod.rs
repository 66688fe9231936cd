//! Runs many flows on their schedules: one timer for all of them, a task only for a run.

mod host;
mod service;
mod timetable;

pub use host::{Host, Ran};
pub use service::{Handle, Options, Service};
pub use timetable::Planned;
