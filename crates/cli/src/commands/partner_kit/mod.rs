//! `towpath partner-kit`: the document that a partner of a system hands in, and a look at its logo.

mod command;
mod logo;

pub(crate) use command::run;
