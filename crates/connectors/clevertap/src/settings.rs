//! What an account of CleverTap is asked for, and where its project is.

use chrono_tz::Tz;
use connector::prelude::*;
use connector::{Connector, Values};

/// The regions and their countries; the vendor's page about attribution lists these seven. Their
/// names in addresses (`eu1`, `in1`, …) are taken too, and another one is taken as it is.
const REGIONS: &[(&str, &str)] = &[
    ("eu", "Europe"),
    ("in", "India"),
    ("us", "United States"),
    ("sg", "Singapore"),
    ("sk", "South Korea"),
    ("aps3", "Indonesia"),
    ("mec1", "Middle East (United Arab Emirates)"),
];

const IN_SETTINGS: &str = "In CleverTap: Settings > Project.";

pub(crate) const REGION: &str = "region";
pub(crate) const TOKEN: &str = "token";
pub(crate) const PARTNER_NAME: &str = "partnerName";
pub(crate) const PARTNER_ID: &str = "partnerId";
pub(crate) const TIMEZONE: &str = "timezone";
pub(crate) const PER_SECOND: &str = "requestsPerSecond";

/// The headers of every request.
pub(crate) fn auth() -> Auth {
    Auth::headers([
        (
            "X-CleverTap-Account-Id",
            Setting::plain("projectId", "The project id, such as AAA-AAA-AAAA.")
                .labelled("Project id")
                .found_at(IN_SETTINGS)
                .checked(is_key),
        ),
        (
            "X-CleverTap-Passcode",
            Setting::secret("passcode", "The project's passcode.")
                .found_at(IN_SETTINGS)
                .checked(is_key),
        ),
    ])
}

/// Adds the settings beside those of the headers.
pub(crate) fn with(connector: Connector) -> Connector {
    let token = Setting::secret(TOKEN, "The project's token, which attribution needs beside both.")
        .found_at(IN_SETTINGS)
        .or("")
        .checked(is_key);
    // The base URL says it already, whichever of its names somebody gives.
    let region = Setting::plain(REGION, "The region of the project.")
        .found_at(
            "The first part of the dashboard's address: `in1` of in1.dashboard.clevertap.com.",
        )
        .choices(REGIONS)
        .or("eu")
        .not_identifying()
        .checked(is_region);
    let partner_name =
        Setting::plain(PARTNER_NAME, "The name that CleverTap knows you by as a partner.")
            .found_at("CleverTap puts it on its list; attribution needs it.")
            .or("")
            .not_identifying();
    let partner_id =
        Setting::plain(PARTNER_ID, "Your partner id, sent as `$source` with every event.")
            .labelled("Partner id")
            .found_at("The name of your company or solution, as CleverTap has it on its list.")
            .or("")
            .not_identifying();
    let timezone = Setting::plain(TIMEZONE, "The project's time zone, an IANA name.")
        .labelled("Time zone")
        .found_at("In CleverTap's settings of the project; no API tells it.")
        .or("UTC")
        .not_identifying()
        .checked(is_timezone);
    let per_second =
        Setting::plain(PER_SECOND, "How many requests but uploads are begun in a second.")
            .found_at("CleverTap counts requests under way; its page about campaigns says 3.")
            .or("")
            .not_identifying()
            .checked(is_count);
    [token, region, partner_name, partner_id, timezone, per_second]
        .into_iter()
        .fold(connector, Connector::setting)
}

/// Europe has no prefix, under whichever of its names; the other regions have their own.
pub(crate) fn base_url(values: &Values) -> String {
    match values.get(REGION).to_ascii_lowercase().as_str() {
        "eu" | "eu1" | "global" => "https://api.clevertap.com".to_owned(),
        short @ ("in" | "us" | "sg" | "sk") => format!("https://{short}1.api.clevertap.com"),
        region => format!("https://{region}.api.clevertap.com"),
    }
}

/// A setting that is there.
pub(crate) fn given<'a>(api: &'a Api, setting: &str) -> Option<&'a str> {
    Some(api.account().values().get(setting)).filter(|value| !value.is_empty())
}

