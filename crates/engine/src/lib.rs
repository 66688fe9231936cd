//! Runs flows.
