//! `sendAttribution`: tells where the users of an app came from, and what they did at a partner.

use std::time::Duration;

use connector::prelude::*;
use serde_json::Map;

use crate::{answer, call, record, rejections, settings};

/// How long failures of the server go on before the vendor's page asks to be told.
pub(crate) const LASTING: Duration = Duration::from_secs(10 * 60);
/// What the vendor's page asks for where failures of the server go on.
pub(crate) const SUPPORT: &str = "where this goes on for more than 10 minutes, CleverTap asks to be told: write \
                       to its support, with the project id and since when";

/// The parameters that are not free: what is sent of the message, and the credentials.
const OWN: [&str; 11] = [
    "partner_name",
    "event_type",
    "timestamp",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "device_identifier",
    "account_id",
    "account_token",
    "account_passcode",
    "platform",
];

const PATH: &str = "GET /attribution";

/// The events that are installs.
const INSTALLS: [&str; 2] = ["organic_install", "inorganic_install"];

/// More is no time in epoch seconds: milliseconds have three digits more.
const LAST_SECOND: u64 = 9_999_999_999;

const NO_DEVICE: Rejection = Rejection::new(
    "noDevice",
    "`device_identifier` is empty: CleverTap would drop the event; nothing was sent",
    "have the app read the CleverTap id from its SDK and hand it over",
);
const NO_EVENT: Rejection = Rejection::new(
    "noEvent",
    "`event_type` is empty; nothing was sent",
    "give the field `event`, or `event_type` in `customMapping`",
);
const NO_PLATFORM: Rejection = Rejection::new(
    "noPlatform",
    "`platform` is empty; nothing was sent",
    "give the field `platform`, or `platform` in `customMapping`",
);
const NO_UTM: Rejection = Rejection::new(
    "noUtm",
    "an install has none of `utm_source`, `utm_medium` and `utm_campaign`; nothing was sent",
    "give at least one of them, better all three",
);
const BAD_TIMESTAMP: Rejection = Rejection::new(
    "badTimestamp",
    "`timestamp` is not in epoch seconds; nothing was sent",
    "give whole seconds since 1970, not milliseconds, such as `$floor($millis() / 1000)`, or leave it \
     out",
);
const BAD_PARAMETER: Rejection = Rejection::new(
    "badParameter",
    "a name in `parameters` is empty or one of the endpoint's own, or its value is no text, number \
     or boolean; nothing was sent",
    "give it another name, or its parts one by one",
);
const HTTP_400: Rejection = Rejection::new(
    "http400",
    "CleverTap misses a parameter, which it names in the reason (`utm_source is missing`)",
    "give it in `customMapping`, then replay the dead letter",
);

/// Tells CleverTap of an install that a partner attributed, or of an event that it saw, one a
/// request. CleverTap counts each request: it is written down before it is sent, and one without an
/// answer is held as a dead letter `inDoubt` instead of being sent again (`inDoubt: resend` changes
/// that). The account needs `token` and `partnerName`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "event": "inorganic_install", "platform": "Android" }]))]
pub(crate) struct SendAttribution {
    /// What the default mapping tells: `organic_install`, `inorganic_install`, or the name of an
    /// event of your own. Without it each message says it by `event_type`.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.event`")]
    event: Option<String>,
    /// The platform of messages that name none by `platform`, such as `Android` or `iOS`.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.platform`")]
    platform: Option<String>,
}

/// What happened, by the endpoint's own names.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "event_type": "inorganic_install",
    "device_identifier": "__g1234abc",
    "platform": "Android",
    "timestamp": 1_660_717_763,
    "utm_source": "google",
    "utm_medium": "cpc",
    "utm_campaign": "summer-sale",
    "parameters": { "match_type": "gp_referrer" }
}]))]
pub(crate) struct Attribution {
    /// `organic_install`, `inorganic_install`, or the name of an event of your own.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    /// CleverTap's id of the device, which its SDK tells the app.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    device_identifier: Option<String>,
    /// The app's platform: `Android`, `iOS`, `React Native` and others.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    /// When it happened, in epoch seconds; the time of its processing if it is left out.
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    /// Where the user came from: a site, a search engine, a newsletter.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    utm_source: Option<String>,
    /// By which medium: `email`, `social`, `cpc`.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    utm_medium: Option<String>,
    /// By which campaign.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    utm_campaign: Option<String>,
    /// Further parameters, which CleverTap takes without looking at them: texts, numbers and
    /// booleans; null is left out.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    parameters: Map<String, Value>,
}

/// Reads a time as it is written; whether it is one is looked at before it is sent.
fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = answer::plain(&Value::deserialize(deserializer)?);
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// What has to be there before anything is sent.
#[derive(Debug, PartialEq)]
struct Checked<'a> {
    event_type: &'a str,
    device: &'a str,
    platform: &'a str,
    parameters: Vec<(&'a str, String)>,
    /// The utm parameters that an install lacks.
    lacking: Vec<&'static str>,
}

