//! Tokens: made once, shown once, kept as hashes in the store.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use connector::{Secret, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Store;

use crate::audit::{LOCAL, NOBODY};
use crate::error::{Error, Result};
use crate::random;
use crate::scope::Scopes;

/// What every token begins with, so that scanners for leaked secrets know one.
const PREFIX: &str = "towpath_";
/// What the names of tokens begin with in the vault; the token's own name follows. Those of the
/// systems that accounts log in to begin otherwise.
const KEPT: &str = "api token/";

/// The tokens of a store, in memory as long as a service runs.
pub struct Tokens {
    store: Arc<dyn Store>,
    /// By the first half of the hash, which tells nothing about the token.
    known: RwLock<HashMap<[u8; 16], Kept>>,
}

/// A token as it is kept: who has the store learns no token from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    name: String,
    /// BLAKE3 of the token. It has 256 random bits, so a slow hash would protect nothing more.
    hash: [u8; 32],
    scopes: Scopes,
    created: Timestamp,
    expires: Option<Timestamp>,
}

/// A token without itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenLine {
    /// Its name.
    pub name: String,
    /// What it opens.
    pub scopes: Scopes,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; absent is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it opens.
    pub scopes: Scopes,
    /// How long; `None` is for ever.
    pub lasts: Option<Duration>,
}

impl Tokens {
    /// Reads the tokens of a store.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self> {
        let mut known = HashMap::new();
        for name in store.vault_names(KEPT).await? {
            let Some(value) = store.vault_get(&name).await? else { continue };
            let kept: Kept = serde_json::from_slice(&value).map_err(|_| Error::Unreadable)?;
            known.insert(place(&kept.hash), kept);
        }
        Ok(Self { store, known: RwLock::new(known) })
    }

    /// Makes a token and gives it; it cannot be had again.
    pub async fn create(&self, new: NewToken, now: Timestamp) -> Result<Secret> {
        let NewToken { name, scopes, lasts } = new;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // The audit log calls those so who had none.
        let taken = name == LOCAL || name == NOBODY;
        if taken || !(1..=100).contains(&name.len()) || !name.chars().all(fits) {
            return Err(Error::TokenName { name });
        }
        if scopes.is_empty() {
            return Err(Error::NoScope);
        }
        if self.list().iter().any(|token| token.name == name) {
            return Err(Error::TokenExists { name });
        }
        let token = Secret::new(format!("{PREFIX}{}", random::unguessable()?));
        let expires = lasts.map(|lasts| now.plus(lasts));
        let kept = Kept { name, hash: hash(token.expose()), scopes, created: now, expires };
        let value = serde_json::to_vec(&kept).map_err(|_| Error::Unreadable)?;
        self.store.vault_put(&format!("{KEPT}{}", kept.name), &value).await?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(place(&kept.hash), kept);
        Ok(token)
    }

    /// Ends a token; says whether there was one of that name.
    pub async fn revoke(&self, name: &str) -> Result<bool> {
        // It opens nothing from now on, even if the store fails.
        let mut was = false;
        self.known.write().unwrap_or_else(PoisonError::into_inner).retain(|_, kept| {
            was |= kept.name == name;
            kept.name != name
        });
        Ok(self.store.vault_remove(&format!("{KEPT}{name}")).await? || was)
    }

    /// The tokens by name, without themselves; those that have ended too.
    pub fn list(&self) -> Vec<TokenLine> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<_> = known.values().map(Kept::line).collect();
        lines.sort_by(|a, b| a.name.cmp(&b.name));
        lines
    }

    /// Whether the token of this name opens something now.
    pub(crate) fn lasts(&self, name: &str, now: Timestamp) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().any(|kept| kept.name == name && kept.lasts(now))
    }

    /// Whether any token opens something now.
    pub fn any(&self, now: Timestamp) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().any(|kept| kept.lasts(now))
    }

    /// The token that a text is.
    ///
    /// The look-up goes by half of a hash, which whoever guesses cannot steer; the whole is then
    /// compared in constant time.
    pub(crate) fn find(&self, text: &str, now: Timestamp) -> Option<TokenLine> {
        let hash = hash(text);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let kept = known.get(&place(&hash))?;
        // `blake3::Hash` compares in constant time.
        let same = blake3::Hash::from_bytes(kept.hash) == blake3::Hash::from_bytes(hash);
        (same && kept.lasts(now)).then(|| kept.line())
    }
}

impl Kept {
    fn lasts(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn line(&self) -> TokenLine {
        let Self { name, scopes, created, expires, .. } = self.clone();
        TokenLine { name, scopes, created, expires }
    }
}

pub(crate) fn hash(text: &str) -> [u8; 32] {
    *blake3::hash(text.as_bytes()).as_bytes()
}

fn place(hash: &[u8; 32]) -> [u8; 16] {
    let (place, _) = hash.split_at(16);
    place.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use store::{MasterKey, MemoryStore};

    use super::*;
    use crate::Scope;

    fn new(name: &str, lasts: Option<u64>) -> NewToken {
        let scopes = [Scope::Read].into_iter().collect();
        NewToken { name: name.to_owned(), scopes, lasts: lasts.map(Duration::from_secs) }
    }

    #[tokio::test]
    async fn a_token_opens_until_it_ends_or_is_revoked_and_is_not_kept_itself() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MasterKey::generate()));
        let at = Timestamp::from_secs;
        let tokens = Tokens::open(store.clone()).await.unwrap();
        assert!(!tokens.any(at(0)));
        let ends = tokens.create(new("ends", Some(60)), at(0)).await.unwrap();
        let stays = tokens.create(new("stays", None), at(0)).await.unwrap();
        assert!(matches!(
            tokens.create(new("stays", None), at(0)).await,
            Err(Error::TokenExists { .. })
        ));
        for name in ["", "a b", "../x", "local", "nobody"] {
            let refused = tokens.create(new(name, None), at(0)).await;
            assert!(matches!(refused, Err(Error::TokenName { .. })), "{name}");
        }
        // As the next process reads them, beside what the engine keeps of systems' tokens.
        store.vault_put("token/of-a-system", b"not ours").await.unwrap();
        let tokens = Tokens::open(store.clone()).await.unwrap();
        assert_eq!(tokens.find(ends.expose(), at(59)).unwrap().name, "ends");
        assert_eq!(tokens.find(ends.expose(), at(60)), None);
        assert_eq!(tokens.find("towpath_guessed", at(0)), None);
        for name in store.vault_names("").await.unwrap() {
            let value = store.vault_get(&name).await.unwrap().unwrap();
            let text = String::from_utf8_lossy(&value).into_owned();
            assert!(!text.contains(stays.expose()), "{name}");
        }
        assert!(tokens.revoke("stays").await.unwrap());
        assert!(!tokens.revoke("stays").await.unwrap());
        assert_eq!(tokens.find(stays.expose(), at(0)), None);
        assert_eq!(Tokens::open(store).await.unwrap().list().len(), 1);
    }
}
