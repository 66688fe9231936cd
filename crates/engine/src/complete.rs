//! Asks a trigger for what its scans do not tell, of records that may be news.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use connector::{Completed, Record, Timestamp};

use crate::backfill::{Of, Rules};
use crate::context::Context;
use crate::detect::{Candidates, Detected, Emitted, rules_leave_out};
use crate::fetch::Fetched;
use crate::identity::{Fingerprint, TOMBSTONE};
use crate::page::InFlight;
use crate::retry::Tries;
use crate::run::Run;
use crate::seen::{Entry, Key, SeenTable};
use crate::snapshot::ScanState;
use crate::{Error, Result};

/// A record that was asked for, as it is emitted.
pub(crate) struct Whole {
    pub(crate) record: Record,
    pub(crate) found: Fingerprint,
    /// Its parts as scans will show them.
    pub(crate) parts: Vec<(Record, Fingerprint)>,
}

/// What was asked for, by the keys of the whole records; `None` is nowhere any more.
pub(crate) type Wholes = HashMap<Key, Option<Whole>>;

/// Asks for records, each once; failures are those of a poll.
pub(crate) async fn wholes(
    context: &Arc<Context>,
    partition: &str,
    found: Vec<(Record, Key)>,
) -> Result<Wholes> {
    let (trigger, place) = (&context.flow.trigger, &context.trigger_place);
    let (found, keys): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    if found.is_empty() {
        return Ok(Wholes::new());
    }
    let mut tries = Tries::new(trigger.retry, place, partition, &*context.clock, &*context.watch);
    let completed = loop {
        let of = Some(partition).filter(|id| !id.is_empty());
        match trigger.trigger.complete(&context.trigger_api, of, found.clone()).await {
            Ok(completed) => break completed,
            Err(error) => match tries.again(error).await {
                Ok(()) => {}
                Err(error) => return Err(Error::of_call(place.clone(), error, tries.made)),
            },
        }
    };
    let (hashing, partition) = (context.clone(), partition.to_owned());
    let hashed = context.workers.run(place, move || {
        let (store, volatile) = (&*hashing.store, hashing.flow.trigger.trigger.volatile());
        let mut scratch = vec![];
        let mut print = |part: Option<&str>, record: &Record| {
            Fingerprint::of(store, &partition, part, record, volatile, &mut scratch)
        };
        let wholes = keys.into_iter().zip(completed).map(|(key, completed)| {
            let whole = completed.map(|Completed { record, parts }| {
                let parts = parts.into_iter().map(|(part, record)| {
                    let found = print(Some(&part), &record);
                    (record, found)
                });
                let parts = parts.collect();
                Whole { found: print(None, &record), record, parts }
            });
            (key, whole)
        });
        wholes.collect()
    });
    hashed.await
}

impl Fetched {
    /// The keys of all that the page may settle.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let listed = self
            .records
            .iter()
            .flat_map(|(_, found)| [found.key, found.whole].into_iter().chain(found.was));
        let wholes = self.wholes.iter().flatten().filter_map(|(_, whole)| whole.as_ref());
        let parts = wholes.flat_map(|whole| whole.parts.iter().map(|(_, found)| found.key));
        listed.chain(parts)
    }

    /// The records that may be news, each whole record once.
    fn news(
        &self,
        context: &Context,
        scan: &ScanState,
        rules: &Rules,
        seen: &SeenTable,
    ) -> Vec<(Record, Key)> {
        let begins = context.flow.trigger.trigger.begins();
        let mut asked = HashSet::new();
        let news = self.records.iter().filter(|(record, found)| {
            let old = seen.get(&found.key);
            if rules_leave_out(record, old, (scan.want(), rules.until, begins)) {
                return false;
            }
            let old = old.filter(|old| !crate::forgotten::is_forgotten(&rules.forgotten, old));
            let may_be =
                found.key == found.whole || old.is_none_or(|old| old.content != found.content);
            may_be && asked.insert(found.whole)
        });
        news.map(|(record, found)| (record.clone(), found.whole)).collect()
    }

    /// Completes what may be news, where the trigger does.
    pub(crate) async fn completed(
        self,
        context: &Arc<Context>,
        partition: &str,
        scan: &ScanState,
        rules: &Rules,
        seen: &SeenTable,
    ) -> Result<Self> {
        if !context.flow.trigger.trigger.completes() {
            return Ok(self);
        }
        let news = self.news(context, scan, rules, seen);
        self.complete(context.clone(), partition.into(), news).await
    }

    /// Asks for these of its records.
    pub(crate) async fn complete(
        mut self,
        context: Arc<Context>,
        partition: Arc<str>,
        news: Vec<(Record, Key)>,
    ) -> Result<Self> {
        self.wholes = Some(wholes(&context, &partition, news).await?);
        Ok(self)
    }
}

