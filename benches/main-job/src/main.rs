//! The smallest hand-written program that does the main job.

fn main() {}
