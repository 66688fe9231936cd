//! The endpoints of CleverTap: which request is meant, who may ask, and its answer.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};

use super::archive::{Archive, Delivered, Refused};
use super::attribution;
use super::files::Uploaded;
use super::reading::{Begun, Reading};
use super::upload;
use super::writing::{Ordered, Writing};
use crate::answer::Answer;
use crate::call::Call;
use crate::lock::lock;
use crate::options::{BadCredentials, Credentials, MissingProfile, Switches};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Upload,
    Profile,
    Connect,
    /// What a partner tells.
    Attribution,
    /// The same by POST, of which no source speaks.
    PostedAttribution,
    /// What reads beside a single profile.
    Reading(Reading),
    /// What changes something, beside uploads.
    Writing(Writing),
    Unknown,
}

impl Endpoint {
    /// Recognises a request.
    pub(crate) fn of(call: &Call) -> Self {
        match (&call.method, call.path().as_slice()) {
            (&Method::POST, ["1", "upload"]) => Self::Upload,
            (&Method::GET, ["1", "profile.json"]) => Self::Profile,
            (&Method::GET, ["v1", "connect"]) => Self::Connect,
            (&Method::GET, ["attribution"]) => Self::Attribution,
            (&Method::POST, ["attribution"]) => Self::PostedAttribution,
            _ => {
                let reading = Reading::of(call).map(Self::Reading);
                reading.or(Writing::of(call).map(Self::Writing)).unwrap_or(Self::Unknown)
            }
        }
    }

    /// Names the endpoint as the counters show it.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Upload => "POST /1/upload",
            Self::Profile => "GET /1/profile.json",
            Self::Connect => "GET /v1/connect",
            Self::Attribution => "GET /attribution",
            Self::PostedAttribution => "POST /attribution",
            Self::Reading(reading) => reading.template(),
            Self::Writing(writing) => writing.template(),
            Self::Unknown => "*",
        }
    }
}

/// What an answer counts towards.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) uploads: u64,
    pub(crate) dry_runs: u64,
    pub(crate) accepted: u64,
    pub(crate) events: u64,
    pub(crate) refused: u64,
    pub(crate) attributions: u64,
}

/// The account and what it received.
#[derive(Debug, Default)]
pub(crate) struct CleverTap {
    archive: Mutex<Archive>,
    begun: Mutex<Begun>,
    keep: bool,
    /// Requests under way by API: the template of its path, with the method where a switch says so. The
    /// sandbox has one account.
    under_way: Mutex<BTreeMap<&'static str, usize>>,
}

/// A request that counts against an API's limit until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Mutex<BTreeMap<&'static str, usize>>, &'static str);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(count) = lock(self.0).get_mut(self.1) {
            *count = count.saturating_sub(1);
        }
    }
}

