//! The endpoints of CleverTap: which request is meant, who may ask, and its answer.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};

use super::archive::{Archive, Delivered, Refused};
use super::upload;
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
    Unknown,
}

impl Endpoint {
    /// Recognises a request.
    pub(crate) fn of(call: &Call) -> Self {
        match (&call.method, call.path().as_slice()) {
            (&Method::POST, ["1", "upload"]) => Self::Upload,
            (&Method::GET, ["1", "profile.json"]) => Self::Profile,
            (&Method::GET, ["v1", "connect"]) => Self::Connect,
            _ => Self::Unknown,
        }
    }

    /// Names the endpoint as the counters show it.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Upload => "POST /1/upload",
            Self::Profile => "GET /1/profile.json",
            Self::Connect => "GET /v1/connect",
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
}

/// The account and what it received.
#[derive(Debug, Default)]
pub(crate) struct CleverTap {
    archive: Mutex<Archive>,
    keep: bool,
    /// Requests under way, one counter an API; the sandbox has one account.
    under_way: [AtomicUsize; 3],
}

/// A request that counts against an API's limit until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a>(Option<&'a AtomicUsize>);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(counter) = self.0 {
            counter.fetch_sub(1, Ordering::SeqCst);
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
            _ => switches.other_concurrency,
        };
        let Some(counter) = self.under_way.get(endpoint as usize) else {
            return Some(Permit(None));
        };
        let before = counter.fetch_add(1, Ordering::SeqCst);
        let permit = Permit(Some(counter));
        (before < limit).then_some(permit)
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
        let account = call.header("X-CleverTap-Account-Id").unwrap_or_default();
        // Third parties saw this one answer of the credential check; elsewhere it is a plain 401.
        if endpoint == Endpoint::Connect && account.is_empty() {
            return (Answer::fail(503, "account id should not be empty"), tally);
        }
        let passcode = call.header("X-CleverTap-Passcode").unwrap_or_default();
        if account != credentials.project_id || passcode != credentials.passcode {
            return (refuse(switches), tally);
        }
        let answer = match endpoint {
            Endpoint::Upload if switches.uploads_refused => Answer::fail(403, "Forbidden"),
            Endpoint::Connect if switches.connect_missing => Answer::fail(404, "Not Found"),
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
            Endpoint::Connect | Endpoint::Unknown => {
                Answer::json(200, &json!({ "status": "success" }))
            }
        };
        (answer, tally)
    }

    fn profile_json(&self, call: &Call, switches: &Switches) -> Answer {
        let object = call.parameter("objectId").map(|id| format!("objectId:{id}"));
        let key = call.parameter("identity").or(object.as_deref());
        let email = call.parameter("email");
        if key.is_none() && email.is_none() {
            return Answer::fail(400, "Malformed request");
        }
        match (lock(&self.archive).show(key, email), switches.missing_profile) {
            (Some(record), _) => {
                Answer::json(200, &json!({ "status": "success", "record": record }))
            }
            (None, MissingProfile::Fail) => Answer::fail_with(200, 404, "Profile not found"),
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
        lock(&self.archive).profile_count()
    }

    pub(crate) fn clear(&self) {
        lock(&self.archive).clear();
    }
}

fn refuse(switches: &Switches) -> Answer {
    match switches.bad_credentials {
        BadCredentials::Unauthorized => Answer::fail(401, "Invalid Credentials"),
        BadCredentials::BadRequest => Answer::fail(400, "Failed to process request"),
        BadCredentials::Forbidden => Answer::fail(403, "Forbidden"),
    }
}
