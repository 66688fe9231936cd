//! Back to an earlier state: what was settled since is sent again.

use std::time::Duration;

use connector::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::SeenChange;

use crate::change::{Change, Changed, Hands};
use crate::forgotten::{Forgotten, is_forgotten};
use crate::seen::Loading;
use crate::snapshot::{Partition, ScanState, Snapshot};
use crate::{Error, Result};

/// Where a flow's state goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RewindTo {
    /// A moment.
    Time(Timestamp),
    /// So many milliseconds before its `lastUpdated`.
    By(u64),
    /// A remembered snapshot, by its number in the history.
    Entry(u64),
}

/// What a rewind means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rewound {
    /// `lastUpdated` before.
    pub from: Option<Timestamp>,
    /// `lastUpdated` behind it.
    pub to: Option<Timestamp>,
    /// Whether the next run reads everything, since nothing tells where to begin.
    pub asks_for_all: bool,
    /// Whether something that was settled counts as absent.
    pub resends: bool,
    /// So many records of which it is still remembered that they were settled will be sent again
    /// if they are found.
    pub remembered: u64,
}

/// What a rewind makes of a snapshot, with the number of its own commit.
struct Rewinding<'a> {
    flow: &'a str,
    current: Snapshot,
    by_time: bool,
    now: Timestamp,
    sequence: u64,
}

impl Rewinding<'_> {
    /// Back to a moment: what was settled before and is not older counts as absent.
    fn back_to_time(self, to: Timestamp) -> Result<Snapshot> {
        let Self { flow, mut current, by_time, now, sequence } = self;
        if to > now {
            let problem = format!("{to} is in the future; a rewind goes back");
            return Err(Error::refused(flow, problem));
        }
        for partition in current.partitions.values_mut() {
            // A place inside a scan is behind records that are to be sent again. What is a little
            // older than asked for was settled, though nothing may remember that: a scan of
            // exactly what is asked for leaves it out, where a poll would overlap.
            let goes_back = by_time && partition.last_updated > Some(to);
            // One that was never read whole is not like one that is empty: what is known of it must
            // not be pruned before it is read again.
            let is_unread = partition.last_updated.is_none() && partition.scan.is_some();
            let again = is_unread.then(|| ScanState::full(now));
            let settled = partition.last_updated;
            partition.last_updated = settled.map(|known| known.min(to));
            partition.settled(settled);
            partition.give_up_scan();
            partition.scan = goes_back.then(|| ScanState::changed(to)).or(again);
        }
        current.begin = current.begin.map(|begin| begin.min(to));
        current.last_updated = current.last_updated.map(|known| known.min(to));
        current.generation += 1;
        let since = by_time.then_some(to);
        Forgotten { after: 0, up_to: sequence, since }.add(&mut current.forgotten);
        Ok(current)
    }

    /// Back to a remembered snapshot: what was settled since counts as absent. Where nothing goes
    /// back, such as when a rewind is taken back, everything that was settled counts.
    fn back_to_entry(self, entry: u64, remembered: &Snapshot) -> Snapshot {
        let Self { current, sequence, .. } = self;
        let goes_back = goes_back(&current, remembered);
        let mut target = remembered.clone();
        target.generation = current.generation.max(target.generation) + 1;
        // What is under way was begun after the entry or goes on from where it is.
        target.backfill = current.backfill;
        if goes_back {
            let since_entry = Forgotten { after: entry, up_to: sequence, since: None };
            since_entry.add(&mut target.forgotten);
        }
        target
    }
}

/// Whether a partition has to be asked for an earlier time again.
fn goes_back(current: &Snapshot, target: &Snapshot) -> bool {
    current.partitions.iter().any(|(id, Partition { last_updated, .. })| {
        let known = target.partitions.get(id).and_then(|known| known.last_updated);
        last_updated.is_some() && known < *last_updated
    })
}

