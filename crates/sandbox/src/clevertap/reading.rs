//! The endpoints that read: exports page by page, counts, reports.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::archive::Archive;
use super::{counting, export, query::Query, zone::Zone};
use crate::answer::Answer;
use crate::call::Call;
use crate::lock::lock;

/// How reading behaves where the documentation is silent or sources disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ReadingSwitches {
    /// How often the first page of an export is still in progress, and a count partial, before it is
    /// there.
    pub pending: u32,
    /// So many exports are forgotten once their first page was given: their cursors are not known any
    /// more. How that is said is not documented.
    pub forgotten: u32,
    /// After so many pages, the next cursor of an export is that of its first page again; 0 never.
    /// Third parties guard against it.
    pub circle: usize,
    /// The project's time zone, by its IANA name: in it are the times of exported events, and the
    /// days of queries. No API tells it.
    pub timezone: Zone,
    /// How a campaign without a result is told; sources name all of them.
    pub no_report: NoReport,
    /// The figures of campaigns that have some, by their ids.
    pub reports: BTreeMap<u64, BTreeMap<String, u64>>,
}

impl Default for ReadingSwitches {
    fn default() -> Self {
        Self {
            pending: 0,
            forgotten: 0,
            circle: 0,
            timezone: Zone::default(),
            no_report: NoReport::Failure,
            reports: BTreeMap::new(),
        }
    }
}

/// How a campaign without a result is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoReport {
    /// 409, as documented.
    Conflict,
    /// 500 with words that say so, as observed.
    Failure,
    /// 200 with an error: it was not delivered.
    Incomplete,
    /// The same with `status: fail`, as it was before.
    IncompleteFail,
    /// 400: there is no such campaign. How that is told is not documented.
    Missing,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    OpenEvents,
    PageOfEvents,
    OpenProfiles,
    PageOfProfiles,
    CountEvents,
    CountedEvents,
    CountProfiles,
    CountedProfiles,
    Top,
    ToldTop,
    Trends,
    ToldTrends,
    Report,
}

/// Every endpoint, by method and path.
const ENDPOINTS: &[(Reading, &str)] = &[
    (Reading::OpenEvents, "POST /1/events.json"),
    (Reading::PageOfEvents, "GET /1/events.json"),
    (Reading::OpenProfiles, "POST /1/profiles.json"),
    (Reading::PageOfProfiles, "GET /1/profiles.json"),
    (Reading::CountEvents, "POST /1/counts/events.json"),
    (Reading::CountedEvents, "GET /1/counts/events.json"),
    (Reading::CountProfiles, "POST /1/counts/profiles.json"),
    (Reading::CountedProfiles, "GET /1/counts/profiles.json"),
    (Reading::Top, "POST /1/counts/top.json"),
    (Reading::ToldTop, "GET /1/counts/top.json"),
    (Reading::Trends, "POST /1/counts/trends.json"),
    (Reading::ToldTrends, "GET /1/counts/trends.json"),
    (Reading::Report, "POST /1/targets/result.json"),
];

/// What was begun and is asked after: exports by their cursors, counts by their `req_id`.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) number: u64,
    /// How many exports were forgotten.
    pub(super) forgot: u32,
    pub(super) exports: BTreeMap<u64, export::Export>,
    pub(super) counts: BTreeMap<u64, (u32, Value)>,
}

impl Reading {
    /// Recognises a request.
    pub(super) fn of(call: &Call) -> Option<Self> {
        if !matches!(call.method, Method::GET | Method::POST) {
            return None;
        }
        let template = format!("{} /{}", call.method, call.segments.join("/"));
        ENDPOINTS.iter().find(|(_, known)| *known == template).map(|(endpoint, _)| *endpoint)
    }

    /// Names the endpoint as the counters show it.
    pub(super) fn template(self) -> &'static str {
        let known = ENDPOINTS.iter().find(|(endpoint, _)| *endpoint == self);
        known.map_or("*", |(_, template)| template)
    }

    /// Answers a request of somebody who may ask.
    pub(super) fn answer(
        self,
        call: &Call,
        body: &Bytes,
        (archive, begun): (&Mutex<Archive>, &Mutex<Begun>),
        switches: &ReadingSwitches,
    ) -> Answer {
        match self {
            Self::OpenEvents | Self::OpenProfiles => {
                let query = match Query::read(body) {
                    Ok(query) => query,
                    Err(refused) => return refused,
                };
                let records = match self {
                    Self::OpenEvents => export::events(&lock(archive), &query, switches),
                    _ => export::profiles(&lock(archive), &query, switches, call),
                };
                export::open(&mut lock(begun), records, call, switches)
            }
            Self::PageOfEvents | Self::PageOfProfiles => {
                export::page(&mut lock(begun), call, switches)
            }
            Self::CountEvents | Self::CountProfiles | Self::Top | Self::Trends => {
                let query = match Query::read(body) {
                    Ok(query) => query,
                    Err(refused) => return refused,
                };
                let (archive, asked) = (lock(archive), &query.rest);
                let counted = match self {
                    Self::CountEvents => counting::events(&archive, &query, switches),
                    Self::CountProfiles => counting::profiles(&archive, &query, switches),
                    Self::Top => counting::top(&archive, &query, asked, switches),
                    _ => counting::trends(&archive, &query, asked, switches),
                };
                counting::begin(&mut lock(begun), counted, switches)
            }
            Self::CountedEvents | Self::CountedProfiles | Self::ToldTop | Self::ToldTrends => {
                counting::told(&mut lock(begun), call)
            }
            Self::Report => report(body, switches),
        }
    }
}

fn report(body: &Bytes, switches: &ReadingSwitches) -> Answer {
    let asked = serde_json::from_slice::<Value>(body).ok();
    let Some(id) = asked.as_ref().and_then(|asked| asked.get("id")?.as_u64()) else {
        return Answer::fail(400, "Malformed request");
    };
    match (switches.reports.get(&id), switches.no_report) {
        (Some(figures), _) => Answer::json(200, &json!({ "result": figures, "status": "success" })),
        (None, NoReport::Conflict) => Answer::fail(409, "This target has no result as of yet"),
        (None, NoReport::Failure) => Answer::fail(500, "This target has no result as of yet"),
        (None, NoReport::Incomplete) => Answer::json(
            200,
            &json!({
                "status": "success", "error": "This target hasn't been completed", "code": 200,
            }),
        ),
        (None, NoReport::IncompleteFail) => {
            Answer::fail_with(200, 200, "This target hasn't been completed")
        }
        (None, NoReport::Missing) => Answer::fail(400, "Malformed request"),
    }
}
