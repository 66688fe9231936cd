//! Runs many flows on their schedules: one timer for all of them, a task only for a run.

mod host;
mod pauses;
mod serve;
mod timetable;

pub use host::{Host, Ran};
pub use pauses::{Pause, pause, paused, pauses, resume};
pub use serve::{Handle, Options, Service};
pub use timetable::{Planned, Standing};
