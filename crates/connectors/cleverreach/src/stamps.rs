//! What of a receiver tells which one it is, and when it changed; the rest stays text.

use connector::prelude::*;

use crate::group::Id;

/// The stamps of a receiver; the highest is its version. Zero means never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Field {
    Registered,
    Activated,
    Deactivated,
    Bounced,
}

impl Field {
    pub(crate) const ALL: [Self; 4] =
        [Self::Registered, Self::Activated, Self::Deactivated, Self::Bounced];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Activated => "activated",
            Self::Deactivated => "deactivated",
            Self::Bounced => "bounced",
        }
    }
}

/// A receiver as one of its groups has it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Known {
    pub(crate) id: Value,
    group_id: Value,
    active: Value,
    registered: Value,
    activated: Value,
    deactivated: Value,
    bounced: Value,
}

impl Known {
    /// `None` if the receiver is no object.
    pub(crate) fn of(receiver: &RawValue) -> Option<Self> {
        serde_json::from_str(receiver.get()).ok()
    }

    /// The group that has it so, if that is told.
    pub(crate) fn group(&self) -> Option<String> {
        Id::of(&self.group_id).map(|Id(id)| id).filter(|id| id != "0")
    }

    /// Whether it gets mail; by its stamps where that is not told.
    pub(crate) fn is_active(&self) -> bool {
        let by_stamps = || {
            self.stamp(Field::Activated).is_some_and(|at| at > 0)
                && self.stamp(Field::Deactivated) == Some(0)
        };
        self.active.as_bool().unwrap_or_else(by_stamps)
    }

    /// A stamp in epoch seconds, from a number or a string of one; 0 if it never happened, `None`
    /// if it is neither.
    pub(crate) fn stamp(&self, field: Field) -> Option<i64> {
        let stamp = match field {
            Field::Registered => &self.registered,
            Field::Activated => &self.activated,
            Field::Deactivated => &self.deactivated,
            Field::Bounced => &self.bounced,
        };
        match stamp {
            Value::Null => Some(0),
            Value::Number(number) => number.as_i64(),
            Value::String(text) if text.trim().is_empty() => Some(0),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The highest stamp; the error is the first that is none.
    pub(crate) fn newest(&self) -> Result<i64, Field> {
        let mut newest = 0;
        for field in Field::ALL {
            newest = newest.max(self.stamp(field).ok_or(field)?);
        }
        Ok(newest)
    }
}

/// Makes a record of a receiver, of which this is known; `whose` says where it was found.
pub(crate) fn record(data: Box<RawValue>, known: &Known, whose: &str) -> Result<Record> {
    let nonsense =
        |what: &str| Error::retry(format!("CleverReach gave a receiver of {whose} {what}"));
    let Some(Id(key)) = Id::of(&known.id) else {
        return Err(nonsense("without an id; no receiver is left out for that"));
    };
    let newest = known.newest().map_err(|field| {
        let name = field.name();
        nonsense(&format!("(id {key}) whose `{name}` is not a number of epoch seconds"))
    })?;
    let version = (newest > 0).then(|| Timestamp::from_secs(newest));
    Ok(Record { key, version, data })
}

/// The same record, known by its receiver's address.
pub(crate) fn by_address(record: Record, whose: &str) -> Result<Record> {
    #[derive(Deserialize)]
    struct Address<'a> {
        #[serde(borrow, default)]
        email: Option<std::borrow::Cow<'a, str>>,
    }
    let found = serde_json::from_str::<Address<'_>>(record.data.get()).ok();
    let key = found.and_then(|it| it.email).map(|email| address_key(&email)).unwrap_or_default();
    if key.is_empty() {
        let (id, said) = (&record.key, "without an address, by which it is to be known");
        return Err(Error::retry(format!(
            "CleverReach gave a receiver of {whose} (id {id}) {said}"
        )));
    }
    Ok(Record { key, ..record })
}

/// An address as a record's key: in small letters, since CleverReach tells none apart by their case.
pub(crate) fn address_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The group whose view of a receiver a record is. A record that is younger than this view says was
/// found by what another of its groups has: it is nobody's.
pub(crate) fn part(record: &Record) -> Option<String> {
    let known = Known::of(&record.data)?;
    let newest = known.newest().ok()?;
    let is_younger = record.version.is_some_and(|version| version.secs() > newest);
    if is_younger { None } else { known.group() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_a_number_or_a_string_of_one() {
        let stamp = |bounced: Value| Known { bounced, ..Known::default() }.stamp(Field::Bounced);
        assert_eq!(stamp(json!(1_627_283_954)), Some(1_627_283_954));
        assert_eq!(stamp(json!("1627283954")), Some(1_627_283_954));
        for never in [json!(null), json!(0), json!("0"), json!("")] {
            assert_eq!(stamp(never), Some(0));
        }
        for odd in [json!("yesterday"), json!(true), json!([1]), json!(1.5)] {
            assert_eq!(stamp(odd), None);
        }
    }
}
