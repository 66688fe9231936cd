//! Standard error without the secrets of the accounts in use.
//!
//! Whoever has a secret takes it out of what is said (`connector::Redactor`); this is the net below,
//! for what nobody thought of.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{PoisonError, RwLock};

use connector::Redactor;

static HIDDEN: RwLock<BTreeMap<String, Redactor>> = RwLock::new(BTreeMap::new());

/// Takes the secrets of an account out of every line from now on.
pub(crate) fn hide(account: &str, secrets: Redactor) {
    let mut hidden = HIDDEN.write().unwrap_or_else(PoisonError::into_inner);
    hidden.insert(account.to_owned(), secrets);
}

fn redacted(text: &str) -> String {
    let hidden = HIDDEN.read().unwrap_or_else(PoisonError::into_inner);
    hidden.values().fold(text.to_owned(), |text, redactor| redactor.redact(&text))
}

/// Writes a whole line.
pub(super) fn line(text: &str) {
    // Nobody hears of a standard error that is gone.
    drop(writeln!(io::stderr().lock(), "{}", redacted(text)));
}

/// Standard error, to which whole lines are written.
pub(super) struct Stderr;

impl Stderr {
    pub(super) const fn new() -> Self {
        Self
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = redacted(&String::from_utf8_lossy(bytes));
        io::stderr().lock().write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use connector::Secret;

    use super::*;

    #[test]
    fn a_secret_in_use_is_in_no_line() {
        hide("engagement", Redactor::new([Secret::new("CANARY-not-a-secret")]));
        assert_eq!(redacted(r#"{"reason":"CANARY-not-a-secret"}"#), r#"{"reason":"[secret]"}"#);
    }
}
