//! What a polling flow remembers.

use std::collections::BTreeMap;
use std::time::Duration;

use connector::{Changes, Timestamp, Want};
use flow::Trigger;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backfill::Backfill;
use crate::forgotten::Forgotten;
use crate::{Error, Result};

/// The oldest format that this version reads.
const OLDEST: u32 = 1;

/// What a polling flow remembers. It begins empty; the first commit attaches what is known.
///
/// Invariant: it never passes a record that is not settled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Snapshot {
    /// The format's number.
    pub format: u32,
    /// The earliest `lastUpdated` of the listed partitions; never goes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<Timestamp>,
    /// When the earliest of the last full scans of the listed partitions began, by our clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sweep: Option<Timestamp>,
    /// The fingerprint of what is read: trigger, fields, connector and account.
    pub source: String,
    /// Counts the times that something was asked for anew.
    pub generation: u64,
    /// What was settled and counts as absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<Forgotten>,
    /// Where partitions begin that are listed next and were never read, instead of being read
    /// whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begin: Option<Timestamp>,
    /// The backfill under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Backfill>,
    /// What is remembered of each partition; the one of a trigger without any is called "".
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub partitions: BTreeMap<String, Partition>,
}

/// What is remembered of one partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Partition {
    /// Everything up to here was settled by complete scans.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_updated: Option<Timestamp>,
    /// The highest version that was settled, if it is later than `lastUpdated`: what is dated
    /// behind the system's own time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub newest: Option<Timestamp>,
    /// When the last complete full scan began, by our clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_sweep: Option<Timestamp>,
    /// Whether the names of all its keys are kept, for deletes.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub named: bool,
    /// Where the next scan begins, of what is appended behind what there is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<Value>,
    /// The scan under way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scan: Option<ScanState>,
}

/// A scan under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanState {
    /// The earliest version asked for; absent asks for everything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
    /// When a full scan began, by our clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub began: Option<Timestamp>,
    /// The highest version that its pages held.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub newest: Option<Timestamp>,
    /// The system's own time at the scan's first answer: `lastUpdated` does not pass it, since
    /// clients can date records into the future.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cap: Option<Timestamp>,
    /// Where the next page begins; absent at the start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cursor: Option<Value>,
}

impl ScanState {
    /// A scan of what changed since a moment.
    pub const fn changed(since: Timestamp) -> Self {
        Self { since: Some(since), began: None, newest: None, cap: None, cursor: None }
    }

    /// A full scan that begins now.
    pub const fn full(now: Timestamp) -> Self {
        Self { since: None, began: Some(now), newest: None, cap: None, cursor: None }
    }

    /// What the scan asks for.
    pub fn want(&self) -> Want {
        self.since.map_or(Want::All, |since| Want::Changed { since })
    }

    /// Takes note of a record's version.
    pub(crate) fn note(&mut self, version: Option<Timestamp>) {
        self.newest = self.newest.max(version);
    }

    /// The `lastUpdated` of the partition once this scan is complete.
    pub(crate) fn result(&self, before: Option<Timestamp>) -> Option<Timestamp> {
        let newest = match (self.newest, self.cap) {
            (Some(newest), Some(cap)) => Some(newest.min(cap)),
            (newest, _) => newest,
        };
        before.max(newest)
    }
}

impl Partition {
    /// Takes note of the highest version that something settled.
    pub(crate) fn settled(&mut self, newest: Option<Timestamp>) {
        self.newest = self.newest.max(newest).filter(|it| Some(*it) > self.last_updated);
    }

    /// Gives up a scan under way; what it settled stays known.
    pub(crate) fn give_up_scan(&mut self) {
        let scan = self.scan.take();
        self.settled(scan.and_then(|scan| scan.newest));
    }
}

impl Snapshot {
    /// The format that this version writes. The one before had neither `forgotten` nor `begin` nor
    /// `backfill`: who does not know them would not send what they ask for.
    pub const FORMAT: u32 = 2;

