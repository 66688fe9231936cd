//! The actions against the sandbox: what changes, what is refused, and that nothing happens twice.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod single;
mod stage;
mod upsert;
