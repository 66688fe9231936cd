//! What parsers complain of, in words for who wrote the file.

pub(crate) mod jsonata;
pub(crate) mod yaml;