    /// Reads what a store keeps.
    ///
    /// A newer format is refused rather than misread.
    pub fn read(flow: &str, bytes: &[u8]) -> Result<Self> {
        let problem = |problem: String| Error::Snapshot { flow: flow.to_owned(), problem };
        let value: Value = serde_json::from_slice(bytes).map_err(|error| {
            problem(format!(
                "the stored snapshot is not JSON ({error}); restore a backup of the store, or \
                 `towpath state reset {flow}` reads everything again"
            ))
        })?;
        match value.get("format").and_then(Value::as_u64) {
            Some(format) if (OLDEST.into()..=Self::FORMAT.into()).contains(&format) => {}
            Some(found) if found > u64::from(Self::FORMAT) => {
                let (flow, known) = (flow.to_owned(), Self::FORMAT);
                return Err(Error::NewerSnapshot { flow, found, known });
            }
            _ => {
                return Err(problem(format!(
                    "the stored snapshot names no format; restore a backup of the store, or \
                     `towpath state reset {flow}` reads everything again"
                )));
            }
        }
        let read: Self = serde_json::from_value(value).map_err(|error| {
            problem(format!(
                "the stored snapshot cannot be read ({error}); restore a backup of the store, or \
                 `towpath state reset {flow}` reads everything again"
            ))
        })?;
        Ok(Self { format: Self::FORMAT, ..read })
    }

    /// A snapshot of a flow that never committed.
    pub fn new(source: String) -> Self {
        Self { format: Self::FORMAT, source, ..Self::default() }
    }

    /// The snapshot that a run of a flow with this source begins with.
    ///
    /// One about another source is refused: [`Error::SourceChanged`].
    pub(crate) fn of_head(flow: &str, head: Option<store::Head>, source: String) -> Result<Self> {
        let Some(head) = head else { return Ok(Self::new(source)) };
        let snapshot = Self::read(flow, &head.snapshot)?;
        if snapshot.source == source {
            Ok(snapshot)
        } else {
            Err(Error::SourceChanged { flow: flow.to_owned() })
        }
    }

    /// A new scan of a partition: of what changed since it was read whole, or of everything.
    pub(crate) fn next_scan(
        &self,
        partition: &str,
        trigger: &Trigger,
        now: Timestamp,
    ) -> ScanState {
        let by_time = matches!(trigger.trigger.changes(), Changes::Timestamps | Changes::Both);
        let known = self.partitions.get(partition).filter(|_| by_time);
        let last_updated = known.and_then(|partition| partition.last_updated);
        let position = self.partitions.get(partition).and_then(|it| it.position.clone());
        let appended = trigger.trigger.changes() == Changes::Appended;
        let cursor = position.filter(|_| appended);
        let begins = trigger.trigger.begins().filter(|_| by_time);
        match (last_updated, begins) {
            (Some(last_updated), _) => ScanState::changed(last_updated.minus(trigger.overlap)),
            (None, Some(begins)) => ScanState::changed(begins),
            (None, None) => ScanState { cursor, ..ScanState::full(now) },
        }
    }

    /// Whether a partition has to be read whole again, for what no timestamp shows. A sweep dated
    /// in the future is none: a clock that was wrong must not blind the flow.
    pub(crate) fn is_sweep_due(&self, partition: &str, trigger: &Trigger, now: Timestamp) -> bool {
        let Some(every) = trigger.sweep.filter(|_| trigger.trigger.changes() == Changes::Both)
        else {
            return false;
        };
        let last = self.partitions.get(partition).and_then(|partition| partition.last_sweep);
        last.is_none_or(|last| last > now || now.since(last) >= every)
    }

    /// Whether a full scan of a partition came to its end.
    pub(crate) fn was_read_whole(&self, partition: &str) -> bool {
        self.partitions.get(partition).is_some_and(|part| part.last_sweep.is_some())
    }

    /// Whether the names of all keys of a partition are kept.
    pub(crate) fn is_named(&self, partition: &str) -> bool {
        self.partitions.get(partition).is_some_and(|part| part.named)
    }

