//! Plays a trigger's story as recorded; `questions.rs` and `pages.rs` play it in every way in which a
//! system may behave.

use std::collections::BTreeMap;

use connector::{Changes, Error, Record, Result};

use crate::expect::{Expect, Found, ScanFound};
use crate::poll::{Call, Play, pages};
use crate::promise::{Ledger, Promise};
use crate::questions;
use crate::stage::Ended;
use crate::story::Kind;

/// What a story showed beside what it broke.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) pages: usize,
    pub(crate) records: Vec<Record>,
    /// Whether a record has exactly the time that was asked for.
    pub(crate) at_the_moment: bool,
    pub(crate) volatile: &'static [&'static str],
}

/// What the story gives when nothing goes wrong, and the error if it gives one.
pub(crate) async fn outcome(play: &Play<'_>) -> (Expect, Option<Error>) {
    play.stage.tape.rewind(None);
    match faithful(play, &mut Ledger::default()).await {
        Ok((_, _, scans)) => (Expect::Scans(scans), None),
        Err(error) => (Expect::Error(Kind::of(&error)), Some(error)),
    }
}

/// Plays the story and its mutations.
pub(crate) async fn check(play: &Play<'_>, ledger: &mut Ledger) -> Shown {
    let before = ledger.broken.len();
    play.stage.tape.rewind(None);
    let faithful = faithful(play, ledger).await;
    let heard = play.stage.tape.heard();
    crate::accept::requests(play.stage, &heard, ledger);
    let expected = play.stage.story.expect.as_ref();
    let (calls, listing, scans) = match (faithful, expected) {
        (Err(error), Some(Expect::Error(kind))) => {
            if Kind::of(&error) != *kind {
                ledger.breaks(Promise::Records, format!("{kind:?}"), format!("{error:?}"));
            }
            return Shown::default();
        }
        (Err(error), _) => {
            ledger.breaks(Promise::Records, "the recorded records", format!("{error:?}"));
            return Shown::default();
        }
        (Ok(found), _) => found,
    };
    compare(play, expected, scans, ledger);
    own(play, &calls, ledger);
    if ledger.broken.len() > before {
        // What is wrong as recorded is wrong in every mutation too; once is enough.
        return Shown::default();
    }
    questions::check(play, &calls, &listing, ledger).await;
    crate::pages::check(play, &calls, ledger).await;
    shown(play, calls, ledger)
}

/// Plays everything as recorded; an error is the first call's that failed.
async fn faithful(
    play: &Play<'_>,
    ledger: &mut Ledger,
) -> Result<(Vec<Call>, Vec<usize>, Vec<ScanFound>)> {
    let (stage, trigger, api) = (play.stage, play.trigger()?, play.stage.api()?);
    let played = stage.go_on(ledger, trigger.partitions(&api)).await;
    let listing = played.exchanges();
    let mut heard = played.heard.len();
    let mut listed = gave(played.ended)?;
    if listed.is_empty() {
        listed.push(String::new());
    }
    let (mut calls, mut scans) = (vec![], vec![]);
    for partition in listed {
        let (mut cursor, mut pages) = (None, vec![]);
        loop {
            let scan = play.scan(&partition, cursor.clone());
            let played = stage.go_on(ledger, trigger.poll(&api, &scan)).await;
            let new = played.heard.get(heard..).unwrap_or_default();
            let exchanges = new.iter().filter_map(|it| it.exchange).collect();
            let asked = new.iter().map(crate::tape::Heard::shown).collect();
            heard = played.heard.len();
            let page = gave(played.ended)?;
            pages.push(Found::all(&page));
            let next = page.next.clone();
            let again = next.is_some() && next == cursor;
            let partition = partition.clone();
            calls.push(Call { partition, cursor, page, exchanges, asked });
            if again || pages.len() > stage.most_pages {
                ledger.breaks(Promise::Endless, "an end of the scan", "the same cursor again");
                return Err(Error::config("the scan does not end"));
            }
            if next.is_none() {
                break;
            }
            cursor = next;
        }
        scans.push(ScanFound { partition, pages });
    }
    Ok((calls, listing, scans))
}

