//! What the answer to an upsert says about each receiver.

use connector::prelude::*;

use super::Call;
use crate::group::Id;
use crate::members::seconds;
use crate::rejections;

/// What became of one receiver.
#[derive(Debug, PartialEq)]
pub(super) enum Row {
    Taken(Taken),
    Refused(Outcome),
    /// The answer does not tell.
    Unknown,
}

/// A receiver that was taken, as far as the answer tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Taken {
    pub(super) id: Option<Id>,
    /// Since when it is active, in epoch seconds; 0 is never.
    pub(super) activated: Option<i64>,
    /// When it unsubscribed.
    pub(super) deactivated: Option<i64>,
}

/// Reads the answer: a list of the same length, with a receiver where it was taken and a text
/// where it was not. If it is anything else, or names somebody else at a place, nothing of it is
/// taken for certain.
pub(super) fn read(answer: &Response, call: &Call<'_>) -> Result<Vec<Row>> {
    let list = match answer.json()? {
        Value::Array(list) => list,
        // One receiver may be answered alone.
        one @ Value::Object(_) => vec![one],
        _ => vec![],
    };
    let emails: Vec<&str> = call.rows.iter().map(|(_, it)| it.address()).collect();
    Ok(rows(&list, &emails, |text| answer.redact(text)))
}

fn rows(list: &[Value], emails: &[&str], redact: impl Fn(&str) -> String) -> Vec<Row> {
    let read = || {
        let pairs = list.iter().zip(emails);
        pairs.map(|(value, email)| row(value, email, &redact)).collect::<Option<Vec<_>>>()
    };
    let told = if list.len() == emails.len() { read() } else { None };
    told.unwrap_or_else(|| emails.iter().map(|_| Row::Unknown).collect())
}

/// What one place of the list says; `None` if it is about another address.
fn row(value: &Value, email: &str, redact: impl Fn(&str) -> String) -> Option<Row> {
    match value {
        Value::Object(receiver) => {
            let echo = receiver.get("email").and_then(Value::as_str);
            if echo.is_some_and(|echo| !same(echo, email)) {
                return None;
            }
            let id = receiver.get("id").and_then(Id::of);
            let time = |name| receiver.get(name).and_then(|time| seconds(Some(time)));
            let (activated, deactivated) = (time("activated"), time("deactivated"));
            let taken = |id| Row::Taken(Taken { id: Some(id), activated, deactivated });
            Some(id.map_or(Row::Unknown, taken))
        }
        Value::String(text) => refused(text, email, redact),
        _ => Some(Row::Unknown),
    }
}

fn refused(text: &str, email: &str, redact: impl Fn(&str) -> String) -> Option<Row> {
    // Reported by one client, seen in no other; a receiver that was taken must not look refused.
    if ["insert success", "update success"].iter().any(|taken| same(text, taken)) {
        return Some(Row::Taken(Taken::default()));
    }
    let quoted = text.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\''));
    // What is quoted without an `@` is no address, but what the refusal is about.
    if quoted.is_some_and(|(echo, _)| echo.contains('@') && !same(echo, email)) {
        return None;
    }
    let said = text.to_lowercase();
    let refusal = if said.contains("invalid address") {
        rejections::INVALID_ADDRESS
    } else if said.contains("duplicate address") {
        rejections::DUPLICATE_ADDRESS
    } else {
        rejections::REFUSED
    };
    Some(Row::Refused(refusal.because(redact(text))))
}

fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `.` taken, `?` unknown, otherwise the code of the refusal.
    fn shown(list: Value, emails: &[&str]) -> String {
        let list: Vec<Value> = serde_json::from_value(list).unwrap();
        let shown = rows(&list, emails, str::to_owned).into_iter().map(|row| match row {
            Row::Taken(taken) => taken.id.map_or_else(|| ".".to_owned(), |id| id.0),
            Row::Refused(Outcome::Rejected { code, .. }) => code,
            Row::Refused(outcome) => format!("{outcome:?}"),
            Row::Unknown => "?".to_owned(),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_place_tells_of_its_own_receiver() {
        let (a, b) = ("a@example.com", "b@example.com");
        for (list, expected) in [
            (json!([{ "id": "1", "email": "A@example.com" }, { "id": 2 }]), "1 2"),
            (json!(["invalid address 'a@example.com'", { "id": "2" }]), "invalidAddress 2"),
            (json!([{ "id": "1" }, "duplicate address 'B@example.com'"]), "1 duplicateAddress"),
            (json!(["quota exceeded", "update success"]), "refused ."),
            (json!([{ "id": "1" }, "unknown attribute 'shoe'"]), "1 refused"),
            (json!(["invalid value '7' of 'birthday'", { "id": "2" }]), "refused 2"),
            (json!([{ "id": "1" }, null]), "1 ?"),
            (json!([{ "email": a }, { "id": "" }]), "? ?"),
            // Of another length, or about others: nothing is certain.
            (json!([{ "id": "1" }]), "? ?"),
            (json!([{ "id": "1" }, { "id": "2" }, { "id": "3" }]), "? ?"),
            (json!([{ "id": "2", "email": b }, { "id": "1", "email": a }]), "? ?"),
            (json!([{ "id": "1" }, "invalid address 'a@example.com'"]), "? ?"),
        ] {
            assert_eq!(shown(list.clone(), &[a, b]), expected, "{list}");
        }
        let apostrophe = json!(["invalid address 'o'neil@example.com'"]);
        assert_eq!(shown(apostrophe, &["o'neil@example.com"]), "invalidAddress");
    }
}
