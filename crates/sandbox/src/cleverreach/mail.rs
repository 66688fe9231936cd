//! `POST /forms/{id}/send/activate` and `deactivate`: the mails by which a receiver confirms its
//! address, or that it wants no more mail; and the forms that they belong to.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::directory::Directory;
use crate::answer::Answer;
use crate::options::Switches;

/// What a mail asks a receiver to confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MailKind {
    /// That it wants mail.
    Activate,
    /// That it wants no more.
    Deactivate,
}

/// A confirmation mail that was sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mail {
    /// What it asks for.
    pub kind: MailKind,
    /// The form that it belongs to.
    pub form: String,
    /// Whom it went to.
    pub email: String,
    /// What was said about the sign-up: `user_ip`, `referer`, `user_agent`.
    pub doidata: Value,
}

#[derive(Deserialize)]
struct Body {
    email: String,
    #[serde(default)]
    doidata: Value,
}

/// The forms of a group: here every group has all of them. What else the vendor tells of a form is not
/// documented.
pub(super) fn forms(forms: &[u64]) -> Value {
    let form = |id: &u64| json!({ "id": id.to_string(), "name": format!("Form {id}") });
    forms.iter().map(form).collect()
}

/// Sends a mail, or says why not.
pub(super) fn send(
    directory: &Directory,
    forms: &[u64],
    (form, kind): (&str, MailKind),
    body: &[u8],
    switches: &Switches,
) -> Result<Mail, Answer> {
    if !forms.iter().any(|known| known.to_string() == form) {
        return Err(Answer::error(404, "Not Found"));
    }
    let Ok(Body { email, doidata }) = serde_json::from_slice(body) else {
        return Err(Answer::error(400, "Bad Request: email is missing"));
    };
    let told =
        |name: &str| doidata.get(name).and_then(Value::as_str).is_some_and(|t| !t.is_empty());
    if switches.doidata_needed && !["user_ip", "referer", "user_agent"].into_iter().all(told) {
        return Err(Answer::error(400, "Bad Request: invalid doidata"));
    }
    if directory.get_by_email(&email).is_none() {
        return Err(Answer::error(404, "Not Found"));
    }
    Ok(Mail { kind, form: form.to_owned(), email, doidata })
}
