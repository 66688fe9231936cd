//! Where flows stand, looked up in the store whenever the metrics are asked for.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use engine::Snapshot;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use store::{DeadLetterSummary, LetterState, Store};

use super::Flow;

/// What waits in each flow, and how far it came.
#[derive(Default)]
pub(super) struct Standing {
    snapshot: Family<Flow, Gauge>,
    inbox: Family<Flow, Gauge>,
    letters: Family<Flow, Gauge>,
    counted: Mutex<Counted>,
}

/// Open dead letters as counted last: a count reads every letter of the flow.
#[derive(Default)]
struct Counted {
    /// How many there were, and the commit that was the last one then.
    flows: HashMap<String, (i64, u64)>,
    /// The flows that committed some since.
    refused: HashSet<String>,
}

impl Standing {
    pub(super) fn register(&self, all: &mut Registry) {
        let help = "A flow's lastUpdated: all that changed before is settled";
        let snapshot = self.snapshot.clone();
        all.register_with_unit("snapshot_timestamp", help, Unit::Seconds, snapshot);
        let help = "What came for a flow and waits in its inbox";
        all.register("inbox_waiting", help, self.inbox.clone());
        let help = "Dead letters that nobody has replayed or dropped";
        all.register("dead_letters_open", help, self.letters.clone());
    }

    /// Takes note that a commit of a flow made dead letters.
    pub(super) fn refused(&self, flow: &str) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if !counted.refused.contains(flow) {
            counted.refused.insert(flow.to_owned());
        }
    }

    /// Looks a flow up. One whose state cannot be read keeps its numbers; its runs fail and say why.
    pub(super) async fn look(&self, store: &dyn Store, flow: String) {
        let of = Flow { flow: flow.clone() };
        if let Ok(state) = store.inbox_state(&flow).await {
            // Flows that nobody calls have no inbox, and no line.
            if state.last > 0 {
                let waiting = i64::try_from(state.waiting).unwrap_or(i64::MAX);
                self.inbox.get_or_create(&of).set(waiting);
            }
        }
        let Ok(Some(head)) = store.head(&flow).await else { return };
        if let Ok(Snapshot { last_updated: Some(at), .. }) = Snapshot::read(&flow, &head.snapshot) {
            self.snapshot.get_or_create(&of).set(at.secs());
        }
        if let Some(open) = self.count(store, &flow, head.sequence).await {
            self.letters.get_or_create(&of).set(open);
        }
    }

    /// The open dead letters of a flow. They change only by commits, and where there are none only by
    /// one that makes some: else what was counted last still holds.
    async fn count(&self, store: &dyn Store, flow: &str, commit: u64) -> Option<i64> {
        {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            // Forgotten before the count: what is committed meanwhile is counted the next time.
            let refused = counted.refused.remove(flow);
            match counted.flows.get_mut(flow) {
                Some((open, at)) if *at == commit || (*open == 0 && !refused) => {
                    *at = commit;
                    return Some(*open);
                }
                _ => {}
            }
        }
        let mut open = 0;
        let mut each = |letter: DeadLetterSummary| {
            open += i64::from(letter.state == LetterState::Open);
            true
        };
        let read = store.each_dead_letter(Some(flow), &mut each).await;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if read.is_err() {
            counted.refused.insert(flow.to_owned());
            return None;
        }
        counted.flows.insert(flow.to_owned(), (open, commit));
        Some(open)
    }
    /// Has a line of each kind for a flow.
    #[cfg(test)]
    pub(super) fn all(&self, of: &Flow) {
        for family in [&self.snapshot, &self.inbox, &self.letters] {
            family.get_or_create(of).set(0);
        }
    }
}