    /// The bytes for the store.
    pub(crate) fn write(&self, flow: &str) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::Snapshot {
            flow: flow.to_owned(),
            problem: format!("the snapshot cannot be written: {error}"),
        })
    }

    /// Gives partitions that are listed for the first time the moment where they are to begin;
    /// says whether there was one.
    pub(crate) fn adopt(&mut self, listed: &[String]) -> bool {
        let Some(begin) = self.begin.take() else { return false };
        for id in listed {
            let fresh = Partition { last_updated: Some(begin), ..Partition::default() };
            self.partitions.entry(id.clone()).or_insert(fresh);
        }
        self.settle_top(listed);
        true
    }

    /// Moves the top `lastUpdated` to the earliest of the listed partitions that have one, and
    /// `lastSweep` likewise.
    pub(crate) fn settle_top(&mut self, listed: &[String]) {
        let own = listed.iter().filter_map(|id| self.partitions.get(id)?.last_updated);
        self.last_updated = self.last_updated.max(own.min());
        let sweeps = listed.iter().filter_map(|id| self.partitions.get(id)?.last_sweep);
        self.last_sweep = sweeps.min();
    }

    /// Below this version no scan of the listed partitions will ask again; `None` while one of
    /// them has not been read whole. A partition that was read whole and is empty holds nothing
    /// back: its next scan asks for everything.
    pub(crate) fn horizon(&self, listed: &[String], overlap: Duration) -> Option<Timestamp> {
        let mut earliest = None;
        for id in listed {
            let partition = self.partitions.get(id)?;
            let Some(last_updated) = partition.last_updated else {
                if partition.scan.is_some() || partition.newest.is_some() {
                    return None;
                }
                continue;
            };
            earliest = Some(earliest.map_or(last_updated, |e: Timestamp| e.min(last_updated)));
        }
        Some(earliest?.minus(overlap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn last_updated_neither_goes_back_nor_passes_the_systems_own_time() {
        for (before, newest, cap, expected) in [
            (None, None, Some(100), None),
            (None, Some(90), Some(100), Some(90)),
            (None, Some(5000), Some(100), Some(100)),
            (Some(95), Some(90), Some(100), Some(95)),
            (Some(95), None, Some(100), Some(95)),
            (Some(95), Some(99), None, Some(99)),
        ] {
            let scan =
                ScanState { newest: newest.map(at), cap: cap.map(at), ..ScanState::full(at(0)) };
            assert_eq!(scan.result(before.map(at)), expected.map(at));
        }
    }

    #[test]
    fn the_top_is_the_earliest_listed_partition_and_pruning_waits_for_all() {
        let mut snapshot = Snapshot::new("s".to_owned());
        let listed = ["a".to_owned(), "b".to_owned()];
        let partition =
            |seconds| Partition { last_updated: Some(at(seconds)), ..Partition::default() };
        snapshot.partitions.insert("a".to_owned(), partition(100));
        snapshot.partitions.insert("gone".to_owned(), partition(1));
        snapshot.settle_top(&listed);
        assert_eq!(snapshot.last_updated, Some(at(100)));
        assert_eq!(snapshot.horizon(&listed, Duration::ZERO), None);
        snapshot.partitions.insert("b".to_owned(), partition(80));
        snapshot.settle_top(&listed);
        assert_eq!(snapshot.last_updated, Some(at(100)));
        assert_eq!(snapshot.horizon(&listed, Duration::from_secs(60)), Some(at(20)));
    }

    #[test]
    fn a_newer_format_is_refused_with_the_way_out() {
        let error = Snapshot::read("f", br#"{"format":7,"later":true}"#).unwrap_err().to_string();
        assert!(error.contains("newer towpath"), "{error}");
        let error = Snapshot::read("f", b"{\"format\":1,").unwrap_err().to_string();
        assert!(error.contains("state reset f"), "{error}");
        let old = Snapshot::read("f", br#"{"format":1,"source":"s","generation":2}"#).unwrap();
        assert_eq!((old.format, old.generation), (Snapshot::FORMAT, 2));
        let whole = Snapshot::new("s".to_owned());
        assert_eq!(Snapshot::read("f", &whole.write("f").unwrap()).unwrap(), whole);
    }
}