fn is_region(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric();
    if text.chars().all(fits) {
        return Ok(());
    }
    Err("a region is letters and digits, such as eu, in, sg or us".to_owned())
}

/// The message does not show the value: it may be the passcode.
fn is_key(text: &str) -> Result<(), String> {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Ok(());
    }
    Err("only letters, digits and hyphens belong in it; copy it again from CleverTap's settings"
        .to_owned())
}

fn is_timezone(text: &str) -> Result<(), String> {
    let known = text.parse::<Tz>().is_ok();
    known.then_some(()).ok_or_else(|| {
        format!("there is no time zone \"{text}\"; give an IANA name such as Europe/Berlin")
    })
}

fn is_count(text: &str) -> Result<(), String> {
    match text.parse::<u32>() {
        Ok(1..=1000) => Ok(()),
        _ => Err("give a whole number from 1 to 1000, or leave it out".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    const KEYS: [(&str, &str); 2] =
        [("projectId", " AAA-AAA-AAAA "), ("passcode", "AAA-AAA-AAAB\n")];

    fn account(values: &[(&str, &str)]) -> Result<connector::Account, String> {
        let values: BTreeMap<_, _> = KEYS
            .iter()
            .chain(values)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        crate::connector().account("engagement", None, values).map_err(|error| error.to_string())
    }

    #[test]
    fn the_region_chooses_the_host() {
        let host = |region: &[(&str, &str)]| account(region).unwrap().base_url().to_string();
        for europe in ["eu", "eu1", "global"] {
            assert_eq!(host(&[("region", europe)]), "https://api.clevertap.com/");
        }
        assert_eq!(host(&[]), "https://api.clevertap.com/");
        for (short, long) in [("in", "in1"), ("us", "us1"), ("sg", "sg1"), ("sk", "sk1")] {
            let expected = format!("https://{long}.api.clevertap.com/");
            assert_eq!([host(&[("region", short)]), host(&[("region", long)])], [&*expected; 2]);
            let [short, long] =
                [short, long].map(|region| account(&[("region", region)]).unwrap().identity());
            assert_eq!(short, long, "limits are shared under both names");
        }
        assert_eq!(host(&[("region", "EU")]), host(&[]));
        assert_eq!(host(&[("region", "US")]), host(&[("region", "us1")]));
        for region in ["aps3", "mec1", "new9"] {
            let expected = format!("https://{region}.api.clevertap.com/");
            assert_eq!(host(&[("region", region)]), expected);
        }
    }

    #[test]
    fn settings_are_trimmed_and_say_who_it_is_by_the_project_alone() {
        let bare = account(&[]).unwrap();
        assert_eq!(bare.values().get("projectId"), "AAA-AAA-AAAA");
        assert_eq!(bare.values().get("timezone"), "UTC");
        let all = [
            ("token", " aca-060 "),
            ("partnerName", "Example"),
            ("partnerId", "ExamplePartner"),
            ("timezone", "Europe/Berlin"),
            ("requestsPerSecond", "3"),
        ];
        let whole = account(&all).unwrap();
        assert_eq!(whole.values().get("token"), "aca-060");
        assert_eq!(whole.identity(), bare.identity());
        assert!(!format!("{whole:?}").contains("aca-060"));
    }

    #[test]
    fn settings_of_a_wrong_form_are_refused_without_showing_secrets() {
        let problem = |name, value| account(&[(name, value)]).unwrap_err();
        for secret in ["passcode", "token"] {
            let told = problem(secret, "not a real one");
            let start = format!("`{secret}` of account \"engagement\": only letters");
            assert!(told.starts_with(&start) && !told.contains("not a real"), "{told}");
        }
        for region in ["evil.example/", "e.u", "in 1"] {
            assert!(problem("region", region).contains("a region is letters"));
        }
        assert!(problem("timezone", "Berlin").contains("such as Europe/Berlin"));
        for count in ["0", "-1", "three", "1001"] {
            assert!(problem("requestsPerSecond", count).contains("from 1 to 1000"), "{count}");
        }
    }
}
