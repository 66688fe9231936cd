//! Records to try a flow on, and how what comes of them is shown.

mod records;
mod show;

pub(crate) use records::{Record, from_text, polled, sandboxed};
pub(crate) use show::Show;
