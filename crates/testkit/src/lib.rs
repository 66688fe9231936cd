//! The acceptance test that every connector passes.
//!
//! Start with [`accept`]: it plays a connector's recorded exchanges, and their mutations, from a
//! server on loopback. [`Promise`] lists what is looked at. `trigger.rs`, `webhook.rs` and `action.rs`
//! play a story as recorded; `outage.rs` lists what goes wrong with an exchange, and `questions.rs`,
//! `pages.rs` and `call.rs` play a trigger's and an action's calls with it. `tape.rs` is the
//! recorded system. [`record`] plays the stories against a real system and writes them down;
//! [`outdated`] tells which of them a sandbox answers otherwise by now.
//!
//! An address that the system gives begins with `{origin}` in a story, which is where it is
//! played; what is written to it is the request's `text`, without headers that prove who asks. A
//! story's `before` makes a sandbox ready for it, as `before` in system.json does for all of them.
//! A story that says `byHand`, and why, is left as it is: a vendor's own sample, which no sandbox
//! gives word by word.
//!
//! Must not know: flows, stores, the engine, any connector. It holds a connector to what the
//! engine relies on, by the same `Api` that the engine hands out.

mod accept;
mod action;
mod again;
mod call;
mod completing;
mod expect;
mod http;
mod mapped;
mod outage;
mod pages;
mod poll;
mod promise;
mod questions;
mod record;
mod records;
mod stage;
mod story;
mod tape;
mod trigger;
mod webhook;

pub use accept::accept;
pub use promise::{Accepted, Broken, Promise, Rejected};
pub use record::{Origin, Unrecorded, outdated, record};
pub use story::Unreadable;
