//! OAuth2 tokens: what is kept of them, and where they are while they are used.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{Result, Secret, Timestamp};

/// An OAuth2 token.
#[derive(Clone, Debug)]
pub struct Token {
    /// What goes into the `Authorization` header.
    pub access: Secret,
    /// What renews it, where the system gives one.
    pub refresh: Option<Secret>,
    /// The refresh token before a rotation; a system that lost its own answer may still take it.
    pub previous: Option<Secret>,
    /// When it ends, where the system says so.
    pub expires: Option<Timestamp>,
    /// When it is renewed, well ahead of that.
    pub renew: Option<Timestamp>,
    /// Whether a renewal left and its answer was not kept: the refresh token may be used up.
    pub renewing: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredToken {
    access: String,
    refresh: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renew: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    renewing: bool,
}

impl Token {
    /// The token as bytes to be sealed; never to be shown.
    pub fn to_bytes(&self) -> Vec<u8> {
        let text = |secret: &Option<Secret>| secret.as_ref().map(|it| it.expose().to_owned());
        let stored = StoredToken {
            access: self.access.expose().to_owned(),
            refresh: text(&self.refresh),
            previous: text(&self.previous),
            expires: self.expires,
            renew: self.renew,
            renewing: self.renewing,
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads what [`Token::to_bytes`] wrote; `None` if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let stored: StoredToken = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            access: Secret::new(stored.access),
            refresh: stored.refresh.map(Secret::new),
            previous: stored.previous.map(Secret::new),
            expires: stored.expires,
            renew: stored.renew,
            renewing: stored.renewing,
        })
    }

    pub(crate) fn secrets(&self) -> impl Iterator<Item = Secret> + '_ {
        let more = [&self.refresh, &self.previous].into_iter().flatten();
        [&self.access].into_iter().chain(more).cloned()
    }
}

/// Keeps tokens across restarts; the engine provides it, keyed by the account's identity.
#[async_trait]
pub trait Tokens: Send + Sync + 'static {
    /// The token that was kept, if any.
    async fn load(&self, identity: &str) -> Result<Option<Token>>;

    /// Keeps a token, sealed; durable when it returns.
    async fn save(&self, identity: &str, token: &Token) -> Result<()>;

    /// Forgets the token.
    async fn remove(&self, identity: &str) -> Result<()>;

    /// Where the token in use is. Whoever keeps tokens gives the same place for the same identity,
    /// so that all that use it renew it once.
    fn slot(&self, _identity: &str) -> Slot {
        Slot::default()
    }
}

/// The place of the token that an identity uses. All clones are one place.
#[derive(Clone, Default)]
pub struct Slot(Arc<Mutex<Held>>);

/// What is known of a token.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) token: Option<Token>,
    /// Whether the token was obtained but could not be kept: it is kept before it is used.
    pub(crate) unkept: bool,
    /// When a renewal failed that came ahead of the token's end.
    pub(crate) tried: Option<Timestamp>,
}

impl Slot {
    /// A slot that holds a token from the beginning.
    pub(crate) fn holding(token: Token) -> Self {
        Self(Arc::new(Mutex::new(Held { token: Some(token), ..Held::default() })))
    }

    /// Held across the token request on purpose: whoever waits gets the token just fetched.
    pub(crate) async fn lock(&self) -> OwnedMutexGuard<Held> {
        self.0.clone().lock_owned().await
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

/// Keeps no tokens, for a test of one connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unkept;

#[async_trait]
impl Tokens for Unkept {
    async fn load(&self, _identity: &str) -> Result<Option<Token>> {
        Ok(None)
    }

    async fn save(&self, _identity: &str, _token: &Token) -> Result<()> {
        Ok(())
    }

    async fn remove(&self, _identity: &str) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_before_is_still_a_token() {
        let kept = br#"{"access":"a","refresh":"r","expires":null}"#;
        let token = Token::from_bytes(kept).unwrap();
        assert_eq!(token.refresh.as_ref().unwrap().expose(), "r");
        assert!(!token.renewing && token.previous.is_none());
        assert_eq!(token.to_bytes(), kept);
    }
}
