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
mod call;
mod campaign_report;
mod checks;
mod counting;
mod counts;
mod create_campaign;
mod day;
mod delete_profiles;
mod deletion;
mod demerge_profiles;
mod disassociate_phone;
mod events_polling;
mod export;
mod get_profile;
mod partner;
mod profile;
mod profiles_by_event;
mod query;
mod recipients;
mod record;
mod rejections;
mod send_attribution;
mod send_to_users;
mod settings;
mod staged;
mod stop_campaign;
mod subscribe;
mod top_properties;
mod trends;
mod trigger_campaign;
mod upload_catalog;
mod upload_custom_list;
mod upload_device_tokens;
mod upload_events;
mod upload_profiles;

use connector::Failure;
use connector::contact::Contact;
use connector::prelude::*;

use campaign_report::CampaignReport;
use counts::Counts;
use create_campaign::CreateCampaign;
use delete_profiles::DeleteProfiles;
use demerge_profiles::DemergeProfiles;
use disassociate_phone::DisassociatePhone;
use events_polling::{EventsPolling, RawEvent};
use get_profile::GetProfile;
use profiles_by_event::{ProfilesByEvent, RawProfile};
use send_attribution::SendAttribution;
use send_to_users::SendToUsers;
use stop_campaign::StopCampaign;
use subscribe::Subscribe;
use top_properties::TopProperties;
use trends::Trends;
use trigger_campaign::TriggerCampaign;
use upload_catalog::UploadCatalog;
use upload_custom_list::UploadCustomList;
use upload_device_tokens::UploadDeviceTokens;
use upload_events::UploadEvents;
use upload_profiles::UploadProfiles;

/// From the contact model to what [`UploadProfiles`] takes.
const CONTACT_TO_PROFILE: &str = include_str!("contact-to-profile.jsonata");

/// From the contact model to what [`UploadEvents`] takes.
const CONTACT_TO_EVENT: &str = include_str!("contact-to-event.jsonata");

/// From the contact model to what [`Subscribe`] takes.
const CONTACT_TO_SUBSCRIPTION: &str = include_str!("contact-to-subscription.jsonata");

/// From the contact model to what [`DisassociatePhone`] takes.
const CONTACT_TO_NUMBER: &str = include_str!("contact-to-number.jsonata");

/// From any record to the id that it is known by.
const RECORD_TO_IDENTITY: &str = include_str!("record-to-identity.jsonata");

/// From the contact model to whom a message is for.
const CONTACT_TO_RECIPIENT: &str = include_str!("contact-to-recipient.jsonata");

/// Any record, as it is.
const RECORD_AS_IT_IS: &str = include_str!("record-as-it-is.jsonata");

/// From any record to the id of a campaign.
const CAMPAIGN_TO_ID: &str = include_str!("campaign-to-id.jsonata");

/// From the contact model to what [`GetProfile`] looks up.
const CONTACT_TO_LOOKUP: &str = include_str!("contact-to-lookup.jsonata");

/// From what a partner sends to what [`SendAttribution`] takes.
const ATTRIBUTION: &str = include_str!("attribution.jsonata");

/// From a profile to the contact model.
const PROFILE_TO_CONTACT: &str =
    concat!("(\n  $p := data;\n", include_str!("profile-of.jsonata"), ")\n");

/// From an event to what happened, when, and to whom, in the contact model.
const EVENT_TO_MESSAGE: &str = concat!(
    r#"(
  $p := data.profile;
  $person := "#,
    include_str!("profile-of.jsonata"),
    r#";
  $who := $p.identity ?: $p.objectId;
  {
    "event": $fields.event,
    "at": data.at,
    "person": $exists($who) ? $merge([{ "id": $who & "" }, $person]) : $person,
    "properties": data.event_props,
    "session": data.session_props
  }
)
"#
);

/// What the fields of the action ask: what counts takes.
const FIELDS_TO_QUERY: &str = "{ \"query\": $fields.query }\n";

/// The same with what is told of it: what [`TopProperties`] takes.
const FIELDS_TO_GROUPS: &str = "{ \"query\": $fields.query, \"groups\": $fields.groups }\n";

/// The same with how it is counted: what [`Trends`] takes.
const FIELDS_TO_TRENDS: &str = "{ \"query\": $fields.query, \"groups\": $fields.groups, \
    \"unique\": $fields.unique, \"sum_event_prop\": $fields.sumEventProperty }\n";

/// The campaign that [`CampaignReport`] asks after.
const CAMPAIGN: &str = "{ \"id\": $fields.campaign ? $fields.campaign : metadata.recordUid }\n";

/// No failure of a whole call is larger; lists of refused records are, and are not searched.
const LARGEST_FAILURE: usize = 64 * 1024;

