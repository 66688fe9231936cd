//! CleverTap: profiles and events of a customer engagement project, uploaded by its server API.
//!
//! Start with [`connector`]; each action has its file. Credentials, roles, limits and what goes
//! wrong are in `about.md`, for whoever uses it.
//!
//! Limits: 15 uploads and 3 other requests at once per project, 1,000 records an upload (the
//! vendor's request limits). More is answered with 429 and sent again later.
//!
//! Must not know: engine, stores, flows, mappings' evaluation. It holds no state between calls.

mod account;
mod answer;
mod record;
mod rejections;
mod upload_events;
mod upload_profiles;

use connector::prelude::*;
use connector::{Failure, Values};

use upload_events::UploadEvents;
use upload_profiles::UploadProfiles;

/// From the contact model to what [`UploadProfiles`] takes.
const CONTACT_TO_PROFILE: &str = include_str!("contact-to-profile.jsonata");

/// From the contact model to what [`UploadEvents`] takes.
const CONTACT_TO_EVENT: &str = include_str!("contact-to-event.jsonata");

/// No failure of a whole call is larger; lists of refused records are, and are not searched.
const LARGEST_FAILURE: usize = 64 * 1024;

/// The regions, as the vendor's documentation lists them; another one is taken as it is.
const REGIONS: &[(&str, &str)] = &[
    ("eu", "Europe"),
    ("in1", "India"),
    ("sg1", "Singapore"),
    ("us1", "United States"),
    ("aps3", "Indonesia"),
    ("mec1", "Middle East (UAE)"),
    ("sk1", "South Korea"),
];

/// CleverTap's actions, and how to reach its server API.
pub fn connector() -> Connector {
    let auth = Auth::headers([
        (
            "X-CleverTap-Account-Id",
            Setting::plain("projectId", "The project id, such as AAA-AAA-AAAA.")
                .labelled("Project id")
                .found_at("In CleverTap: Settings > Project.")
                .checked(is_key),
        ),
        (
            "X-CleverTap-Passcode",
            Setting::secret("passcode", "The project's passcode.")
                .found_at("In CleverTap: Settings > Project.")
                .checked(is_key),
        ),
    ]);
    let region = Setting::plain("region", "The region of the project.")
        .found_at(
            "The first part of the dashboard's address: `in1` of in1.dashboard.clevertap.com.",
        )
        .choices(REGIONS);
    Connector::new("clevertap", "https://api.clevertap.com", auth)
        .about("Customer engagement: profiles of people and what they do.")
        .page(include_str!("about.md"))
        .privacy(Handling::ByHand, Handling::ByHand)
        .setting(region.or("eu").checked(is_region))
        .base_url(base_url)
        .limit("upload", 15)
        .limit("default", 3)
        .failure_inside_200(failure)
        .test(|api| Box::pin(account::test(api)))
        .action::<UploadProfiles>("uploadProfiles", CONTACT_TO_PROFILE)
        .action::<UploadEvents>("uploadEvents", CONTACT_TO_EVENT)
}

/// Europe has no prefix, under whichever of its names; the other regions have their own.
fn base_url(values: &Values) -> String {
    match values.get("region") {
        "eu" | "eu1" | "global" => "https://api.clevertap.com".to_owned(),
        region => format!("https://{region}.api.clevertap.com"),
    }
}

fn is_region(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if text.chars().all(fits) {
        return Ok(());
    }
    Err("a region is lower-case letters and digits, such as eu, in1, sg1 or us1".to_owned())
}

/// The message does not show the value: it may be the passcode.
fn is_key(text: &str) -> Result<(), String> {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Ok(());
    }
    Err("only letters, digits and hyphens belong in it; copy it again from CleverTap's settings"
        .to_owned())
}

/// Finds `{"status":"fail","error":"…","code":…}`, which may come with a 200, unless it lists
/// refused records: those are theirs, not the call's.
fn failure(body: &[u8]) -> Option<Failure> {
    #[derive(Deserialize)]
    struct Failed {
        status: String,
        error: Option<String>,
        message: Option<String>,
        code: Option<u16>,
        unprocessed: Option<Vec<serde::de::IgnoredAny>>,
    }
    if body.len() > LARGEST_FAILURE {
        return None;
    }
    let failed: Failed = serde_json::from_slice(body).ok()?;
    let listed = failed.unprocessed.is_some_and(|records| !records.is_empty());
    if failed.status != "fail" || listed {
        return None;
    }
    let message = failed.error.or(failed.message).unwrap_or_default();
    Some(Failure { status: failed.code.unwrap_or(0), message })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn account(values: &[(&str, &str)]) -> Result<connector::Account, String> {
        let values: BTreeMap<_, _> =
            values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        connector().account("engagement", None, values).map_err(|error| error.to_string())
    }

    #[test]
    fn the_region_chooses_the_host() {
        let keys = [("projectId", " AAA-AAA-AAAA "), ("passcode", "AAA-AAA-AAAB\n")];
        let host = |region: &[(&str, &str)]| {
            account(&[&keys, region].concat()).unwrap().base_url().to_string()
        };
        for europe in ["eu", "eu1", "global"] {
            assert_eq!(host(&[("region", europe)]), "https://api.clevertap.com/");
        }
        assert_eq!(host(&[]), "https://api.clevertap.com/");
        assert_eq!(host(&[("region", "in1")]), "https://in1.api.clevertap.com/");
        assert_eq!(host(&[("region", "new9")]), "https://new9.api.clevertap.com/");
    }

    #[test]
    fn settings_of_a_wrong_form_are_refused_without_showing_them() {
        let problem = |values: &[(&str, &str)]| account(values).unwrap_err();
        let passcode =
            problem(&[("projectId", "AAA-AAA-AAAA"), ("passcode", "not a real passcode")]);
        assert!(passcode.starts_with("`passcode` of account \"engagement\": only letters"));
        assert!(!passcode.contains("not a real"), "{passcode}");
        let keys = [("projectId", "AAA-AAA-AAAA"), ("passcode", "AAA-AAA-AAAB")];
        for region in ["evil.example/", "EU", "in 1"] {
            let problem = problem(&[&keys[..], &[("region", region)]].concat());
            assert!(problem.contains("a region is lower-case letters"), "{problem}");
        }
    }

    #[test]
    fn a_failure_of_the_call_is_told_from_refused_records() {
        let found = |body: &str| failure(body.as_bytes()).map(|f| (f.status, f.message));
        assert_eq!(
            found(r#"{"status":"fail","error":"Invalid Credentials","code":401}"#),
            Some((401, "Invalid Credentials".to_owned()))
        );
        assert_eq!(found(r#"{"status":"fail","unprocessed":[]}"#), Some((0, String::new())));
        for fine in [
            r#"{"status":"success","processed":2,"unprocessed":[]}"#,
            r#"{"status":"fail","processed":0,"unprocessed":[{"status":"fail","code":516}]}"#,
            "[]",
            "",
        ] {
            assert_eq!(found(fine), None, "{fine}");
        }
    }
}
