//! Which receivers of a call are there already, and in which state.

use std::collections::{HashMap, HashSet};

use connector::prelude::*;

use super::Call;

/// As long may the address list of one question be, escaped; servers refuse longer lines than
/// 8,000 or so.
const LONGEST_LIST: usize = 5000;
/// As long after its creation may a receiver that was created here still get its mail: a call
/// that is repeated, after a failure or a crash, finds it there already. Later nobody expects it.
const MAIL_WINDOW: i64 = 60 * 60;
/// Ends the source of a receiver whose mail has not left yet.
const PENDING: &str = " (mail pending)";
/// Ends the source of a receiver whose mail did not leave while it was expected.
const NEVER: &str = " (mail never sent)";

/// The receivers that are there.
pub(super) struct Known {
    by_email: HashMap<String, State>,
    now: Timestamp,
}

/// The state of a receiver that is there.
pub(super) struct State {
    pub(super) registered: i64,
    activated: i64,
    deactivated: i64,
    source: String,
}

#[derive(Deserialize)]
struct Found {
    email: String,
    registered: Option<Value>,
    activated: Option<Value>,
    deactivated: Option<Value>,
    source: Option<String>,
}

impl Known {
    /// Looks the receivers of a call up in its group.
    pub(super) async fn ask(api: &Api, call: &Call<'_>) -> Result<Self> {
        let (api, observed) = api.observed();
        let emails: Vec<&str> = call.rows.iter().map(|(_, it)| it.address()).collect();
        let mut by_email = HashMap::with_capacity(emails.len());
        for emails in parts(&emails) {
            let request = api.get(["groups.json", &call.group.0, "receivers"]);
            let request = request
                .query("email_list", emails.join(","))
                .query("pagesize", emails.len())
                .query("page", 0)
                .query("type", "all")
                .query("detail", 0)
                .accept(StatusCode::NOT_FOUND);
            let answer = request.send().await?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Err(crate::group::unknown(&call.group));
            }
            if answer.status() == StatusCode::NO_CONTENT {
                continue;
            }
            let asked: HashSet<String> = emails.iter().map(|email| email.to_lowercase()).collect();
            for found in answer.json::<Vec<Found>>()? {
                let email = found.email.trim().to_lowercase();
                // A list that was not looked at would make known receivers new ones.
                if !asked.contains(&email) {
                    return Err(answer.nonsense("with receivers that were not asked for"));
                }
                let state = State::of(found);
                let state = state
                    .ok_or_else(|| answer.nonsense("with times that are not epoch seconds"))?;
                by_email.insert(email, state);
            }
        }
        // The vendor's own time, where it tells it: stamps of another clock would be out of order.
        let now = observed.date().unwrap_or_else(|| api.now());
        Ok(Self { by_email, now })
    }

    pub(super) fn get(&self, email: &str) -> Option<&State> {
        self.by_email.get(&email.to_lowercase())
    }

    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }
}

impl State {
    fn of(found: Found) -> Option<Self> {
        Some(Self {
            registered: seconds(found.registered.as_ref())?,
            activated: seconds(found.activated.as_ref())?,
            deactivated: seconds(found.deactivated.as_ref())?,
            source: found.source.unwrap_or_default(),
        })
    }

    pub(super) const fn is_active(&self) -> bool {
        self.activated > 0 && self.deactivated == 0
    }

    /// What its source and its dates say of the mail that asks it to confirm.
    pub(super) fn mail(&self, now: i64) -> Mail {
        if self.bare_source().is_none() {
            return Mail::Left;
        }
        if self.activated > 0 || self.deactivated > 0 {
            return Mail::Answered;
        }
        if self.source.ends_with(NEVER) {
            return Mail::Never;
        }
        let young = now.saturating_sub(self.registered) < MAIL_WINDOW;
        if young { Mail::Due } else { Mail::Late }
    }

    /// The source without the mark of a mail; `None` if it has none.
    pub(super) fn bare_source(&self) -> Option<&str> {
        self.source.strip_suffix(PENDING).or_else(|| self.source.strip_suffix(NEVER))
    }
}

/// What became of the mail that asks a known receiver to confirm.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mail {
    /// It left, or it was never to be sent from here.
    Left,
    /// The receiver was marked, and confirmed or unsubscribed since.
    Answered,
    /// It has not left, and is still expected.
    Due,
    /// It has not left, and is expected no more.
    Late,
    /// It was late before, and that is noted.
    Never,
}

/// The source of a receiver whose mail has not left yet.
pub(super) fn pending(source: &str) -> String {
    format!("{source}{PENDING}")
}

/// The source of a receiver whose mail did not leave while it was expected.
pub(super) fn never(source: &str) -> String {
    format!("{source}{NEVER}")
}

/// Epoch seconds, from a number or a string of one; 0 if there are none.
fn seconds(value: Option<&Value>) -> Option<i64> {
    match value {
        None | Some(Value::Null) => Some(0),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) if text.trim().is_empty() => Some(0),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    }
}

/// Splits addresses into lists that fit into a line.
fn parts<'e>(emails: &[&'e str]) -> Vec<Vec<&'e str>> {
    let mut parts: Vec<Vec<&str>> = vec![];
    let mut left = 0;
    for email in emails {
        // `@` and the comma between are escaped, and so is everything beyond letters and digits.
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let escaped = email.bytes().filter(|byte| !plain(byte)).count();
        let length = email.len() + 2 * escaped + 3;
        match parts.last_mut() {
            Some(part) if length <= left => {
                part.push(email);
                left -= length;
            }
            _ => {
                parts.push(vec![email]);
                left = LONGEST_LIST.saturating_sub(length);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stay_short_and_keep_everybody() {
        let emails: Vec<String> = (0..500).map(|n| format!("some.body.{n}@example.com")).collect();
        let emails: Vec<&str> = emails.iter().map(String::as_str).collect();
        let parts = parts(&emails);
        assert_eq!(parts.concat(), emails);
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| part.join("%2C").replace('@', "%40").len() <= 5000));
    }

    #[test]
    fn a_mail_is_due_while_the_source_is_marked_and_the_receiver_is_young() {
        let state = |activated, deactivated, source: &str| State {
            registered: 10_000,
            activated,
            deactivated,
            source: source.to_owned(),
        };
        let (due, late) = (pending("Towpath"), never("Towpath"));
        assert_eq!(state(0, 0, &due).mail(13_599), Mail::Due);
        assert_eq!(state(0, 0, &due).mail(13_600), Mail::Late);
        assert_eq!(state(0, 0, &late).mail(10_001), Mail::Never);
        assert_eq!(state(0, 0, "Towpath").mail(10_001), Mail::Left);
        assert_eq!(state(10_001, 0, &due).mail(10_002), Mail::Answered);
        assert_eq!(state(0, 10_001, &late).mail(20_000), Mail::Answered);
        assert_eq!(state(0, 0, &late).bare_source(), Some("Towpath"));
    }
}