impl Hands<'_> {
    /// Rewinds, or with `dry` only says what that would do.
    pub(crate) async fn rewind(
        &self,
        source: &str,
        by_time: bool,
        to: RewindTo,
        dry: bool,
    ) -> Result<(Changed, Rewound)> {
        let (flow, now) = (self.flow, self.engine.clock().now());
        let mut rewound = Rewound::default();
        let changed = self
            .change(async |head, sequence| {
                let refused = |problem: String| Error::refused(flow, problem);
                let Some(head) = head else {
                    return Err(refused(
                        "nothing is committed yet, so there is no way back".into(),
                    ));
                };
                let current = Snapshot::read(flow, &head.snapshot)?;
                let last = current.last_updated.or(current.begin);
                rewound.from = last;
                let rewinding = |current| Rewinding { flow, current, by_time, now, sequence };
                let snapshot = match to {
                    RewindTo::Entry(entry) => {
                        let remembered = self.entry(entry).await?;
                        if remembered.source != source {
                            return Err(refused(format!(
                                "entry {entry} is about another source than the flow reads now; \
                                 change the flow back first, or rewind to another entry"
                            )));
                        }
                        rewinding(current).back_to_entry(entry, &remembered)
                    }
                    RewindTo::Time(_) | RewindTo::By(_) if current.source != source => {
                        return Err(Error::SourceChanged { flow: flow.to_owned() });
                    }
                    RewindTo::Time(time) => rewinding(current).back_to_time(time)?,
                    RewindTo::By(millis) => {
                        let Some(last) = last else {
                            return Err(refused(
                                "it has no lastUpdated yet; say where to rewind by `--to TIME`"
                                    .into(),
                            ));
                        };
                        let by = Duration::from_millis(millis);
                        rewinding(current).back_to_time(last.minus(by))?
                    }
                };
                rewound.to = snapshot.last_updated.or(snapshot.begin);
                rewound.asks_for_all =
                    snapshot.partitions.values().all(|it| it.last_updated.is_none())
                        && snapshot.begin.is_none();
                let rules = snapshot.forgotten.iter().filter(|rule| rule.up_to == sequence);
                let rules: Vec<_> = rules.copied().collect();
                rewound.resends = !rules.is_empty();
                rewound.remembered = self.count(&rules).await?;
                let change = Change { snapshot, seen: SeenChange::default(), cause: "rewind" };
                Ok((!dry).then_some(change))
            })
            .await?;
        Ok((changed, rewound))
    }

    /// How many of the records that are remembered count as absent by these rules.
    async fn count(&self, rules: &[Forgotten]) -> Result<u64> {
        // Of the entries of a record the last one counts.
        let mut loading = Loading::of(0);
        let counted =
            self.engine.store().seen(self.flow, &mut |entries| loading.add(entries)).await;
        counted.map_err(|error| Error::store(self.flow, &error))?;
        let table = loading.table().compact();
        let seen = table.iter().flat_map(|shard| shard.iter());
        let forgotten = seen.filter(|seen| is_forgotten(rules, &(**seen).into()));
        Ok(forgotten.count() as u64)
    }

    async fn entry(&self, number: u64) -> Result<Snapshot> {
        let history = self.engine.store().history(self.flow).await;
        let history = history.map_err(|error| Error::store(self.flow, &error))?;
        let found = history.iter().find(|it| it.sequence == number);
        let found = found.ok_or_else(|| {
            let known: Vec<_> = history.iter().take(5).map(|it| it.sequence.to_string()).collect();
            let problem = match &*known {
                [] => "nothing is remembered of it yet".to_owned(),
                known => format!(
                    "there is no entry {number}; the last ones are {}, and `towpath state history \
                     {}` shows all",
                    known.join(", "),
                    self.flow
                ),
            };
            Error::refused(self.flow, problem)
        })?;
        Snapshot::read(self.flow, &found.snapshot)
    }
}
