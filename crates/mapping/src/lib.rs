//! JSONata behind one type.
//!
//! [`Mapping`] compiles an expression once, is shared between threads, and evaluates it with
//! [`Limits`] on every call. Start reading in `mapping.rs`. One file per engine sits beside it
//! (`jlens.rs`, the default, and `jsonata_rs.rs`); no type of an engine leaves this crate.
//!
//! Must not know: flows, messages, connectors, clocks. The moment that `$now()` shows and the
//! seed of `$random()` are arguments, so the same call gives the same bytes.

mod analysis;
mod engine;
mod error;
mod functions;
mod guard;
mod jlens;
mod jsonata_rs;
mod limits;
mod mapping;
mod variables;

pub use analysis::{Analysis, Call, Key, Object, Origin, Read, Shape};
pub use engine::Engine;
pub use error::Error;
pub use guard::catches_panics;
pub use limits::{Limits, Moment};
pub use mapping::Mapping;
pub use variables::Variables;
