//! By which codes a flow's newest dead letters were refused.

use std::collections::BTreeMap;

use store::{DeadLetterSummary, LetterState, Result, Store};

use super::record::Coded;

/// So many letters of a flow are looked at, at most.
const LOOKED_AT: usize = 20_000;

/// So many codes are told.
const CODES: usize = 10;

/// The codes of the newest open letters, as many as there are new ones, the most frequent first.
pub(super) async fn codes(store: &dyn Store, flow: &str, new: u64) -> Result<Vec<Coded>> {
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
