//! What the runtime itself triggers: a flow that fails, dead letters, a paused account.
//!
//! `triggers` has them as flow files use them, `alert` what one flow wants to be told.
//! `heard` takes note of what the service sees; `teller` puts what there is to tell into inboxes.
//! `failing`, `letters` and `paused` say what that is, by what is and by what was told before
//! (`kept`), both of which the store keeps: a restart tells nothing twice and forgets nothing.

mod alert;
mod conditions;
mod failing;
mod failure;
mod heard;
mod kept;
mod letters;
mod paused;
mod record;
mod teller;
#[cfg(test)]
mod tests;
mod triggers;

pub use alert::Alert;
pub(crate) use heard::{Alerts, Hearing};
pub(crate) use teller::Teller;
pub use triggers::connector;
