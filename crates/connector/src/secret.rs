//! Values that are never shown, and the removal of their text from what is.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::byte_serialize;

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

/// Replaces the text of known secrets in what is about to be shown, also where it is written
/// otherwise: escaped in JSON or a URL, as Base64 (`Authorization: Basic …` is that of more than the
/// secret), in hexadecimal digits.
#[derive(Clone, Debug, Default)]
pub struct Redactor(Arc<[Arc<Known>]>);

/// A secret, and how else it may be written; that is worked out when something is shown.
#[derive(Debug)]
struct Known(Secret, OnceLock<Vec<Secret>>);

/// From so many characters on a secret is looked for in other forms, too: those of a shorter one
/// could be ordinary words.
const LONG: usize = 8;

impl Redactor {
    /// A redactor for these secrets; those too short to be told from ordinary words are left.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self::of(secrets.into_iter().map(|secret| Arc::new(Known(secret, OnceLock::new()))))
    }

    fn of(known: impl IntoIterator<Item = Arc<Known>>) -> Self {
        let mut known: Vec<_> =
            known.into_iter().filter(|known| known.0.expose().len() >= 4).collect();
        // The longest first, so that no remainder of it survives a shorter one's replacement.
        known.sort_by_key(|known| std::cmp::Reverse(known.0.expose().len()));
        Self(known.into())
    }

    /// This redactor with one more secret.
    #[must_use]
    pub fn and(&self, secret: Secret) -> Self {
        Self::of(self.0.iter().cloned().chain([Arc::new(Known(secret, OnceLock::new()))]))
    }

    /// `text` with every known secret replaced by `[secret]`.
    pub fn redact(&self, text: &str) -> String {
        let forms = self.0.iter().flat_map(|known| {
            let others = known.1.get_or_init(|| others(known.0.expose()));
            std::iter::once(&known.0).chain(others)
        });
        forms.fold(text.to_owned(), |text, form| {
            if text.contains(form.expose()) {
                text.replace(form.expose(), "[secret]")
            } else {
                text
            }
        })
    }
}

/// How else a secret may be written, the longest form first.
fn others(secret: &str) -> Vec<Secret> {
    if secret.len() < LONG {
        return vec![];
    }
    let json = serde_json::Value::from(secret).to_string();
    let quoted = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
    let json = quoted.unwrap_or_default().to_owned();
    let form: String = byte_serialize(secret.as_bytes()).collect();
    let percent = form.replace('+', "%20");
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        json.replace('/', "\\/"),
        percent.to_lowercase(),
        hex.to_uppercase(),
        json,
        percent,
        hex,
    ];
    // OAuth2 has a client's secret escaped before it is made Base64 of.
    for text in [secret, &form] {
        for before in 0..3 {
            forms.push(within(&STANDARD_NO_PAD, text, before));
            forms.push(within(&URL_SAFE_NO_PAD, text, before));
        }
    }
    forms.push(form);
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    forms.into_iter().filter(|form| form != secret).map(Secret::new).collect()
}

/// What every Base64 text has in it that a secret stands in, behind so many bytes beyond whole
/// groups of three. The characters at both ends that others have a share in are left out.
fn within(base64: &GeneralPurpose, secret: &str, before: usize) -> String {
    let bytes = [&[0; 3][..before], secret.as_bytes()].concat();
    let text = base64.encode(&bytes);
    let shared = usize::from(bytes.len() % 3 != 0);
    let most = text.len().saturating_sub((before * 8).div_ceil(6) + shared);
    text.chars().skip((before * 8).div_ceil(6)).take(most).collect()
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
    #[test]
    fn a_secret_is_not_shown_in_another_form_either() {
        let secret = "not/a real\"pass+code?";
        let redactor = Redactor::new([Secret::new(secret)]);
        let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let form: String = byte_serialize(secret.as_bytes()).collect();
        for shown in [
            serde_json::json!({ "echo": secret }).to_string(),
            serde_json::json!({ "echo": secret }).to_string().replace('/', "\\/"),
            format!("code=1&client_secret={form}"),
            format!("/{}", form.replace('+', "%20").to_lowercase()),
            encoded(&format!("user:{secret}")),
            encoded(&format!("user1:{secret}!")),
            encoded(&format!("user22:{secret}!!")),
            encoded(&format!("id:{form}")),
            URL_SAFE_NO_PAD.encode(format!("?{secret}")),
            secret.bytes().map(|byte| format!("{byte:02X}")).collect(),
        ] {
            let redacted = redactor.redact(&shown);
            assert!(redacted.contains("[secret]"), "{shown}");
            assert!(redacted.len() <= shown.len() - secret.len() + 8, "{shown} {redacted}");
        }
        // Of a short one they could be anything.
        let short = Redactor::new([Secret::new("word")]);
        assert_eq!(short.redact(&encoded("word")), encoded("word"));
    }
}
