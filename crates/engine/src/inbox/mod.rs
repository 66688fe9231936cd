//! Flows that are called: what comes is kept in the inbox, and taken from there page by page.

mod answer;
mod door;
mod entry;
mod minutes;
mod page;
mod told;

pub(crate) use door::ROOM;
pub use door::{Called, Door, Entrance, Turned};
pub(crate) use page::page;
pub(crate) use told::tell;
