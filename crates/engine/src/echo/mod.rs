//! Flows that go both ways between two systems: what one wrote, the other does not carry back.
//!
//! A flow that writes to an account which an opposite flow polls keeps, in the commit of its page,
//! what that flow would send of what was written ([`Carried`]). The opposite flow holds what it is
//! about to send against it ([`meet`]): the same is an echo, and is not sent. Both sides may have
//! changed at once; `meeting` says which change wins, and whoever commits last (`settle`) sees
//! to it that the other side gets it.

mod carried;
mod content;
mod meeting;
mod moment;
mod settle;
mod ways;

#[cfg(test)]
mod tests;

pub(crate) use carried::{Carried, Done, carried};
pub(crate) use meeting::{Met, Verdict, meet};
pub(crate) use moment::{at, now};
pub use ways::Flows;
pub(crate) use ways::Ways;