impl Attribution {
    fn utms(&self) -> [(&'static str, Option<&str>); 3] {
        [
            ("utm_source", self.utm_source.as_deref()),
            ("utm_medium", self.utm_medium.as_deref()),
            ("utm_campaign", self.utm_campaign.as_deref()),
        ]
    }

    fn checked(&self) -> Result<Checked<'_>, Outcome> {
        let event_type = given(self.event_type.as_deref(), NO_EVENT)?;
        let device = given(self.device_identifier.as_deref(), NO_DEVICE)?;
        let platform = given(self.platform.as_deref(), NO_PLATFORM)?;
        if let Some(text) = &self.timestamp
            && text.parse().map_or(true, |second: u64| second > LAST_SECOND)
        {
            let why = format!("`timestamp` is {text}, no whole epoch seconds");
            return Err(BAD_TIMESTAMP.because(why));
        }
        let plain = event_type.to_lowercase().replace([' ', '-'], "_");
        // Written otherwise, CleverTap would count an install as an event of that name.
        let install = INSTALLS.into_iter().find(|install| *install == plain);
        let (event_type, is_install) = (install.unwrap_or(event_type), install.is_some());
        let utms = self.utms();
        if is_install && utms.iter().all(|(_, given)| given.is_none()) {
            return Err(NO_UTM.because(NO_UTM.meaning));
        }
        let lacking = utms.iter().filter(|(_, given)| is_install && given.is_none());
        let lacking = lacking.map(|(name, _)| *name).collect();
        Ok(Checked { event_type, device, platform, parameters: self.further()?, lacking })
    }

    /// The further parameters as text, in their order.
    fn further(&self) -> Result<Vec<(&str, String)>, Outcome> {
        let mut further = vec![];
        for (name, value) in &self.parameters {
            if name.trim().is_empty() || OWN.contains(&name.as_str()) {
                let reason = format!("`parameters` has \"{name}\", which is not its own name");
                return Err(BAD_PARAMETER.because(reason));
            }
            match value {
                Value::Null => {}
                Value::String(text) => further.push((name.as_str(), text.clone())),
                Value::Number(_) | Value::Bool(_) => {
                    further.push((name.as_str(), value.to_string()));
                }
                Value::Array(_) | Value::Object(_) => {
                    let reason = format!("\"{name}\" is a list or an object, no single value");
                    return Err(BAD_PARAMETER.because(reason));
                }
            }
        }
        Ok(further)
    }
}

fn given(text: Option<&str>, lacks: Rejection) -> Result<&str, Outcome> {
    text.ok_or_else(|| lacks.because(lacks.meaning))
}

#[async_trait]
impl Action for SendAttribution {
    type Input = Attribution;
    const REJECTIONS: &'static [Rejection] = &[
        NO_DEVICE,
        NO_EVENT,
        NO_PLATFORM,
        NO_UTM,
        BAD_TIMESTAMP,
        BAD_PARAMETER,
        HTTP_400,
        rejections::BAD_REQUEST,
    ];

    fn idempotent(&self) -> bool {
        false // Nothing tells a repeated event from another one.
    }

    fn held_once_refused(&self) -> bool {
        true // "For 400, 401 and 403 do not retry", says the page of the attribution endpoint.
    }

    async fn run(&self, api: &Api, batch: &Batch<Attribution>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let outcome = match item.input.checked() {
                Ok(checked) => send(api, &item.input, checked).await?,
                Err(outcome) => outcome,
            };
            outcomes.set(index, outcome);
        }
        Ok(outcomes)
    }
}

