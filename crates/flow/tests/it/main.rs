//! What people see of a checked flow file.

extern crate towpath_flow as flow;

mod across;
mod config;
mod crm;
mod deletes;
mod engines;
mod findings;
mod pages;
mod right;
mod schedule;
mod schedule_findings;
mod schema;
