//! Values that are never shown, and the removal of their text from what is.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

/// A credential: no `Debug`, `Display` or serialisation of it shows its text.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes `text` into keeping.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself, for the one place that sends or seals it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Replaces the text of known secrets in what is about to be shown.
#[derive(Clone, Debug, Default)]
pub struct Redactor(Arc<[Secret]>);

impl Redactor {
    /// A redactor for these secrets; those too short to be told from ordinary words are left.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut secrets: Vec<_> =
            secrets.into_iter().filter(|secret| secret.expose().len() >= 4).collect();
        // The longest first, so that no remainder of it survives a shorter one's replacement.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self(secrets.into())
    }

    /// This redactor with one more secret.
    #[must_use]
    pub fn and(&self, secret: Secret) -> Self {
        Self::new(self.0.iter().cloned().chain([secret]))
    }

    /// `text` with every known secret replaced by `[secret]`.
    pub fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.expose()) {
                text.replace(secret.expose(), "[secret]")
            } else {
                text
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("not-a-real-passcode");
        assert_eq!(format!("{secret:?}"), "[secret]");
        let redactor = Redactor::new([secret, Secret::new("not-a-real"), Secret::new("a")]);
        assert_eq!(redactor.redact("a not-a-real-passcode, not-a-real"), "a [secret], [secret]");
    }
}
