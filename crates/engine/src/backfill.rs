//! A backfill: what changed since a moment is sent again, beside what is live.

use connector::Timestamp;
use serde::{Deserialize, Serialize};
use store::Counts;

use crate::forgotten::Forgotten;
use crate::snapshot::{ScanState, Snapshot};

/// A backfill under way. Its place moves in the commits of its pages; `lastUpdated` and the scans
/// of what is live are not its business.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backfill {
    /// Records that changed before are left out.
    pub from: Timestamp,
    /// Records that changed later are left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
    /// When it began, by our clock.
    pub began: Timestamp,
    /// The commit with which it began: what was settled up to there counts as absent for it.
    pub commit: u64,
    /// The partition that is scanned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub under_way: Option<UnderWay>,
    /// The partitions that are done.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub done: Vec<String>,
    /// What became of its records so far.
    #[serde(default)]
    pub counts: Counts,
}

/// A backfill's place in a partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnderWay {
    /// The partition.
    pub partition: String,
    /// Its scan.
    pub scan: ScanState,
}

/// What a run did of a backfill.
#[derive(Clone, Debug)]
pub struct Backfilled {
    /// As it stands behind the last page, over all runs.
    pub backfill: Backfill,
    /// Whether it came to its end.
    pub is_complete: bool,
    /// Whether the trigger could be asked for what changed since a moment; otherwise everything
    /// was read.
    pub by_time: bool,
}

/// What a page is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// What changes now.
    Live,
    /// A backfill.
    Backfill,
    /// What a system said by itself, of records that are asked for.
    Events,
}

/// What makes a record one that has to be sent, in one kind of page.
pub(crate) struct Rules {
    pub(crate) forgotten: Vec<Forgotten>,
    pub(crate) until: Option<Timestamp>,
    /// Keeps the messages' ids apart from those of what was sent before.
    pub(crate) generation: u64,
}

impl Backfill {
    /// A backfill that begins now, with a commit.
    pub(crate) fn new(
        from: Timestamp,
        until: Option<Timestamp>,
        began: Timestamp,
        commit: u64,
    ) -> Self {
        let (under_way, done, counts) = (None, vec![], Counts::default());
        Self { from, until, began, commit, under_way, done, counts }
    }

    /// The partition that comes next and the scan of it; `None` if all that are listed are done.
    pub(crate) fn next(
        &self,
        listed: &[String],
        by_time: bool,
        now: Timestamp,
    ) -> Option<(String, ScanState)> {
        let under_way = self.under_way.as_ref().filter(|it| listed.contains(&it.partition));
        if let Some(UnderWay { partition, scan }) = under_way {
            return Some((partition.clone(), scan.clone()));
        }
        let partition = listed.iter().find(|id| !self.done.contains(id))?;
        let scan = if by_time { ScanState::changed(self.from) } else { ScanState::full(now) };
        Some((partition.clone(), scan))
    }

    /// Moves behind a page.
    pub(crate) fn pass(&mut self, partition: &str, scan: &ScanState, counts: Counts) {
        let partition = partition.to_owned();
        if scan.cursor.is_some() {
            self.under_way = Some(UnderWay { partition, scan: scan.clone() });
        } else {
            self.under_way = None;
            self.done.push(partition);
        }
        self.counts = self.counts.checked_add(counts).unwrap_or(self.counts);
    }

    /// Whether all that are listed are done.
    pub(crate) fn is_complete(&self, listed: &[String]) -> bool {
        listed.iter().all(|id| self.done.contains(id))
    }

    /// Forgets the place inside a partition, which is scanned afresh.
    pub(crate) fn restart_partition(&mut self) {
        self.under_way = None;
    }
}

impl Snapshot {
    /// What has to be sent of a page.
    pub(crate) fn rules(&self, of: Of) -> Rules {
        let mut forgotten = self.forgotten.clone();
        match self.backfill.as_ref().filter(|_| of == Of::Backfill) {
            None => Rules { forgotten, until: None, generation: self.generation },
            Some(backfill) => {
                Forgotten { after: 0, up_to: backfill.commit, since: None }.add(&mut forgotten);
                // No generation comes as high, and no two backfills begin with the same commit.
                Rules { forgotten, until: backfill.until, generation: !backfill.commit }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn partitions_are_taken_one_after_another_and_a_vanished_one_holds_nothing_up() {
        let at = Timestamp::from_secs;
        let listed = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let mut backfill = Backfill::new(at(10), None, at(100), 7);
        let both = listed(&["a", "b"]);
        let (partition, mut scan) = backfill.next(&both, true, at(100)).unwrap();
        assert_eq!((&*partition, scan.since), ("a", Some(at(10))));
        scan.cursor = Some(json!(1));
        backfill.pass("a", &scan, Counts { records: 3, ..Counts::default() });
        assert_eq!(backfill.next(&both, true, at(100)).unwrap().1.cursor, Some(json!(1)));
        // The partition that was scanned is gone: the other one goes on.
        assert_eq!(backfill.next(&listed(&["b"]), false, at(100)).unwrap().1.since, None);
        scan.cursor = None;
        backfill.pass("a", &scan, Counts { records: 2, ..Counts::default() });
        assert!(backfill.is_complete(&listed(&["a"])) && !backfill.is_complete(&both));
        assert_eq!(backfill.next(&both, true, at(100)).unwrap().0, "b");
        assert_eq!(backfill.counts.records, 5);
    }
}
