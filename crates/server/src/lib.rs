//! The HTTP face of a running service: its API, its pages, and the few paths that are public.
//!
//! Start with [`Server`]: it is put together from [`Options`] and gives two axum routers, one for
//! whoever has a credential and one with nothing but the public paths. Every route is in one table
//! ([`Routes`]), with the [`Scope`] that it needs, so no route can be forgotten by `guard`, which
//! asks every request who it is.
//!
//! The door: `listen` (connections), `shell` (limits, headers, what breaks), `guard` (credentials,
//! throttle, forgery), then the routes. `token` and `session` are the two kinds of credentials,
//! `audit` is the log of who did what. `api` is what they come for.
//!
//! This crate opens no socket and no store by itself, and names no connector.

pub mod accounts;
mod api;
mod audit;
pub mod cookie;
mod error;
mod extract;
mod guard;
mod home;
pub mod hooks;
mod idempotency;
mod identity;
pub mod listen;
mod metrics;
pub mod page;
mod probes;
mod problem;
mod project;
mod random;
mod routes;
mod scope;
mod server;
mod session;
mod shell;
mod signing;
mod throttle;
mod token;

pub use audit::Audit;
pub use error::{Error, Result};
pub use extract::{Json, Path, Query};
pub use identity::{Identity, Peer};
pub use problem::Problem;
pub use project::{Listed, Project};
pub use random::local_token;
pub use routes::{Access, Route, Routes, delete, get, patch, post, put};
pub use scope::{Scope, Scopes};
pub use server::{Events, Options, Running, Server, Settings};
pub use session::Session;
pub use token::{NewToken, TokenLine, Tokens};
