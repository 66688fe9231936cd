//! What the runtime itself triggers: a flow that fails, dead letters, a paused account.
//!
//! `triggers` has them as flow files use them, `alert` what one flow wants to be told.
//! `heard` takes note of what the service sees, `teller` decides what there is to tell and puts it
//! into inboxes, by what is current (`conditions`) and what was told before (`kept`), both of which
//! the store keeps: a restart tells nothing twice and forgets nothing.

mod alert;
mod conditions;
mod failure;
mod heard;
mod kept;
mod letters;
mod record;
mod teller;
#[cfg(test)]
mod tests;
mod triggers;

pub use alert::Alert;
pub(crate) use heard::{Alerts, Hearing};
pub(crate) use teller::Teller;
pub use triggers::connector;
