//! Who asks, as handlers get to know it.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::problem::Problem;
use crate::scope::{Scope, Scopes};
use crate::session::Session;

/// Who asks, and what is open to them. Handlers take it as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    name: String,
    scopes: Scopes,
}

impl Identity {
    /// An identity: the name of a token, and what that opens.
    pub fn new(name: impl Into<String>, scopes: Scopes) -> Self {
        Self { name: name.into(), scopes }
    }

    /// The name of the token; `local` for the commands of whoever runs the service.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is open.
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Refuses unless a scope is open, for a handler where it depends on what is asked.
    pub fn needs(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.open(scope) {
            return Ok(());
        }
        let detail = format!("`{}` has no scope `{scope}`, which this needs", self.name);
        Err(Problem::forbidden("scope", detail)
            .hint("make a token with that scope by `towpath token create NAME --scope SCOPE`"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let identity = parts.extensions.get::<Self>().cloned();
        identity.ok_or_else(|| Problem::unauthorized("this needs a credential"))
    }
}

/// The session of a browser; refused to whoever comes with a token.
impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let session = parts.extensions.get::<Self>().cloned();
        session.ok_or_else(|| Problem::unauthorized("this needs the session of a browser"))
    }
}

/// The address that a request came from. A proxy's headers are not believed.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.extensions.get()))
    }
}

impl Peer {
    /// What never came over a wire comes from here.
    pub(crate) fn of(known: Option<&Self>) -> Self {
        known.copied().unwrap_or(Self(Ipv4Addr::LOCALHOST.into()))
    }
}
