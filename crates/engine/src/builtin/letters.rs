//! New dead letters: how many a flow has, and by which codes they were refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connector::Timestamp;
use store::{DeadLetterSummary, LetterState, Result, Store};

use super::alert::Alert;
use super::kept::{Mark, Told};
use super::record::{Coded, DeadLettered};
use super::teller::Teller;

/// So many letters of a flow are looked at, at most.
const LOOKED_AT: usize = 20_000;

/// So many codes are told.
const CODES: usize = 10;

impl Teller {
    /// Lets wait what there is to tell of dead letters.
    pub(super) async fn letters(
        &mut self,
        of: &Arc<str>,
        alert: &Alert,
        told: &mut Told,
    ) -> Result<Option<Duration>> {
        let now = self.now();
        let mut next: Option<Duration> = None;
        for flow in self.open.get(of).cloned().unwrap_or_default() {
            let before = told.marks.get(&*flow).cloned();
            let known = before.as_ref().map_or(0, |mark| mark.total);
            let due = alert.is_about(&flow) && !self.alerts.heard().alerts.contains_key(&flow);
            let total = if due { self.dead_letters(&flow).await? } else { known };
            if total > known {
                // After a clock was set back nobody waits for what it showed before.
                let at = before.map(|mark| mark.at).filter(|at| *at <= now);
                let left =
                    at.map_or(Duration::ZERO, |at| alert.length.saturating_sub(now.since(at)));
                if !left.is_zero() {
                    next = Some(next.map_or(left, |next| next.min(left)));
                    continue;
                }
                let count = total - known;
                let record = DeadLettered {
                    flow: flow.to_string(),
                    count,
                    total,
                    codes: codes(self.store(), &flow, count).await?,
                    since: at.filter(|at| *at != Timestamp::default()),
                    at: now,
                    command: format!("towpath dead-letters list {flow}"),
                };
                told.tell(("letters", &flow), known, &record);
                told.mark(flow.to_string(), Mark { at: now, total, ..Mark::default() });
            }
            if let Some(open) = self.open.get_mut(of) {
                open.remove(&flow);
            }
        }
        Ok(next)
    }
}

/// The codes of the newest open letters, as many as there are new ones, the most frequent first.
async fn codes(store: &dyn Store, flow: &str, new: u64) -> Result<Vec<Coded>> {
    let mut looked_at = 0;
    let mut found: Vec<(i64, String, Option<String>)> = vec![];
    let mut each = |letter: DeadLetterSummary| {
        looked_at += 1;
        if letter.state == LetterState::Open {
            found.push((letter.at, letter.code, letter.step));
        }
        looked_at < LOOKED_AT
    };
    store.each_dead_letter(Some(flow), &mut each).await?;
    found.sort_by_key(|letter| std::cmp::Reverse(letter.0));
    let mut counts: BTreeMap<(String, Option<String>), u64> = BTreeMap::new();
    for (_, code, step) in found.into_iter().take(usize::try_from(new).unwrap_or(usize::MAX)) {
        *counts.entry((code, step)).or_default() += 1;
    }
    let codes = counts.into_iter().map(|((code, step), count)| Coded { code, step, count });
    let mut codes: Vec<_> = codes.collect();
    codes.sort_by_key(|coded| std::cmp::Reverse(coded.count));
    codes.truncate(CODES);
    Ok(codes)
}
