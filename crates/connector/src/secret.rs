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

/// So many characters of a form are taken for the beginning of the rest.
const BEGIN: usize = 12;

impl Redactor {
    /// A redactor for these secrets; those too short to be told from ordinary words are left.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self::of(secrets.into_iter().map(|secret| Arc::new(Known(secret, OnceLock::new()))))
    }

    fn of(known: impl IntoIterator<Item = Arc<Known>>) -> Self {
        Self(known.into_iter().filter(|known| known.0.expose().len() >= 4).collect())
    }

    /// This redactor with one more secret.
    #[must_use]
    pub fn and(&self, secret: Secret) -> Self {
        Self::of(self.0.iter().cloned().chain([Arc::new(Known(secret, OnceLock::new()))]))
    }

    /// `text` with every known secret replaced by `[secret]`, also where it breaks off: systems show
    /// the beginning of what they refuse.
    pub fn redact(&self, text: &str) -> String {
        let forms = self.0.iter().flat_map(|known| {
            let others = known.1.get_or_init(|| others(known.0.expose()));
            std::iter::once(&known.0).chain(others)
        });
        let mut places: Vec<_> = forms.flat_map(|form| places(text, form.expose())).collect();
        places.sort_unstable();
        let (mut shown, mut end) = (String::with_capacity(text.len()), 0);
        for (from, to) in places {
            // One that begins within another is a part of it, or goes on behind it.
            if from >= end {
                shown.push_str(text.get(end..from).unwrap_or_default());
                shown.push_str("[secret]");
            }
            end = end.max(to);
        }
        shown.push_str(text.get(end..).unwrap_or_default());
        shown
    }
}

/// Where a form of a secret stands in a text, or the beginning of it: from and to which byte.
fn places(text: &str, form: &str) -> Vec<(usize, usize)> {
    let begin = form.char_indices().nth(BEGIN).map_or(form, |(end, _)| form.split_at(end).0);
    let found = text.match_indices(begin).map(|(from, _)| {
        let rest = text.get(from..).unwrap_or_default().chars();
        let same = rest.zip(form.chars()).take_while(|(one, other)| one == other);
        (from, from + same.map(|(same, _)| same.len_utf8()).sum::<usize>())
    });
    found.collect()
}

/// How else a secret may be written.
fn others(secret: &str) -> Vec<Secret> {
    if secret.len() < LONG {
        return vec![];
    }
    let json = serde_json::Value::from(secret).to_string();
    let quoted = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
    let json = quoted.unwrap_or_default().to_owned();
    let form: String = byte_serialize(secret.as_bytes()).collect();
    let percent = form.replace('+', "%20");
    let lower = percent.split('%').enumerate().map(|(at, part)| match part.split_at_checked(2) {
        Some((digits, rest)) if at > 0 => format!("%{}{rest}", digits.to_lowercase()),
        _ => part.to_owned(),
    });
    let lower: String = lower.collect();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![json.replace('/', "\\/"), lower, hex.to_uppercase(), json, percent, hex];
    // OAuth2 has a client's secret escaped before it is made Base64 of.
    for text in [secret, &form] {
        for before in 0..3 {
            forms.push(within(&STANDARD_NO_PAD, text, before));
            forms.push(within(&URL_SAFE_NO_PAD, text, before));
        }
    }
    forms.push(form);
    forms.sort_unstable();
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
        let secret = "Not/a real\"pass+code?";
        let redactor = Redactor::new([Secret::new(secret)]);
        let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let form: String = byte_serialize(secret.as_bytes()).collect();
        for shown in [
            serde_json::json!({ "echo": secret }).to_string(),
            serde_json::json!({ "echo": secret }).to_string().replace('/', "\\/"),
            format!("code=1&client_secret={form}"),
            "/Not%2fa%20real%22pass%2bcode%3f".to_owned(),
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
        for cut in [12, 13, 20] {
            let (cut, _) = secret.split_at(cut);
            assert_eq!(redactor.redact(&format!("{cut}… and {cut}")), "[secret]… and [secret]");
        }
        let (cut, _) = secret.split_at(11);
        assert_eq!(redactor.redact(cut), cut);
        // Of a short one they could be anything.
        let short = Redactor::new([Secret::new("word")]);
        assert_eq!(short.redact(&encoded("word")), encoded("word"));
    }
}
