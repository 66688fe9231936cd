//! What each vendor counted.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::lock::lock;

/// Which of the two systems is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// CleverReach, the newsletter system.
    CleverReach,
    /// CleverTap, the engagement system.
    CleverTap,
}

/// The counters of both vendors since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// What CleverReach counted.
    pub cleverreach: VendorStats,
    /// What CleverTap counted.
    pub clevertap: VendorStats,
}

/// The counters of one vendor; what does not apply to it stays 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VendorStats {
    /// Requests by method and path template, such as `POST /1/upload` or
    /// `GET /v3/groups/{id}/receivers`; unknown paths count as `GET *`.
    pub requests: BTreeMap<String, u64>,
    /// Access tokens issued.
    pub tokens_issued: u64,
    /// Receivers in the pages of lists and filters.
    pub receivers_listed: u64,
    /// Receivers that upserts took.
    pub receivers_upserted: u64,
    /// Receivers that upserts refused.
    pub receivers_refused: u64,
    /// Confirmation mails that were sent.
    pub mails_sent: u64,
    /// Uploads that were processed, dry runs excluded.
    pub uploads: u64,
    /// Uploads with `dryRun=1` that were validated.
    pub dry_runs: u64,
    /// Records that uploads accepted.
    pub records_accepted: u64,
    /// Those among them that are events: one that is uploaded twice counts twice.
    pub events_accepted: u64,
    /// Records that uploads refused.
    pub records_refused: u64,
    /// Installs and events that attribution took and stored.
    pub attributions: u64,
    /// Requests answered 429 for too many at once.
    pub over_limit: u64,
    /// The most requests under way at once, of all APIs together.
    pub most_at_once: u64,
    /// The most requests under way at once of each method and path template.
    pub most_at_once_to: BTreeMap<String, u64>,
    /// Requests that a fault was applied to.
    pub faults_applied: u64,
}

impl VendorStats {
    /// Counts all requests.
    pub fn total_requests(&self) -> u64 {
        self.requests.values().sum()
    }

    /// Counts the requests of one `METHOD path-template`.
    pub fn requests_to(&self, template: &str) -> u64 {
        self.requests.get(template).copied().unwrap_or(0)
    }

    /// Gives the most requests of one `METHOD path-template` under way at once.
    pub fn most_at_once_to(&self, template: &str) -> u64 {
        self.most_at_once_to.get(template).copied().unwrap_or(0)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stats: Stats,
    under_way: [UnderWayOf; 2],
}

/// The requests of one vendor that are being answered.
#[derive(Debug, Default)]
struct UnderWayOf {
    all: u64,
    by_template: BTreeMap<String, u64>,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        lock(&self.0).stats.clone()
    }

    pub(crate) fn reset(&self) {
        lock(&self.0).stats = Stats::default();
    }

    pub(crate) fn update(&self, vendor: Vendor, change: impl FnOnce(&mut VendorStats)) {
        change(lock(&self.0).of(vendor));
    }

    /// Counts a request as arrived and as under way until the guard is dropped.
    pub(crate) fn arrive(&self, vendor: Vendor, template: &str) -> UnderWay<'_> {
        let mut inner = lock(&self.0);
        let (now, of_template) = inner.enter(vendor, template);
        let stats = inner.of(vendor);
        add(&mut stats.requests, template);
        stats.most_at_once = stats.most_at_once.max(now);
        match stats.most_at_once_to.get_mut(template) {
            Some(most) => *most = (*most).max(of_template),
            None => {
                stats.most_at_once_to.insert(template.to_owned(), of_template);
            }
        }
        drop(inner);
        UnderWay { counters: self, vendor, template: template.to_owned() }
    }
}

/// Counts one more and gives the count.
fn add(counts: &mut BTreeMap<String, u64>, template: &str) -> u64 {
    match counts.get_mut(template) {
        Some(count) => {
            *count += 1;
            *count
        }
        None => {
            counts.insert(template.to_owned(), 1);
            1
        }
    }
}

impl Inner {
    fn of(&mut self, vendor: Vendor) -> &mut VendorStats {
        match vendor {
            Vendor::CleverReach => &mut self.stats.cleverreach,
            Vendor::CleverTap => &mut self.stats.clevertap,
        }
    }

    fn under_way_of(&mut self, vendor: Vendor) -> &mut UnderWayOf {
        let [reach, tap] = &mut self.under_way;
        match vendor {
            Vendor::CleverReach => reach,
            Vendor::CleverTap => tap,
        }
    }

    /// Gives how many are under way with this one: of the vendor, and of the template.
    fn enter(&mut self, vendor: Vendor, template: &str) -> (u64, u64) {
        let under_way = self.under_way_of(vendor);
        under_way.all += 1;
        (under_way.all, add(&mut under_way.by_template, template))
    }
}

/// A request that is being answered.
pub(crate) struct UnderWay<'a> {
    counters: &'a Counters,
    vendor: Vendor,
    template: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut inner = lock(&self.counters.0);
        let under_way = inner.under_way_of(self.vendor);
        under_way.all = under_way.all.saturating_sub(1);
        if let Some(count) = under_way.by_template.get_mut(&self.template) {
            *count = count.saturating_sub(1);
        }
    }
}
