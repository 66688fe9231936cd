//! What can go wrong before a request is answered.

use std::net::SocketAddr;

/// Why the server cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that others can reach needs a token first.
    #[error(
        "{address} can be reached from other machines, and there is no token yet: make one with \
         `towpath token create NAME --scope read --scope operate`, or listen on 127.0.0.1"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// A token of that name is there already.
    #[error("there is a token {name} already: revoke it first, or choose another name")]
    TokenExists {
        /// Its name.
        name: String,
    },
    /// A token cannot be called so.
    #[error(
        "a token cannot be called `{name}`: letters, digits, `-`, `_` and `.`, at most 100 of them, \
         and neither `local` nor `nobody`"
    )]
    TokenName {
        /// The name.
        name: String,
    },
    /// A token without scopes would open nothing.
    #[error("a token needs at least one scope: read, operate, connect or admin")]
    NoScope,
    /// The system gave no random numbers: nothing secret can be made.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The store did not take or give something.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What is kept of a token cannot be read.
    #[error("a token is kept in a form of a newer towpath")]
    Unreadable,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