/// CleverTap's actions, and how to reach its server API.
pub fn connector() -> Connector {
    let connector = Connector::new("clevertap", "https://api.clevertap.com", settings::auth());
    let connector = settings::with(connector)
        .about("Customer engagement: profiles of people and what they do.")
        .page(include_str!("about.md"))
        .privacy(Handling::ByHand, Handling::Asynchronous)
        .base_url(settings::base_url)
        .limit("upload", 15)
        .limit("default", 3)
        .paced_by(settings::PER_SECOND)
        .limit("files", 2)
        .gives_addresses_at(&["amazonaws.com"])
        .failure_inside_200(failure)
        .test(|api| Box::pin(account::test(api)))
        .in_an_outage(send_attribution::LASTING, send_attribution::SUPPORT)
        .partner_kits(partner::KITS)
        .action::<UploadProfiles>("uploadProfiles", CONTACT_TO_PROFILE)
        .action::<UploadEvents>("uploadEvents", CONTACT_TO_EVENT)
        .action::<UploadDeviceTokens>("uploadDeviceTokens", RECORD_AS_IT_IS)
        .action::<DeleteProfiles>("deleteProfiles", RECORD_TO_IDENTITY)
        .action::<Subscribe>("subscribe", CONTACT_TO_SUBSCRIPTION)
        .action::<DemergeProfiles>("demergeProfiles", RECORD_TO_IDENTITY)
        .action::<DisassociatePhone>("disassociatePhone", CONTACT_TO_NUMBER)
        .action::<SendToUsers>("sendToUsers", CONTACT_TO_RECIPIENT)
        .action::<CreateCampaign>("createCampaign", RECORD_AS_IT_IS)
        .action::<StopCampaign>("stopCampaign", CAMPAIGN_TO_ID)
        .action::<TriggerCampaign>("triggerCampaign", CONTACT_TO_RECIPIENT)
        .action::<UploadCatalog>("uploadCatalog", RECORD_AS_IT_IS)
        .action::<UploadCustomList>("uploadCustomList", RECORD_AS_IT_IS);
    reading(connector)
}

/// What reads, and attribution.
fn reading(connector: Connector) -> Connector {
    connector
        .polling::<EventsPolling>("eventsPolling", EVENT_TO_MESSAGE)
        .record::<RawEvent>()
        .polling::<ProfilesByEvent>("profilesByEvent", PROFILE_TO_CONTACT)
        .record::<RawProfile>()
        .message::<Contact>()
        .action::<GetProfile>("getProfile", CONTACT_TO_LOOKUP)
        .action::<SendAttribution>("sendAttribution", ATTRIBUTION)
        .action::<Counts>("counts", FIELDS_TO_QUERY)
        .action::<Trends>("trends", FIELDS_TO_TRENDS)
        .action::<TopProperties>("topProperties", FIELDS_TO_GROUPS)
        .action::<CampaignReport>("campaignReport", CAMPAIGN)
}

/// Finds `{"status":"fail","error":"…","code":…}`, which may come with a 200, unless it lists
/// refused records: those are theirs, not the call's. A code that is an HTTP status says more than the
/// words. One that is none says nothing of the system's health: then the request is what is refused,
/// unless the words say that it came too early, or too often.
fn failure(body: &[u8]) -> Option<Failure> {
    #[derive(Deserialize)]
    struct Failed {
        status: String,
        #[serde(default)]
        error: Value,
        #[serde(default)]
        message: Value,
        #[serde(default)]
        code: Value,
        #[serde(default)]
        unprocessed: Value,
    }
    if body.len() > LARGEST_FAILURE {
        return None;
    }
    let failed: Failed = serde_json::from_slice(body).ok()?;
    let listed = failed.unprocessed.as_array().is_some_and(|records| !records.is_empty());
    if !answer::is(&failed.status, "fail") || listed {
        return None;
    }
    let words = [&failed.error, &failed.message].into_iter().find(|it| !it.is_null());
    let message = words.map_or_else(String::new, answer::plain);
    let said = message.to_lowercase();
    let code = answer::plain(&failed.code).parse().ok().filter(|code| (400..600).contains(code));
    let status = match code {
        Some(code) => code,
        // What is being prepared is asked for again.
        None if said.contains("in progress") => StatusCode::TOO_EARLY.as_u16(),
        None if said.contains("too many") => StatusCode::TOO_MANY_REQUESTS.as_u16(),
        None => call::REFUSED_INSIDE_200.as_u16(),
    };
    Some(Failure { status, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_the_call_is_told_from_refused_records() {
        let found = |body: &str| failure(body.as_bytes()).map(|f| (f.status, f.message));
        assert_eq!(
            found(r#"{"status":"fail","error":"Invalid Credentials","code":401}"#),
            Some((401, "Invalid Credentials".to_owned()))
        );
        let usage = r#"{"status":"fail","error":"Incorrect Usage","code":3}"#;
        assert_eq!(found(usage), Some((422, "Incorrect Usage".to_owned())));
        for (odd, status) in [
            (r#"{"status":"fail","unprocessed":[]}"#, 422),
            (r#"{"status":"fail","error":{"text":"no"},"code":"409"}"#, 409),
            (r#"{"status":"fail","error":null,"code":70000}"#, 422),
            (r#"{"status":"fail","message":"Too many concurrent requests"}"#, 429),
        ] {
            assert_eq!(found(odd).map(|(status, _)| status), Some(status), "{odd}");
        }
        // What is being prepared is asked for too early.
        let early = r#"{"status":"fail","error":"Request still in progress, please retry later"}"#;
        assert_eq!(found(early).map(|(status, _)| status), Some(425));
        // What a code says goes before the words.
        for (coded, status) in [
            (r#"{"status":"fail","error":"Too many recipients","code":400}"#, 400),
            (
                r#"{"status":"Fail","error":"Campaign in progress cannot be stopped","code":400}"#,
                400,
            ),
            (r#"{"status":"fail","error":"Too many concurrent requests","code":3}"#, 429),
        ] {
            assert_eq!(found(coded).map(|(status, _)| status), Some(status), "{coded}");
        }
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
