//! Plays a trigger's story as recorded, and then in every way in which a system may behave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use connector::{
    Changes, ErasedTrigger, Error, Page, Record, Result, Scan, TriggerDescriptor, Want,
};
use serde_json::Value;

use crate::completing::completing;
use crate::expect::{Expect, Found, ScanFound};
use crate::outage;
use crate::pages;
use crate::promise::{Ledger, Promise};
use crate::stage::{Ended, Stage};
use crate::story::Kind;
use crate::tape::{Fault, Spoil};

/// One call of `poll` as recorded.
pub(crate) struct Call {
    pub(crate) partition: String,
    pub(crate) cursor: Option<Value>,
    pub(crate) page: Page<Value>,
    /// The exchanges that it asked for.
    pub(crate) exchanges: Vec<usize>,
    /// Whether other requests went before it: the last of them is where time is told.
    asked: Vec<String>,
}

/// A trigger on its stage.
pub(crate) struct Play<'a> {
    pub(crate) stage: &'a Stage<'a>,
    descriptor: &'a TriggerDescriptor,
}

/// What a story showed beside what it broke.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) pages: usize,
    pub(crate) records: Vec<Record>,
    /// Whether a record has exactly the time that was asked for.
    pub(crate) at_the_moment: bool,
    pub(crate) volatile: &'static [&'static str],
}

impl<'a> Play<'a> {
    pub(crate) const fn new(stage: &'a Stage<'a>, descriptor: &'a TriggerDescriptor) -> Self {
        Self { stage, descriptor }
    }

    /// The trigger as it is after a restart.
    pub(crate) fn trigger(&self) -> Result<Arc<dyn ErasedTrigger>> {
        let trigger = (self.descriptor.configure)(self.stage.story.fields());
        trigger.map(completing).map_err(Error::config)
    }

    pub(crate) fn scan(&self, partition: &str, cursor: Option<Value>) -> Scan<Value> {
        let partition = Some(partition.to_owned()).filter(|it| !it.is_empty());
        Scan { want: self.stage.story.want(), partition, cursor }
    }

    /// Polls one page of a partition, as after a restart.
    pub(crate) async fn poll(&self, partition: &str, cursor: Option<Value>) -> Result<Page<Value>> {
        let scan = self.scan(partition, cursor);
        self.trigger()?.poll(&self.stage.api()?, &scan).await
    }

    /// What the story gives when nothing goes wrong, and the error if it gives one.
    pub(crate) async fn outcome(&self) -> (Expect, Option<Error>) {
        self.stage.tape.rewind(None);
        match self.faithful(&mut Ledger::default()).await {
            Ok((_, _, scans)) => (Expect::Scans(scans), None),
            Err(error) => (Expect::Error(Kind::of(&error)), Some(error)),
        }
    }

    async fn partitions(&self) -> Result<Vec<String>> {
        let mut listed = self.trigger()?.partitions(&self.stage.api()?).await?;
        if listed.is_empty() {
            listed.push(String::new());
        }
        Ok(listed)
    }

