//! What makes CleverTap refuse one record of an upload, and in which words.

use std::borrow::Cow;

use super::properties::{EventData, ProfileData};
use super::scalar::Scalar;
use crate::options::Switches;

/// The last second that has ten digits: what is larger is taken for milliseconds.
const LAST_SECOND: i64 = 9_999_999_999;

const RESTRICTED: [&str; 17] = [
    "notificationsent",
    "notificationviewed",
    "notificationclicked",
    "notificationdelivered",
    "notificationreplied",
    "utmvisited",
    "applaunched",
    "appuninstalled",
    "appversionchanged",
    "stayed",
    "replysent",
    "experimentrendered",
    "reachableby",
    "identityreset",
    "identityset",
    "identityerror",
    "webpageviewed",
];
const TOKEN_TYPES: [&str; 6] = ["chrome", "fcm", "gcm", "apns", "wns", "mpns"];

/// Why a record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    /// The text without `Skipped record number : N`.
    ///
    /// Those of 513, 515 to 518, 520 and 525 are recorded from the real API, odd spaces included;
    /// the others follow their pattern.
    pub(super) text: &'static str,
}

pub(super) const fn refusal(code: u16, text: &'static str) -> Refusal {
    Refusal { code, text }
}

/// What an accepted record is.
#[derive(Debug, PartialEq)]
pub(super) enum Accepted<'a> {
    Profile { owner: Owner<'a> },
    Event { owner: Owner<'a>, name: String, ts: Option<i64> },
    Token,
}

/// Whose record it is: the kind of identifier and its value.
#[derive(Debug, PartialEq)]
pub(super) struct Owner<'a> {
    pub(super) kind: &'static str,
    pub(super) value: Cow<'a, str>,
}

/// Reads and checks one record.
pub(super) fn check<'a>(raw: &'a str, switches: &Switches) -> Result<Accepted<'a>, Refusal> {
    let neither = refusal(524, "Record is neither an event nor a profile. ");
    let Ok(record) = serde_json::from_str::<Record<'a>>(raw) else { return Err(neither) };
    match record.kind.text() {
        Some("profile") => {
            let owner = record.owner()?;
            check_time(&record.ts)?;
            record.profile.verdict(&record.event_data, switches)?;
            Ok(Accepted::Profile { owner })
        }
        Some("event") => {
            let owner = record.owner()?;
            check_time(&record.ts)?;
            let name = match record.event_name.text().map(str::trim) {
                Some(name) if !name.is_empty() => name.to_owned(),
                _ => return Err(refusal(509, "Event name is mandatory. ")),
            };
            let plain: String = name.chars().filter(|c| !c.is_whitespace()).collect();
            if RESTRICTED.contains(&plain.to_ascii_lowercase().as_str()) {
                let text = "Event Name is incorrect. ErrorCode: 513 - Trying to raise a \
                            restricted system event. ";
                return Err(refusal(513, text));
            }
            let same = |it: &String| it.replace(' ', "").eq_ignore_ascii_case(&plain);
            if switches.discarded_events.iter().any(same) {
                return Err(refusal(528, "Event is discarded. "));
            }
            record.event_data.verdict(&name, switches)?;
            Ok(Accepted::Event { owner, name, ts: record.ts.integer() })
        }
        Some("token") => {
            if record.object_id.text().is_none_or(str::is_empty) {
                return Err(refusal(530, "Token data is incorrect. Object id is not valid."));
            }
            let Some(data) = record.token else {
                return Err(refusal(531, "Token data is incorrect. "));
            };
            if data.id.text().is_none_or(str::is_empty) {
                return Err(refusal(532, "Token data is incorrect. Token id is missing."));
            }
            match data.kind.text() {
                None => Err(refusal(533, "Token data is incorrect. Token type is missing.")),
                Some(kind) if !TOKEN_TYPES.contains(&kind) => {
                    Err(refusal(534, "Token data is incorrect. Token type is not valid."))
                }
                Some(kind) if kind != "chrome" && !data.keys.is_absent() => {
                    Err(refusal(535, "Token data is incorrect. "))
                }
                Some(_) => Ok(Accepted::Token),
            }
        }
        _ => Err(neither),
    }
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Record<'a> {
    #[serde(rename = "type", default)]
    kind: Scalar<'a>,
    #[serde(default)]
    identity: Scalar<'a>,
    #[serde(rename = "FBID", default)]
    facebook: Scalar<'a>,
    #[serde(rename = "GPID", default)]
    google: Scalar<'a>,
    #[serde(rename = "objectId", default)]
    object_id: Scalar<'a>,
    #[serde(default)]
    ts: Scalar<'a>,
    #[serde(rename = "profileData", default)]
    profile: ProfileData,
    #[serde(rename = "evtName", default)]
    event_name: Scalar<'a>,
    #[serde(rename = "evtData", default)]
    event_data: EventData,
    #[serde(rename = "tokenData", default)]
    token: Option<TokenData<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct TokenData<'a> {
    #[serde(default)]
    id: Scalar<'a>,
    #[serde(rename = "type", default)]
    kind: Scalar<'a>,
    #[serde(default)]
    keys: Scalar<'a>,
}

