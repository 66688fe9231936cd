//! The stand-in of CleverTap's server API.

mod api;
mod archive;
mod check;
mod properties;
mod scalar;
mod upload;

pub(crate) use api::{CleverTap, Endpoint};
pub use archive::{Delivered, Refused};
