//! What a person meets on the first day: secrets, a new project, a mapping that is tried.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod account;
mod alerts;
mod canary;
mod dead_letters;
mod deletes;
mod doctor;
mod echo;
mod folder;
mod hooks;
mod import;
mod killed;
mod killed_attribution;
mod killed_orders;
mod map;
mod new;
mod partner_kit;
mod planted;
mod registered;
mod secret;
mod state;
mod store;
mod stream;
