//! What a trigger asks, where something goes wrong with it or around it: outages, a token that ends, a
//! restart, another moment, another partition.

use std::collections::BTreeSet;
use std::time::Duration;

use connector::{Changes, Scan, Want};

use crate::expect::Found;
use crate::outage::{self, renews};
use crate::poll::{Call, Play, is_same, page, shown};
use crate::promise::{Ledger, Promise};
use crate::stage::Ended;
use crate::tape::{Fault, Spoil};

pub(crate) async fn check(play: &Play<'_>, calls: &[Call], listing: &[usize], ledger: &mut Ledger) {
    outages(play, calls, listing, ledger).await;
    for call in calls {
        resume(play, call, ledger).await;
    }
    since(play, calls, ledger).await;
    elsewhere(play, calls, ledger).await;
}

/// Every exchange of every call goes wrong in every way.
async fn outages(play: &Play<'_>, calls: &[Call], listing: &[usize], ledger: &mut Ledger) {
    for at in distinct(listing) {
        for outage in outage::all(play.stage, at) {
            ledger.mutate(format!("the partitions are answered by {}", outage.name));
            let call = play.partitions();
            let played = play.stage.play(Some(outage.fault.clone()), ledger, call).await;
            outage.count(&played, ledger);
            match &played.ended {
                Ended::Gave(_) if played.heard.iter().all(|heard| !heard.faulted) => {}
                Ended::Gave(listed) => {
                    ledger.breaks(outage.promise, "an error", format!("partitions {listed:?}"));
                }
                Ended::Failed(error) => outage.judge(error, true, ledger),
                Ended::Stuck => {}
            }
        }
    }
    for (number, call) in some(calls) {
        for at in distinct(&call.exchanges) {
            for outage in outage::all(play.stage, at) {
                ledger.mutate(format!("page {number} is answered by {}", outage.name));
                spoilt(play, call, &outage, ledger).await;
            }
            if play.stage.tape.exchange(at).is_some_and(renews) {
                ledger.mutate(format!("page {number} is asked with a token that has ended"));
                renewal(play, call, at, ledger).await;
            }
        }
    }
}

/// One call whose exchange goes wrong, and the same once more when all is well.
async fn spoilt(play: &Play<'_>, call: &Call, outage: &outage::Outage, ledger: &mut Ledger) {
    let (Ok(trigger), Ok(api)) = (play.trigger(), play.stage.api()) else { return };
    let scan = play.scan(&call.partition, call.cursor.clone());
    let fault = Some(outage.fault.clone());
    let played = play.stage.play(fault, ledger, trigger.poll(&api, &scan)).await;
    outage.count(&played, ledger);
    match &played.ended {
        Ended::Gave(_) if played.heard.iter().all(|heard| !heard.faulted) => {}
        Ended::Gave(page) => {
            let more = if page.next.is_some() { "and a next page" } else { "and the end" };
            let got = format!("a page of {} records {more}", page.records.len());
            ledger.breaks(outage.promise, "an error", got);
        }
        Ended::Failed(error) => outage.judge(error, true, ledger),
        Ended::Stuck => return,
    }
    // The engine asks the same trigger for the same page again.
    play.stage.tape.mend();
    let again = play.stage.go_on(ledger, trigger.poll(&api, &scan)).await;
    let whole = matches!(&again.ended, Ended::Gave(page) if is_same(page, &call.page));
    if !whole {
        let expected = format!("the page {}", page(&Found::all(&call.page)));
        ledger.breaks(Promise::Cursor, expected, shown(&again.ended));
    }
}

async fn renewal(play: &Play<'_>, call: &Call, at: usize, ledger: &mut Ledger) {
    let fault = Fault::at(at, Spoil::ExpireToken);
    let poll = play.poll(&call.partition, call.cursor.clone());
    let played = play.stage.play(Some(fault), ledger, poll).await;
    let tokens = played.exchanges().iter().filter(|at| play.stage.tape.is_token(**at)).count();
    let whole = matches!(&played.ended, Ended::Gave(page) if is_same(page, &call.page));
    if !whole || tokens != 2 {
        let got = format!("{tokens} tokens and {}", shown(&played.ended));
        ledger.breaks(Promise::Renewal, "a second token and the same page", got);
    }
}

/// The cursor is written and read back, and everything else is new.
async fn resume(play: &Play<'_>, call: &Call, ledger: &mut Ledger) {
    let Some(cursor) = &call.cursor else { return };
    ledger.mutate(format!("the scan goes on from {cursor} after a restart"));
    let read = serde_json::from_str(&cursor.to_string()).unwrap_or_default();
    let poll = play.poll(&call.partition, Some(read));
    let played = play.stage.play(None, ledger, poll).await;
    let same = matches!(&played.ended, Ended::Gave(page) if is_same(page, &call.page));
    if !same {
        let expected = format!("the page {}", page(&Found::all(&call.page)));
        ledger.breaks(Promise::Resume, expected, shown(&played.ended));
    }
}

/// Another moment makes another question.
async fn since(play: &Play<'_>, calls: &[Call], ledger: &mut Ledger) {
    let (Some(since), Some(first)) = (play.stage.story.since, calls.first()) else { return };
    if !matches!(play.descriptor.changes, Changes::Timestamps | Changes::Both) {
        return;
    }
    ledger.mutate("changes are asked for since an hour later");
    let later = Want::Changed { since: since.plus(Duration::from_secs(3600)) };
    let scan = Scan { want: later, ..play.scan(&first.partition, None) };
    let poll = async { play.trigger()?.poll(&play.stage.api()?, &scan).await };
    let played = play.stage.play(None, ledger, poll).await;
    let unproven =
        |it: &&crate::tape::Heard| !it.exchange.is_some_and(|at| play.stage.tape.is_token(at));
    let asked: Vec<_> =
        played.heard.iter().filter(unproven).map(crate::tape::Heard::shown).collect();
    let before: Vec<_> = first.asked.iter().filter(|it| asked.contains(it)).collect();
    if !asked.is_empty() && before.len() >= asked.len() {
        ledger.breaks(Promise::Since, "another request", format!("the same: {}", asked.join(", ")));
    }
}

/// Another partition makes another question, or other records are taken from the answer.
async fn elsewhere(play: &Play<'_>, calls: &[Call], ledger: &mut Ledger) {
    let first = calls.iter().find(|it| it.cursor.is_none() && !it.page.records.is_empty());
    let Some(first) = first.filter(|it| !it.partition.is_empty()) else { return };
    let other = format!("{}9", first.partition);
    ledger.mutate(format!("the partition {other} is read"));
    let played = play.stage.play(None, ledger, play.poll(&other, None)).await;
    let same = matches!(&played.ended, Ended::Gave(page) if is_same(page, &first.page));
    if same && !played.strayed() {
        let expected = "another request, or other records";
        let got = format!("the same as of the partition {}", first.partition);
        ledger.breaks(Promise::Partitions, expected, got);
    }
}

/// The first page, the last, and one between them.
fn some(calls: &[Call]) -> Vec<(usize, &Call)> {
    let last = calls.len().saturating_sub(1);
    let chosen = BTreeSet::from([0, last / 2, last]);
    calls
        .iter()
        .enumerate()
        .filter(|(at, _)| chosen.contains(at))
        .map(|(at, it)| (at + 1, it))
        .collect()
}

fn distinct(exchanges: &[usize]) -> BTreeSet<usize> {
    exchanges.iter().copied().collect()
}
