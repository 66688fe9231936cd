//! What the engine lends to connectors: tokens kept in the store's vault.

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Error, Result, Token, Tokens};
use store::Store;

/// OAuth2 tokens, sealed in the vault under the account's identity.
pub(crate) struct VaultTokens(pub(crate) Arc<dyn Store>);

fn name(identity: &str) -> String {
    format!("token/{identity}")
}

#[async_trait]
impl Tokens for VaultTokens {
    async fn load(&self, identity: &str) -> Result<Option<Token>> {
        let kept = self.0.vault_get(&name(identity)).await;
        let kept = kept.map_err(|error| Error::config(format!("the vault: {error}")))?;
        // What cannot be read is no token: a new one is asked for and takes its place.
        Ok(kept.as_deref().and_then(Token::from_bytes))
    }

    async fn save(&self, identity: &str, token: &Token) -> Result<()> {
        let saved = self.0.vault_put(&name(identity), &token.to_bytes()).await;
        saved.map_err(|error| Error::config(format!("the vault: {error}")))
    }
}
