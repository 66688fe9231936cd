//! Which seen entries no later scan will need.

use std::time::Duration;

use connector::Timestamp;

use crate::seen::UNVERSIONED;
use crate::snapshot::{Partition, Snapshot};

/// What may be forgotten: everything that changed before, less what a partition that is not
/// listed would show again once it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Horizon {
    before: i64,
    /// From and up to which version entries stay: what is held for partitions that may come back
    /// does not grow, since nothing of theirs is settled meanwhile.
    kept: Vec<(i64, i64)>,
}

impl Horizon {
    /// Everything before a moment.
    pub(crate) const fn at(before: Timestamp) -> Self {
        Self { before: before.millis(), kept: vec![] }
    }

    /// What scans of the listed partitions will not ask for again; `None` while one of them has
    /// not been read whole.
    pub(crate) fn of(snapshot: &Snapshot, listed: &[String], overlap: Duration) -> Option<Self> {
        let mut horizon = Self::at(snapshot.horizon(listed, overlap)?);
        let gone = snapshot.partitions.iter().filter(|(id, _)| !listed.contains(id));
        horizon.kept = gone.filter_map(|(_, partition)| kept(partition, overlap)).collect();
        horizon.kept.retain(|(from, _)| *from < horizon.before);
        Some(horizon)
    }

    /// Whether an entry with this version stays. What has no version does: every scan shows it.
    pub(crate) fn keeps(&self, version: i64) -> bool {
        let kept = |(from, until): &(i64, i64)| (*from..=*until).contains(&version);
        version == UNVERSIONED || version >= self.before || self.kept.iter().any(kept)
    }
}

/// The versions that a partition would show again; none if it has been empty.
fn kept(partition: &Partition, overlap: Duration) -> Option<(i64, i64)> {
    let scanned = partition.scan.as_ref().and_then(|scan| scan.newest);
    let until = partition.last_updated.max(partition.newest).max(scanned)?;
    // Without a complete scan the next one asks for everything.
    let from = partition.last_updated.map_or(i64::MIN, |last| last.minus(overlap).millis());
    Some((from, until.millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::ScanState;

    #[test]
    fn what_a_partition_would_show_again_stays_while_it_is_not_listed() {
        let at = Timestamp::from_secs;
        let read = |seconds| Partition { last_updated: Some(at(seconds)), ..Partition::default() };
        let begun = ScanState { newest: Some(at(15)), ..ScanState::full(at(0)) };
        let mut snapshot = Snapshot::new("s".to_owned());
        snapshot.partitions.insert("here".to_owned(), read(100));
        let gone = Partition { newest: Some(at(42)), ..read(40) };
        snapshot.partitions.insert("gone".to_owned(), gone);
        let begun = Partition { scan: Some(begun), ..Partition::default() };
        snapshot.partitions.insert("begun".to_owned(), begun);
        let horizon = Horizon::of(&snapshot, &["here".to_owned()], Duration::from_secs(5)).unwrap();
        let stay = [1, 15, 16, 34, 35, 42, 43, 94, 95, 200].map(|it| horizon.keeps(it * 1_000));
        assert_eq!(stay, [true, true, false, false, true, true, false, false, true, true]);
        assert!(horizon.keeps(UNVERSIONED));
    }
}