async fn send(api: &Api, input: &Attribution, checked: Checked<'_>) -> Result<Outcome> {
    let needed = |setting: &str| {
        settings::given(api, setting).ok_or_else(|| {
            let account = api.account().name();
            Error::config(format!("attribution needs `{setting}`: add it to account \"{account}\""))
        })
    };
    let (partner, token) = (needed(settings::PARTNER_NAME)?, needed(settings::TOKEN)?);
    let request = api.get(["attribution"]).unsigned().order().undone_by_5xx();
    let mut request = request
        .query("partner_name", partner)
        .query("event_type", checked.event_type)
        .query_if("timestamp", input.timestamp.as_ref());
    for (name, value) in input.utms() {
        request = request.query_if(name, value);
    }
    request = request.query("device_identifier", checked.device);
    for (name, value) in &checked.parameters {
        request = request.query(name, value);
    }
    let values = api.account().values();
    let request = request
        .query("account_id", values.get("projectId"))
        .query("account_token", token)
        .query("account_passcode", values.get("passcode"))
        .query("platform", checked.platform);
    let refusals = [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, call::REFUSED_INSIDE_200];
    let request = refusals.into_iter().fold(request, connector::Request::accept);
    let answer = request.send().await.map_err(explained)?;
    match answer.status() {
        StatusCode::BAD_REQUEST | call::REFUSED_INSIDE_200 => refused(api, &answer, partner).await,
        StatusCode::FORBIDDEN => Err(call::explained(Error::Unauthorized {
            reason: format!("{PATH} answered 403: {}", answer.message()),
        })),
        _ => {
            answer::succeeded(&answer, PATH)?;
            let (event_type, device) = (checked.event_type, checked.device);
            let mut value = json!({ "event_type": event_type, "device_identifier": device });
            if !checked.lacking.is_empty() {
                tracing::warn!(lacking = ?checked.lacking, "an install was sent without all utms");
                value["lacking"] = checked.lacking.into();
            }
            Ok(Outcome::Done { value, target_key: Some(device.to_owned()) })
        }
    }
}

/// What a 400 means: a partner that is not on CleverTap's list, for which the account is paused, or
/// credentials, which some regions answer so, or something that this event lacks.
async fn refused(api: &Api, answer: &Response, partner: &str) -> Result<Outcome> {
    let said = answer.message().to_lowercase();
    let listed = ["whitelist", "white-list", "white list", "allowlist", "allow-list", "allow list"];
    if listed.iter().any(|it| said.contains(it)) {
        return Err(Error::Unauthorized {
            reason: format!(
                "{PATH} answered 400: {}; CleverTap has to put the partner name \
                 \"{partner}\" on its list, ask its product team; until then the account is paused",
                answer.message()
            ),
        });
    }
    // Nothing but the account's are credentials here; the token is asked for nowhere else.
    let named = call::says_refused(answer);
    // Where that cannot be found out it counts as them: a person lets it go on, and nobody else.
    let may_be = || async { call::is_unknown(api).await.unwrap_or(true) };
    if named || (call::blames_account(answer) && may_be().await) {
        return Err(call::unknown(PATH, answer));
    }
    match call::refusal(PATH, answer) {
        Error::Reject { reason, .. } => Ok(HTTP_400.because(reason)),
        error => Err(error),
    }
}

/// Adds the way out.
fn explained(error: Error) -> Error {
    match error {
        Error::Retry { reason, after } if reason.contains(" answered 5") => {
            Error::Retry { reason: format!("{reason}; {SUPPORT}"), after }
        }
        error => call::explained(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: Value) -> Attribution {
        serde_json::from_value(input).unwrap()
    }

    fn install() -> Value {
        json!({
            "event_type": "inorganic_install", "device_identifier": " __g1 ", "platform": "iOS",
            "timestamp": 1_660_717_763, "utm_source": "google",
        })
    }

    #[test]
    fn what_is_missing_is_refused_before_it_is_sent() {
        for (change, code) in [
            (json!({ "device_identifier": "  " }), "noDevice"),
            (json!({ "event_type": null }), "noEvent"),
            (json!({ "platform": "" }), "noPlatform"),
            (json!({ "utm_source": "" }), "noUtm"),
            (json!({ "timestamp": 1_660_717_763_000_u64 }), "badTimestamp"),
            (json!({ "timestamp": "soon" }), "badTimestamp"),
            (json!({ "timestamp": 1_660_717_763.123 }), "badTimestamp"),
            (json!({ "timestamp": true }), "badTimestamp"),
            (json!({ "parameters": { "account_id": "x" } }), "badParameter"),
            (json!({ "parameters": { "items": ["shoes"] } }), "badParameter"),
        ] {
            let mut input = install();
            let members = input.as_object_mut().unwrap();
            members.extend(change.as_object().unwrap().clone());
            match read(input).checked() {
                Err(Outcome::Rejected { code: given, .. }) => assert_eq!(given, code, "{change}"),
                other => panic!("{change}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_install_lacks_what_it_lacks_and_an_event_nothing() {
        let input = read(install());
        let checked = input.checked().unwrap();
        assert_eq!(checked.device, "__g1");
        assert_eq!(checked.lacking, ["utm_medium", "utm_campaign"]);
        let mut event = install();
        event["event_type"] = "Add_to_cart".into();
        event.as_object_mut().unwrap().remove("utm_source");
        event["parameters"] = json!({ "android_id": "", "price": 12.5, "first": true, "x": null });
        let event = read(event);
        let checked = event.checked().unwrap();
        assert_eq!(checked.lacking, [""; 0]);
        let texts = checked.parameters.iter().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(
            texts.collect::<Vec<_>>(),
            [("android_id", ""), ("price", "12.5"), ("first", "true")]
        );
    }
}
