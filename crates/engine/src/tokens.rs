//! What the engine lends to connectors: tokens kept in the store's vault.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use connector::{Error, Result, Slot, Token, Tokens};
use store::Store;

/// OAuth2 tokens, sealed in the vault under the account's identity.
pub(crate) struct VaultTokens {
    store: Arc<dyn Store>,
    /// One an identity, so that all flows and accounts of one renew its token once.
    slots: Mutex<HashMap<String, Slot>>,
}

impl VaultTokens {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, slots: Mutex::default() }
    }
}

/// The tokens of a store, for who looks after accounts while no engine runs.
pub fn tokens(store: Arc<dyn Store>) -> Arc<dyn Tokens> {
    Arc::new(VaultTokens::new(store))
}

fn name(identity: &str) -> String {
    format!("token/{identity}")
}

fn failed(error: store::Error) -> Error {
    Error::config(format!("the vault: {error}"))
}

#[async_trait]
impl Tokens for VaultTokens {
    async fn load(&self, identity: &str) -> Result<Option<Token>> {
        let kept = self.store.vault_get(&name(identity)).await.map_err(failed)?;
        // What cannot be read is no token: a new one is asked for and takes its place.
        Ok(kept.as_deref().and_then(Token::from_bytes))
    }

    async fn save(&self, identity: &str, token: &Token) -> Result<()> {
        self.store.vault_put(&name(identity), &token.to_bytes()).await.map_err(failed)
    }

    async fn remove(&self, identity: &str) -> Result<()> {
        self.store.vault_remove(&name(identity)).await.map(drop).map_err(failed)
    }

    fn slot(&self, identity: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(identity.to_owned()).or_default().clone()
    }
}