/// A page that needs nothing more, or one with the records that have to be asked for.
pub(crate) enum Next {
    Whole(Fetched),
    Asks(Fetched, Vec<(Record, Key)>),
}

impl Run {
    /// Looks whether more has to be asked for a page's records, which are held against what was
    /// settled; `ahead` are the pages in flight.
    pub(crate) async fn whole<'a>(
        &mut self,
        of: Of,
        scan: &ScanState,
        mut fetched: Fetched,
        ahead: impl IntoIterator<Item = &'a InFlight>,
    ) -> Result<Next> {
        let context = self.context_of(of).clone();
        if fetched.wholes.is_some() || !context.flow.trigger.trigger.completes() {
            return Ok(Next::Whole(fetched));
        }
        self.recall(&fetched, ahead).await?;
        let rules = self.snapshot.rules(of);
        let unread = SeenTable::default();
        let seen = self.seen.as_ref().unwrap_or(&unread);
        let news = fetched.news(&context, scan, &rules, seen);
        if news.is_empty() {
            fetched.wholes = Some(Wholes::new());
            return Ok(Next::Whole(fetched));
        }
        Ok(Next::Asks(fetched, news))
    }
}

impl SeenTable {
    /// Settles a part of a record: if it is news, the whole record may be.
    pub(crate) fn take_part(
        &mut self,
        store: &dyn store::Store,
        page: &mut Candidates<'_>,
        detected: &mut Detected,
        (record, found): (Record, Fingerprint),
    ) {
        let settled = |table: &Self, key: &Key| {
            table.get(key).filter(|old| !crate::forgotten::is_forgotten(page.forgotten, old))
        };
        let is_part = found.key != found.whole;
        let old = settled(self, &found.key).filter(|_| is_part);
        if is_part && old.is_some_and(|old| old.content == found.content) {
            detected.unchanged += 1;
            self.note_part(page, detected, &record, found);
            // What was missed is there after all, be it in this part alone.
            if let Some(whole) = self.get(&found.whole).filter(Entry::is_missed) {
                let whole = Entry { sequence: whole.settled_by(), ..whole };
                self.put(detected, found.whole, whole);
            }
            return;
        }
        let known = page.wholes.as_mut().and_then(|wholes| wholes.get_mut(&found.whole));
        match known {
            // Of several parts on one page the first brought it.
            None => {
                detected.unchanged += 1;
                self.note_part(page, detected, &record, found);
            }
            Some(whole) => match whole.take() {
                Some(Whole { record: whole, found: print, parts }) => {
                    if is_part {
                        self.note_part(page, detected, &record, found);
                    }
                    for (part, found) in parts {
                        self.note_part(page, detected, &part, found);
                    }
                    if let Some(wholes) = page.wholes.as_mut() {
                        wholes.remove(&found.whole);
                    }
                    self.take(store, page, detected, (whole, print));
                }
                None => self.nowhere(store, page, detected, &record, found),
            },
        }
    }

    /// Writes what a part looks like, and its name where it is kept.
    fn note_part(
        &mut self,
        page: &Candidates<'_>,
        detected: &mut Detected,
        record: &Record,
        found: Fingerprint,
    ) {
        if found.key == found.whole {
            return;
        }
        let old = self.get(&found.key);
        page.name(detected, found.key, &record.key, old);
        let version = record.version.map_or(crate::seen::UNVERSIONED, Timestamp::millis);
        let entry = Entry { content: found.content, version, sequence: page.sequence };
        let is_same = |old: Entry| {
            old.content == entry.content
                && old.version == version
                && !old.is_missed()
                && !crate::forgotten::is_forgotten(page.forgotten, &old)
        };
        if !old.is_some_and(is_same) {
            self.put(detected, found.key, entry);
        }
    }

    /// Settles a record that was there a moment ago and is nowhere now. Only what its system said of
    /// this very record tells that it is gone; elsewhere complete scans do.
    fn nowhere(
        &mut self,
        store: &dyn store::Store,
        page: &Candidates<'_>,
        detected: &mut Detected,
        record: &Record,
        found: Fingerprint,
    ) {
        let known = self.get(&found.whole).filter(|old| old.content != TOMBSTONE);
        let Some(old) = known.filter(|_| page.absent_is_gone) else {
            detected.unchanged += 1;
            return;
        };
        let (id, seed) = page.identity.delete(store, &found.whole, &record.key, old);
        let key: Arc<str> = record.key.as_str().into();
        let gone = Entry { content: TOMBSTONE, version: old.version, sequence: page.sequence };
        detected.follows_in_flight |= page.is_in_flight(old);
        self.put(detected, found.whole, gone);
        let data = serde_json::value::RawValue::NULL.to_owned();
        let (partition_key, version) = (found.whole, old.version);
        let emitted = Emitted { id, key, partition_key, data, seed, version, deleted: true };
        detected.emitted.push(emitted);
    }
}