    /// Plays everything as recorded; an error is the first call's that failed.
    async fn faithful(
        &self,
        ledger: &mut Ledger,
    ) -> Result<(Vec<Call>, Vec<usize>, Vec<ScanFound>)> {
        let (stage, trigger, api) = (self.stage, self.trigger()?, self.stage.api()?);
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
                let scan = self.scan(&partition, cursor.clone());
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

    /// Plays the story and its mutations.
    pub(crate) async fn check(&self, ledger: &mut Ledger) -> Shown {
        let before = ledger.broken.len();
        self.stage.tape.rewind(None);
        let faithful = self.faithful(ledger).await;
        let heard = self.stage.tape.heard();
        crate::accept::requests(self.stage, &heard, ledger);
        let expected = self.stage.story.expect.as_ref();
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
        self.compare(expected, scans, ledger);
        self.own(&calls, ledger);
        if ledger.broken.len() > before {
            // What is wrong as recorded is wrong in every mutation too; once is enough.
            return Shown::default();
        }
        self.outages(&calls, &listing, ledger).await;
        for call in &calls {
            self.resume(call, ledger).await;
        }
        self.since(&calls, ledger).await;
        self.elsewhere(&calls, ledger).await;
        pages::check(self, &calls, ledger).await;
        self.shown(calls, ledger)
    }

    fn compare(&self, expected: Option<&Expect>, found: Vec<ScanFound>, ledger: &mut Ledger) {
        let Some(Expect::Scans(expected)) = expected else {
            let got = format!("{} partitions", found.len());
            ledger.breaks(Promise::Records, format!("{expected:?}"), got);
            return;
        };
        let names = |scans: &[ScanFound]| {
            scans.iter().map(|scan| scan.partition.clone()).collect::<Vec<_>>()
        };
        if names(expected) != names(&found) {
            let (expected, got) = (names(expected), names(&found));
            ledger.breaks(Promise::Partitions, format!("{expected:?}"), format!("{got:?}"));
            return;
        }
        for (expected, found) in expected.iter().zip(found) {
            if expected.pages != found.pages {
                let since = self.stage.story.since;
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
    fn own(&self, calls: &[Call], ledger: &mut Ledger) {
        let mut known = BTreeMap::<(&str, &str), &str>::new();
        let mut alike = BTreeMap::<(&str, &str), &str>::new();
        for call in calls {
            if let Some(next) = &call.page.next {
                self.stage.leaks(&format!("the cursor {next}"), ledger);
            }
            for record in &call.page.records {
                let (key, data) = (record.key.as_str(), record.data.get());
                self.stage.leaks(&format!("the key {key}"), ledger);
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

    /// Every exchange of every call goes wrong in every way.
    async fn outages(&self, calls: &[Call], listing: &[usize], ledger: &mut Ledger) {
        for at in distinct(listing) {
            for outage in outage::all(self.stage, at) {
                ledger.mutate(format!("the partitions are answered by {}", outage.name));
                let call = self.partitions();
                let played = self.stage.play(Some(outage.fault.clone()), ledger, call).await;
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
                for outage in outage::all(self.stage, at) {
                    ledger.mutate(format!("page {number} is answered by {}", outage.name));
                    self.outage(call, &outage, ledger).await;
                }
                if self.stage.tape.exchange(at).is_some_and(renews) {
                    ledger.mutate(format!("page {number} is asked with a token that has ended"));
                    self.renewal(call, at, ledger).await;
                }
            }
        }
    }

    async fn outage(&self, call: &Call, outage: &outage::Outage, ledger: &mut Ledger) {
        let (Ok(trigger), Ok(api)) = (self.trigger(), self.stage.api()) else { return };
        let scan = self.scan(&call.partition, call.cursor.clone());
        let fault = Some(outage.fault.clone());
        let played = self.stage.play(fault, ledger, trigger.poll(&api, &scan)).await;
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
        self.stage.tape.mend();
        let again = self.stage.go_on(ledger, trigger.poll(&api, &scan)).await;
        let whole = matches!(&again.ended, Ended::Gave(page) if is_same(page, &call.page));
        if !whole {
            let expected = format!("the page {}", page(&Found::all(&call.page)));
            ledger.breaks(Promise::Cursor, expected, shown(&again.ended));
        }
    }

    async fn renewal(&self, call: &Call, at: usize, ledger: &mut Ledger) {
        let fault = Fault::at(at, Spoil::ExpireToken);
        let poll = self.poll(&call.partition, call.cursor.clone());
        let played = self.stage.play(Some(fault), ledger, poll).await;
        let tokens = played.exchanges().iter().filter(|at| self.stage.tape.is_token(**at)).count();
        let whole = matches!(&played.ended, Ended::Gave(page) if is_same(page, &call.page));
        if !whole || tokens != 2 {
            let got = format!("{tokens} tokens and {}", shown(&played.ended));
            ledger.breaks(Promise::Renewal, "a second token and the same page", got);
        }
    }

    /// The cursor is written and read back, and everything else is new.
    async fn resume(&self, call: &Call, ledger: &mut Ledger) {
        let Some(cursor) = &call.cursor else { return };
        ledger.mutate(format!("the scan goes on from {cursor} after a restart"));
        let read = serde_json::from_str(&cursor.to_string()).unwrap_or_default();
        let poll = self.poll(&call.partition, Some(read));
        let played = self.stage.play(None, ledger, poll).await;
        let same = matches!(&played.ended, Ended::Gave(page) if is_same(page, &call.page));
        if !same {
            let expected = format!("the page {}", page(&Found::all(&call.page)));
            ledger.breaks(Promise::Resume, expected, shown(&played.ended));
        }
    }

    /// Another moment makes another question.
    async fn since(&self, calls: &[Call], ledger: &mut Ledger) {
        let (Some(since), Some(first)) = (self.stage.story.since, calls.first()) else { return };
        if !matches!(self.descriptor.changes, Changes::Timestamps | Changes::Both) {
            return;
        }
        ledger.mutate("changes are asked for since an hour later");
        let later = Want::Changed { since: since.plus(Duration::from_secs(3600)) };
        let scan = Scan { want: later, ..self.scan(&first.partition, None) };
        let poll = async { self.trigger()?.poll(&self.stage.api()?, &scan).await };
        let played = self.stage.play(None, ledger, poll).await;
        let unproven =
            |it: &&crate::tape::Heard| !it.exchange.is_some_and(|at| self.stage.tape.is_token(at));
        let asked: Vec<_> =
            played.heard.iter().filter(unproven).map(crate::tape::Heard::shown).collect();
        let before: Vec<_> = first.asked.iter().filter(|it| asked.contains(it)).collect();
        if !asked.is_empty() && before.len() >= asked.len() {
            ledger.breaks(
                Promise::Since,
                "another request",
                format!("the same: {}", asked.join(", ")),
            );
        }
    }

    /// Another partition makes another question, or other records are taken from the answer.
    async fn elsewhere(&self, calls: &[Call], ledger: &mut Ledger) {
        let first = calls.iter().find(|it| it.cursor.is_none() && !it.page.records.is_empty());
        let Some(first) = first.filter(|it| !it.partition.is_empty()) else { return };
        let other = format!("{}9", first.partition);
        ledger.mutate(format!("the partition {other} is read"));
        let played = self.stage.play(None, ledger, self.poll(&other, None)).await;
        let same = matches!(&played.ended, Ended::Gave(page) if is_same(page, &first.page));
        if same && !played.strayed() {
            let expected = "another request, or other records";
            let got = format!("the same as of the partition {}", first.partition);
            ledger.breaks(Promise::Partitions, expected, got);
        }
    }

    fn shown(&self, calls: Vec<Call>, ledger: &mut Ledger) -> Shown {
        ledger.mutation = "as recorded".to_owned();
        let since = self.stage.story.since;
        let pages = calls.len();
        let records: Vec<Record> = calls.into_iter().flat_map(|call| call.page.records).collect();
        if self.descriptor.changes == Changes::Timestamps
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
        let volatile = self.trigger().map_or(&[] as &[_], |trigger| trigger.volatile());
        Shown { pages, records, at_the_moment, volatile }
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

/// Whether the request carries a token that can be renewed.
pub(crate) fn renews(exchange: &crate::story::Exchange) -> bool {
    exchange.request.headers.values().any(|value| value.contains("{token}"))
}

fn gave<T>(ended: Ended<T>) -> Result<T> {
    match ended {
        Ended::Gave(it) => Ok(it),
        Ended::Failed(error) => Err(error),
        Ended::Stuck => Err(Error::config("the call does not end")),
    }
}

pub(crate) fn is_same(page: &Page<Value>, other: &Page<Value>) -> bool {
    let data = |page: &Page<Value>| {
        page.records.iter().map(|record| record.data.get().to_owned()).collect::<Vec<_>>()
    };
    Found::all(page) == Found::all(other) && data(page) == data(other) && page.next == other.next
}

pub(crate) fn shown(ended: &Ended<Page<Value>>) -> String {
    match ended {
        Ended::Gave(it) => {
            format!("the page {} with the next cursor {:?}", page(&Found::all(it)), it.next)
        }
        Ended::Failed(error) => format!("{error:?}"),
        Ended::Stuck => "no end".to_owned(),
    }
}

pub(crate) fn pages(pages: &[Vec<Found>]) -> String {
    pages.iter().map(|it| page(it)).collect::<Vec<_>>().join(" then ")
}

fn page(found: &[Found]) -> String {
    let shown = found.iter().map(|it| match it.version {
        Some(version) => format!("{} @ {version}", it.key),
        None => it.key.clone(),
    });
    format!("[{}]", shown.collect::<Vec<_>>().join(", "))
}