impl<'a> Record<'a> {
    /// Gives the one identifier; numbers count as their digits.
    fn owner(&self) -> Result<Owner<'a>, Refusal> {
        let all = [
            ("identity", &self.identity),
            ("FBID", &self.facebook),
            ("GPID", &self.google),
            ("objectId", &self.object_id),
        ];
        let mut given = all.into_iter().filter(|(_, value)| !value.is_absent());
        let Some((kind, value)) = given.next() else {
            return Err(refusal(523, "Record has no identity. "));
        };
        if given.next().is_some() {
            return Err(refusal(555, "Record has more than one identity. "));
        }
        let value = match value {
            Scalar::Text(text) if !text.trim().is_empty() => text.clone(),
            Scalar::Integer(number) => number.to_string().into(),
            _ if kind == "objectId" => return Err(refusal(526, "Object id is not valid. ")),
            _ => return Err(refusal(523, "Record has no identity. ")),
        };
        Ok(Owner { kind, value })
    }
}

/// Whether a number is a time in epoch seconds.
pub(super) fn is_time(second: i64) -> bool {
    (0..=LAST_SECOND).contains(&second)
}

fn check_time(ts: &Scalar<'_>) -> Result<(), Refusal> {
    match ts {
        Scalar::Absent => Ok(()),
        Scalar::Integer(second) if is_time(*second) => Ok(()),
        _ => Err(refusal(525, "Timestamp should be present in the Unix Epoch format. ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(raw: &str) -> u16 {
        check(raw, &Switches::default()).map_or_else(|refused| refused.code, |_| 0)
    }

    #[test]
    fn profiles_are_refused_by_the_documented_codes() {
        for (data, expected) in [
            (r#"{"Name":"Ä","Email":"a@b.de","Phone":"+14155551234","MSG-sms":false}"#, 0),
            (r#"{"DOB":"$D_1487576752","Customer Type":"Platinum","Age":33}"#, 0),
            (r#"{"Gender":"X"}"#, 514),
            (r#"{"Email":""}"#, 515),
            (r#"{"Email":"a@b","Phone":"1"}"#, 515),
            (r#"{"Phone":"0441 12345"}"#, 516),
            (r#"{"Employed":true}"#, 517),
            (r#"{"Education":"PhD"}"#, 518),
            (r#"{"Married":"yes"}"#, 519),
            (r#"{"Age":0}"#, 520),
            (r#"{"a.b":1}"#, 555),
            ("[]", 555),
        ] {
            let raw = format!(r#"{{"identity":"1","type":"profile","profileData":{data}}}"#);
            assert_eq!(code(&raw), expected, "{data}");
        }
    }

    #[test]
    fn records_are_refused_by_the_documented_codes() {
        for (raw, expected) in [
            (r#"{"type":"profile","profileData":{}}"#, 523),
            (r#"{"type":"profile","identity":"1"}"#, 524),
            (r#"{"identity":"1","profileData":{}}"#, 524),
            ("7", 524),
            (r#"{"type":"profile","identity":"1","FBID":"2","profileData":{}}"#, 555),
            (r#"{"type":"profile","identity":1,"ts":1468308340,"profileData":{}}"#, 0),
            (r#"{"type":"profile","identity":"1","ts":1468308340000,"profileData":{}}"#, 525),
            (r#"{"type":"event","identity":"1","evtData":{}}"#, 509),
            (r#"{"type":"event","identity":"1","evtName":"A","evtData":7}"#, 512),
            (r#"{"type":"event","identity":"1","evtName":"app launched"}"#, 513),
            (r#"{"type":"event","identity":"1","evtName":"Charged","evtData":{"Amount":3}}"#, 0),
            (r#"{"type":"token","tokenData":{"id":"x","type":"fcm"},"objectId":"__g1"}"#, 0),
            (r#"{"type":"token","tokenData":{"id":"x","type":"fax"},"objectId":"__g1"}"#, 534),
        ] {
            assert_eq!(code(raw), expected, "{raw}");
        }
    }
}
