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
    /// How wide the ranges are into which the most frequent numbers are put, as in the vendor's sample
    /// (`0-100`); how it makes them is not documented. With 0 each number stands for itself.
    pub ranges: u32,
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
            ranges: 100,
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

/// How many exports, and how many counts, are kept; the oldest are not known any more.
const MOST_BEGUN: usize = 64;

/// What was begun and is asked after, where it was begun: exports by their cursors, counts by their
/// `req_id`.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) number: u64,
    /// How many exports were forgotten.
    pub(super) forgot: u32,
    pub(super) exports: Kept<export::Export>,
    pub(super) counts: Kept<counting::Count>,
}

/// What was begun last, by its number and path.
#[derive(Debug)]
pub(super) struct Kept<T>(BTreeMap<u64, (&'static str, T)>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Kept<T> {
    pub(super) fn keep(&mut self, number: u64, path: &'static str, begun: T) {
        self.0.insert(number, (path, begun));
        if self.0.len() > MOST_BEGUN {
            drop(self.0.pop_first());
        }
    }

    pub(super) fn forget(&mut self, number: u64) {
        self.0.remove(&number);
    }

    /// Gives what was begun at this path.
    pub(super) fn get_mut(&mut self, number: u64, path: &str) -> Option<&mut T> {
        let (begun_at, begun) = self.0.get_mut(&number)?;
        (*begun_at == path).then_some(begun)
    }
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

    /// The path alone: what is begun by POST there is asked after by GET.
    pub(super) fn path(self) -> &'static str {
        self.template().split_once(' ').map_or("*", |(_, path)| path)
    }

    /// What is asked for besides a query.
    const fn besides(self) -> &'static [&'static str] {
        match self {
            Self::Top => &["groups"],
            Self::Trends => &["groups", "unique", "sum_event_prop"],
            _ => &[],
        }
    }

    /// Answers a request of somebody who may ask.
    pub(super) fn answer(
        self,
        call: &Call,
        body: &Bytes,
        (archive, begun): (&Mutex<Archive>, &Mutex<Begun>),
        switches: &ReadingSwitches,
    ) -> Answer {
        let opened = |body: &[u8]| {
            let query = Query::read(body, self.besides())?;
            let records = match self {
                Self::OpenEvents | Self::PageOfEvents => {
                    export::events(&lock(archive), &query, switches)?
                }
                _ => export::profiles(&lock(archive), &query, switches, call),
            };
            Ok(export::open(&mut lock(begun), self.path(), records, call, switches))
        };
        match self {
            Self::OpenEvents | Self::OpenProfiles => opened(body).unwrap_or_else(|refused| refused),
            Self::PageOfEvents | Self::PageOfProfiles => match call.parameter("query") {
                // The vendor's SDK for Node opens in this way.
                Some(query) => opened(query.as_bytes()).unwrap_or_else(|refused| refused),
                None => export::page(&mut lock(begun), self.path(), call, switches),
            },
            Self::CountEvents | Self::CountProfiles | Self::Top | Self::Trends => {
                let query = match Query::read(body, self.besides()) {
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
                counting::begin(&mut lock(begun), self.path(), counted, switches)
            }
            Self::CountedEvents | Self::CountedProfiles | Self::ToldTop | Self::ToldTrends => {
                counting::told(&mut lock(begun), self.path(), call)
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
