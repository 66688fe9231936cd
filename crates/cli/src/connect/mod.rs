//! Accounts kept: their settings in towpath.yaml, their secrets and logins sealed in the store.

mod ask;
mod book;
mod hooked;
mod lacking;
mod mentions;
mod prompt;
mod terminal;
mod written;

pub(crate) use ask::{Ask, answer, refused};
pub(crate) use book::Book;
pub(crate) use prompt::settings;
pub(crate) use terminal::{listened, pasted};
