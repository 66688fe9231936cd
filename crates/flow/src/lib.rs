//! What a flow file says, checked.

mod flow;
pub mod message;
mod test;

pub use flow::{Flow, MaxRejects, Results, Retry, Step, Transformation, Trigger};
pub use test::Test;
