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
}

#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stats: Stats,
    under_way: [u64; 2],
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
        let slot = vendor as usize;
        let now = inner.under_way.get_mut(slot).map_or(0, |count| {
            *count += 1;
            *count
        });
        let stats = inner.of(vendor);
        match stats.requests.get_mut(template) {
            Some(count) => *count += 1,
            None => {
                stats.requests.insert(template.to_owned(), 1);
            }
        }
        stats.most_at_once = stats.most_at_once.max(now);
        drop(inner);
        UnderWay { counters: self, slot }
    }
}

impl Inner {
    fn of(&mut self, vendor: Vendor) -> &mut VendorStats {
        match vendor {
            Vendor::CleverReach => &mut self.stats.cleverreach,
            Vendor::CleverTap => &mut self.stats.clevertap,
        }
    }
}

/// A request that is being answered.
pub(crate) struct UnderWay<'a> {
    counters: &'a Counters,
    slot: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(count) = lock(&self.counters.0).under_way.get_mut(self.slot) {
            *count = count.saturating_sub(1);
        }
    }
}
