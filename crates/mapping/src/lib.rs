//! JSONata behind one type.
//!
//! [`Mapping`] compiles an expression once, is shared between threads, and evaluates it with
//! [`Limits`] on every call. Start reading in `mapping.rs`. One file per engine sits beside it
//! (`jlens.rs`); no type of an engine leaves this crate.
//!
//! Must not know: flows, messages, connectors, clocks. The moment that `$now()` shows and the
//! seed of `$random()` are arguments, so the same call gives the same bytes.

mod error;
mod functions;
mod jlens;
mod limits;
mod mapping;
mod variables;

pub use error::Error;
pub use limits::{Limits, Moment};
pub use mapping::Mapping;
pub use variables::Variables;
