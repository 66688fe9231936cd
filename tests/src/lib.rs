//! Whole-system tests: real flows, the real engine and store.
//!
//! The stories are in `tests/`, one file a subject. [`World`] runs flow files against the
//! sandbox; [`Board`] scripts a system without a network, for what no vendor does on demand.

#![allow(clippy::unwrap_used, reason = "only tests use this crate")]

pub mod between;
mod board;
mod calls;
mod dying;
mod runs;
mod waiting;
pub mod world;

pub use between::Between;
pub use board::{
    Board, Delivered, Endless, flow_of, parked, record, step_once, step_to, sweeping_flow_of,
};
pub use calls::Calls;
pub use dying::{Dying, Moment};
pub use runs::{Runs, answering};
pub use waiting::Waiting;
pub use world::{START, World};
