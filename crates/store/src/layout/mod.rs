//! How keys and values are laid out.

mod keys;
mod values;

pub(crate) use keys::*;
pub(crate) use values::*;
