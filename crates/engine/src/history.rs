//! Why a snapshot is remembered.

use connector::Timestamp;
use store::Cause;

use crate::snapshot::Snapshot;

/// Why the snapshot of a page's commit is remembered: a partition's `lastUpdated` moved, or a
/// backfill ended. Most pages only move a place inside a scan.
pub(crate) fn cause(before: &Snapshot, after: &Snapshot, now: Timestamp) -> Option<Cause> {
    let remembered = |what: &str| Some(Cause { at: now.millis(), what: what.to_owned() });
    if before.backfill.is_some() != after.backfill.is_some() {
        return remembered("backfill");
    }
    let moved = after.partitions.iter().any(|(id, partition)| {
        let known = before.partitions.get(id).and_then(|known| known.last_updated);
        partition.last_updated != known
    });
    if moved { remembered("scan") } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshot::{Partition, ScanState};

    #[test]
    fn only_what_moves_last_updated_or_ends_a_backfill_is_remembered() {
        let now = Timestamp::from_secs(9);
        let of = |seconds: Option<i64>, place: Option<i64>| {
            let scan = |place| ScanState { cursor: Some(json!(place)), ..ScanState::full(now) };
            let last_updated = seconds.map(Timestamp::from_secs);
            let part = Partition { last_updated, scan: place.map(scan), ..Partition::default() };
            Snapshot { partitions: [(String::new(), part)].into(), ..Snapshot::default() }
        };
        let what = |before: &Snapshot, after: &Snapshot| {
            cause(before, after, now).map(|cause| (cause.what, cause.at))
        };
        assert_eq!(what(&Snapshot::default(), &of(None, Some(1))), None);
        assert_eq!(what(&of(Some(1), None), &of(Some(1), Some(2))), None);
        assert_eq!(what(&of(Some(1), Some(2)), &of(Some(3), None)), Some(("scan".into(), 9000)));
        let mut filling = of(Some(1), None);
        filling.backfill = Some(crate::Backfill::new(now, None, now, 1));
        assert_eq!(what(&filling, &of(Some(1), None)), Some(("backfill".into(), 9000)));
    }
}