impl CleverTap {
    pub(crate) fn new(keep: bool) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Lets a request begin, or refuses it where too many to the same API are under way.
    pub(crate) fn enter(&self, endpoint: Endpoint, switches: &Switches) -> Option<Permit<'_>> {
        let limit = match endpoint {
            Endpoint::Upload => switches.upload_concurrency,
            Endpoint::Unknown => usize::MAX,
            // The storage where files are put is not CleverTap's.
            Endpoint::Writing(writing) if writing.is_given() => usize::MAX,
            _ => switches.other_concurrency,
        };
        let template = endpoint.template();
        let api = match template.split_once(' ') {
            Some((_, path)) if !switches.limits_by_method => path,
            _ => template,
        };
        let mut under_way = lock(&self.under_way);
        let count = under_way.entry(api).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Permit(&self.under_way, api))
    }

    pub(crate) fn too_many() -> Answer {
        Answer::fail(429, "Too many concurrent requests")
    }

    /// Answers a request.
    pub(crate) fn answer(
        &self,
        endpoint: Endpoint,
        call: &Call,
        body: &Bytes,
        (credentials, switches, now): (&Credentials, &Switches, i64),
    ) -> (Answer, Tally) {
        let mut tally = Tally::default();
        if endpoint == Endpoint::Unknown {
            return (Answer::fail(404, "Not Found"), tally);
        }
        lock(&self.archive).pass(now, switches);
        // It proves who asks in its query, and looks at no header.
        if matches!(endpoint, Endpoint::Attribution | Endpoint::PostedAttribution) {
            let archive = self.keep.then_some(&self.archive);
            let mut behaviour = switches.attribution.clone();
            behaviour.account_unknown |= switches.wrong_region;
            let (answer, taken) = attribution::answer(call, credentials, &behaviour, archive, now);
            tally.attributions = u64::from(taken);
            return (answer, tally);
        }
        if let Endpoint::Writing(writing) = endpoint
            && writing.is_given()
        {
            return (writing.answer(call, body, &self.archive, (switches, now)), tally);
        }
        let account = call.header("X-CleverTap-Account-Id").unwrap_or_default();
        // Third parties saw this one answer of the credential check; elsewhere it is a plain 401.
        if endpoint == Endpoint::Connect && account.is_empty() {
            return (Answer::fail(503, "account id should not be empty"), tally);
        }
        let passcode = call.header("X-CleverTap-Passcode").unwrap_or_default();
        let known = account == credentials.project_id && passcode == credentials.passcode;
        if !known || switches.wrong_region {
            return (refuse(switches), tally);
        }
        let answer = match endpoint {
            Endpoint::Upload if switches.uploads_refused => Answer::fail(403, "Forbidden"),
            Endpoint::Connect if switches.connect_missing => Answer::fail(404, "Not Found"),
            Endpoint::Connect if !is_partner(call, switches) => {
                Answer::json(200, &json!({ "status": "fail", "message": "Unknown partner" }))
            }
            Endpoint::Upload => {
                let dry = call.parameter("dryRun") == Some("1");
                let archive = (self.keep && !dry).then_some(&self.archive);
                let (answer, counted) = upload::answer(body, switches, archive, now);
                if let Some(counted) = counted {
                    tally.dry_runs = u64::from(dry);
                    tally.uploads = u64::from(!dry);
                    if !dry {
                        tally.accepted = counted.accepted as u64;
                        tally.events = counted.events as u64;
                        tally.refused = counted.refused as u64;
                    }
                }
                answer
            }
            Endpoint::Profile => self.profile_json(call, switches),
            Endpoint::Writing(writing) => {
                writing.answer(call, body, &self.archive, (switches, now))
            }
            Endpoint::Reading(reading) => {
                reading.answer(call, body, (&self.archive, &self.begun), &switches.reading)
            }
            Endpoint::Connect
            | Endpoint::Attribution
            | Endpoint::PostedAttribution
            | Endpoint::Unknown => Answer::json(200, &json!({ "status": "success" })),
        };
        (answer, tally)
    }

    fn profile_json(&self, call: &Call, switches: &Switches) -> Answer {
        let archive = lock(&self.archive);
        let object = call.parameter("objectId").map(|id| archive.people.key_of_object(id));
        let key = call.parameter("identity").or(object.as_deref());
        let email = call.parameter("email");
        if key.is_none() && email.is_none() {
            return Answer::fail(400, "Malformed request");
        }
        match (archive.people.show(key, email), switches.missing_profile) {
            (Some(record), _) => {
                Answer::json(200, &json!({ "status": "success", "record": record }))
            }
            (None, MissingProfile::Fail) => Answer::fail_with(200, 404, "Profile not found"),
            (None, MissingProfile::FailWithoutCode) => {
                Answer::json(200, &json!({ "status": "fail", "error": "Profile not found" }))
            }
            (None, MissingProfile::NotFound) => Answer::fail(404, "Profile not found"),
            (None, MissingProfile::EmptySuccess) => {
                Answer::json(200, &json!({ "status": "success" }))
            }
        }
    }

    pub(crate) fn delivered(&self, offset: usize, limit: usize) -> Vec<Delivered> {
        lock(&self.archive).delivered(offset, limit)
    }

    pub(crate) fn delivered_count(&self) -> usize {
        lock(&self.archive).delivered_count()
    }

    pub(crate) fn refused(&self) -> Vec<Refused> {
        lock(&self.archive).refused()
    }

    pub(crate) fn profile(&self, identity: &str) -> Option<Map<String, Value>> {
        lock(&self.archive).profile(identity)
    }

    pub(crate) fn profiles(&self) -> BTreeMap<String, Map<String, Value>> {
        lock(&self.archive).profiles()
    }

    pub(crate) fn profile_count(&self) -> usize {
        lock(&self.archive).people.len()
    }

    pub(crate) fn ordered(&self) -> Vec<Ordered> {
        lock(&self.archive).ordered.clone()
    }

    pub(crate) fn uploaded(&self) -> Vec<Uploaded> {
        lock(&self.archive).files.uploaded.clone()
    }

    pub(crate) fn add_device(&self, identity: &str, object_id: &str) {
        lock(&self.archive).add_device(identity, object_id);
    }

    pub(crate) fn clear(&self) {
        lock(&self.archive).clear();
        *lock(&self.begun) = Begun::default();
    }
}

fn is_partner(call: &Call, switches: &Switches) -> bool {
    let named = call.parameter("partner").unwrap_or_default();
    let known = &switches.connect_partners;
    known.is_empty() || known.iter().any(|partner| partner == named)
}

fn refuse(switches: &Switches) -> Answer {
    match switches.bad_credentials {
        BadCredentials::Unauthorized => Answer::fail(401, "Invalid Credentials"),
        BadCredentials::BadRequest => Answer::fail(400, "Failed to process request"),
        BadCredentials::Forbidden => Answer::fail(403, "Forbidden"),
    }
}