fn compare(play: &Play<'_>, expected: Option<&Expect>, found: Vec<ScanFound>, ledger: &mut Ledger) {
    let Some(Expect::Scans(expected)) = expected else {
        let got = format!("{} partitions", found.len());
        ledger.breaks(Promise::Records, format!("{expected:?}"), got);
        return;
    };
    let names =
        |scans: &[ScanFound]| scans.iter().map(|scan| scan.partition.clone()).collect::<Vec<_>>();
    if names(expected) != names(&found) {
        let (expected, got) = (names(expected), names(&found));
        ledger.breaks(Promise::Partitions, format!("{expected:?}"), format!("{got:?}"));
        return;
    }
    for (expected, found) in expected.iter().zip(found) {
        if expected.pages != found.pages {
            let since = play.stage.story.since;
            let found_keys: Vec<_> = found.pages.iter().flatten().map(|it| &it.key).collect();
            let mut lost =
                expected.pages.iter().flatten().filter(|it| !found_keys.contains(&&it.key));
            if lost.any(|it| it.version.is_some() && it.version == since) {
                let got = "records of that very moment are left out";
                ledger.breaks(Promise::Since, "the moment asked for included", got);
            }
            ledger.breaks(Promise::Records, pages(&expected.pages), pages(&found.pages));
        }
    }
}

/// Every record is one of its own, and says nothing that opens the account.
fn own(play: &Play<'_>, calls: &[Call], ledger: &mut Ledger) {
    let mut known = BTreeMap::<(&str, &str), &str>::new();
    let mut alike = BTreeMap::<(&str, &str), &str>::new();
    for call in calls {
        if let Some(next) = &call.page.next {
            play.stage.leaks(&format!("the cursor {next}"), ledger);
        }
        for record in &call.page.records {
            let (key, data) = (record.key.as_str(), record.data.get());
            play.stage.leaks(&format!("the key {key}"), ledger);
            let partition = call.partition.as_str();
            let other = known.insert((partition, key), data).filter(|other| *other != data);
            if other.is_some() {
                let got = format!("two records with the key {key}");
                ledger.breaks(Promise::Records, "a key for each record", got);
            }
            let other = alike.insert((partition, data), key).filter(|other| *other != key);
            if let Some(other) = other {
                let got = format!("the same data under the keys {other} and {key}");
                ledger.breaks(Promise::Records, "each record's own data", got);
            }
        }
    }
}

fn shown(play: &Play<'_>, calls: Vec<Call>, ledger: &mut Ledger) -> Shown {
    ledger.mutation = "as recorded".to_owned();
    let since = play.stage.story.since;
    let pages = calls.len();
    let records: Vec<Record> = calls.into_iter().flat_map(|call| call.page.records).collect();
    if play.descriptor.changes == Changes::Timestamps
        && let Some(record) = records.iter().find(|record| record.version.is_none())
    {
        let got = format!("record {} has none", record.key);
        ledger.breaks(Promise::Versions, "a version of every record", got);
    }
    if let Some(record) = records.iter().find(|record| record.key.trim().is_empty()) {
        let got = format!("a record without a key: {}", record.data.get());
        ledger.breaks(Promise::Records, "a key of every record", got);
    }
    let at_the_moment = since.is_some() && records.iter().any(|record| record.version == since);
    let volatile = play.trigger().map_or(&[] as &[_], |trigger| trigger.volatile());
    Shown { pages, records, at_the_moment, volatile }
}

fn gave<T>(ended: Ended<T>) -> Result<T> {
    match ended {
        Ended::Gave(it) => Ok(it),
        Ended::Failed(error) => Err(error),
        Ended::Stuck => Err(Error::config("the call does not end")),
    }
}
