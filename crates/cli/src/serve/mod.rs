//! What `towpath serve` is made of: which flows there are, and what it says of them.
//!
//! `watch` tells when to look, `reload` looks and tells the engine's service what changed,
//! `catalogue` knows which file has which flow, and `shelf` compiles flows whose run is due.

mod catalogue;
mod check;
mod face;
mod lines;
mod reload;
mod shelf;
mod told;
#[cfg(feature = "otlp")]
mod traces;
mod watch;

pub(crate) use face::{Door, audit_file};
pub(crate) use lines::{Begin, Lines};
pub(crate) use reload::{Office, Reload};
pub(crate) use shelf::{OfShelf, Shelf};
pub(crate) use told::{Follow, Told};
#[cfg(feature = "otlp")]
pub(crate) use traces::Traces;
pub(crate) use watch::Looks;
