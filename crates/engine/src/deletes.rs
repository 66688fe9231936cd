//! Emits a delete message for each record that two complete full scans in a row did not find.
//!
//! One is not enough: where a system counts its pages, a record that is removed from an early page
//! moves all later ones up, and the one at the edge of the next page is passed over.

use std::collections::HashSet;

use flow::MaxDeletes;
use serde_json::value::RawValue;
use store::{Name, NamesChange, Seen, SeenChange};

use crate::beside::Beside;
use crate::detect::Emitted;
use crate::gone::Gone;
use crate::identity::{Identity, TOMBSTONE, record_key};
use crate::run::Run;
use crate::seen::{Entry, Key, SLACK};
use crate::step::Origin;
use crate::{Error, Result, deliver, echo};

/// What the journal knows the messages of deletes by, as those of a partition; none is called so.
pub(crate) const DELETES: &str = "\0deletes";

/// So many messages make a page.
const PAGE: usize = 1_000;

/// So many names are in memory at once.
const NAMED: usize = 10_000;

/// A key that was settled and not found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// The scans before found it, here or in another partition: these may have passed it over.
    Once,
    /// Nobody remembers what it is called.
    Nameless,
    /// The record was found in another partition, or this is a part of one that is gone: that tells.
    Moved,
    /// A part of a record of which others were found.
    Left,
    Gone,
}

/// The keys that were settled and not found, ascending, and what is known of each.
struct Misses {
    keys: Vec<Key>,
    known: Vec<Missing>,
    /// How many names the store keeps.
    names: u64,
}

impl Misses {
    fn at(&self, key: &Key) -> Option<usize> {
        self.keys.binary_search(key).ok()
    }

    /// Takes those that `is_first` is true of for missed once, of which nothing follows yet; gives
    /// those, and how many of them would be gone.
    fn once(&mut self, is_first: impl Fn(&Key) -> bool) -> (Vec<Key>, u64) {
        let (mut first, mut gone) = (vec![], 0);
        for (key, known) in self.keys.iter().zip(&mut self.known) {
            if is_first(key) {
                // One of several partitions that it is missed in counts for it.
                gone += u64::from(matches!(known, Missing::Gone | Missing::Once));
                *known = Missing::Once;
                first.push(*key);
            }
        }
        (first, gone)
    }

    fn of(&self, what: Missing) -> impl Iterator<Item = Key> {
        let known = self.keys.iter().zip(&self.known);
        known.filter(move |(_, known)| **known == what).map(|(key, _)| *key)
    }
}

impl Run {
    /// Emits deletes, if this run read everything and some of what was settled was found nowhere,
    /// nor by the complete scans before these. Says whether everything that is gone was told, or
    /// nothing has to be.
    ///
    /// What is missed for the first time is marked in its seen entry, and whatever finds it takes
    /// the mark away. A page of deletes is delivered and committed before the next one is. What a
    /// stop or an error leaves is found missing again by the next complete scans.
    pub(crate) async fn delete_gone(&mut self, listed: &[String]) -> Result<bool> {
        let Some(limit) = self.context.flow.trigger.deletes else { return Ok(true) };
        let gone = self.gone.replace(Gone::new());
        let Some(mut gone) = gone.filter(|gone| gone.is_complete(listed)) else {
            return Ok(false);
        };
        gone.sort();
        if !self.seen.as_ref().is_some_and(|seen| seen.is_whole()) {
            self.recall_all([]).await?;
        }
        let (keys, known) = self.missing(&gone);
        if keys.is_empty() {
            return Ok(true);
        }
        let known_of = vec![Missing::Nameless; keys.len()];
        let mut misses = Misses { keys, known: known_of, names: 0 };
        self.name(&mut misses, &gone, listed).await?;
        let is_first = |key: &Key| {
            self.seen.as_ref().and_then(|it| it.get(key)).is_some_and(|it| !it.is_missed())
        };
        let (first, missed) = misses.once(is_first);
        self.mark(&first).await?;
        // Scans that suddenly miss very many are wrong about all of them.
        self.allow(&limit, missed, known)?;
        self.allow(&limit, misses.of(Missing::Gone).count() as u64, known)?;
        self.context.watch.at("engine.deletes.known");
        let silent: Vec<Key> =
            misses.of(Missing::Moved).chain(misses.of(Missing::Nameless)).collect();
        self.forget(&silent).await?;
        let mut told = HashSet::new();
        for what in [Missing::Left, Missing::Gone] {
            loop {
                let named = self.next_named(&misses, what).await?;
                if named.is_empty() {
                    break;
                }
                for page in named.chunks(PAGE) {
                    if self.stop.is_set() {
                        self.report.stopped = true;
                        return Ok(false);
                    }
                    match what {
                        Missing::Left => self.left(listed, page).await?,
                        _ => self.delete(page, &mut told).await?,
                    }
                }
            }
        }
        self.compact_names(misses.names).await?;
        Ok(true)
    }

    /// The keys that live entries have and no scan found, ascending, and how many live entries
    /// there are.
    fn missing(&self, gone: &Gone) -> (Vec<Key>, u64) {
        let mut known = 0;
        let mut missing = vec![];
        for seen in self.seen.iter().flat_map(|seen| seen.entries()) {
            if seen.content != TOMBSTONE {
                known += 1;
                if !gone.has(&seen.key) {
                    missing.push(seen.key);
                }
            }
        }
        missing.sort_unstable();
        (missing, known)
    }

    /// Finds out which of the missing keys have a name, and which records were found elsewhere.
    async fn name(&self, misses: &mut Misses, gone: &Gone, listed: &[String]) -> Result<()> {
        let (flow, store) = (&self.context.flow.name, &self.context.store);
        let completes = self.context.flow.trigger.trigger.completes();
        let vanished = self.snapshot.partitions.keys().filter(|it| !listed.contains(it));
        let partitions: Vec<&String> = listed.iter().chain(vanished).collect();
        let is_missed_once = |key: &Key| {
            let entry = self.seen.as_ref().and_then(|seen| seen.get(key));
            entry.is_some_and(|entry| entry.content != TOMBSTONE && !entry.is_missed())
        };
        let mut each = |names: &[Name]| {
            misses.names += names.len() as u64;
            for name in names {
                let Some(at) = misses.at(&name.key) else { continue };
                let mut now = Missing::Gone;
                let wholes = partitions.iter().map(|it| record_key(&**store, it, &name.name));
                let wholes: Vec<Key> = wholes.collect();
                if completes && !wholes.contains(&name.key) {
                    let is_there = wholes.iter().any(|whole| gone.has(whole));
                    if let Some(known) = misses.known.get_mut(at) {
                        *known = if is_there { Missing::Left } else { Missing::Moved };
                    }
                    continue;
                }
                for key in wholes {
                    if gone.has(&key) {
                        now = Missing::Moved;
                        break;
                    }
                    // Missed for the first time there: it may be there all the same.
                    if key != name.key && is_missed_once(&key) {
                        now = Missing::Once;
                    }
                }
                if let Some(known) = misses.known.get_mut(at) {
                    *known = now;
                }
            }
        };
        store.names(flow, &mut each).await.map_err(|error| Error::store(flow, &error))
    }

    fn allow(&self, limit: &MaxDeletes, gone: u64, known: u64) -> Result<()> {
        if limit.allows(gone, known) {
            return Ok(());
        }
        Err(Error::TooManyDeletes { flow: self.context.flow.name.clone(), gone, known })
    }

    /// The next keys that are gone, or left, and not settled yet, with their records' own.
    async fn next_named(&self, misses: &Misses, what: Missing) -> Result<Vec<(Key, String)>> {
        let (flow, store) = (&self.context.flow.name, &self.context.store);
        let Some(seen) = &self.seen else { return Ok(vec![]) };
        let is_open = |key: &Key| seen.get(key).is_some_and(|entry| entry.content != TOMBSTONE);
        let mut taken = HashSet::new();
        let mut next = vec![];
        let mut each = |names: &[Name]| {
            for name in names {
                let known = misses.at(&name.key).and_then(|at| misses.known.get(at));
                let open = known == Some(&what) && is_open(&name.key);
                if open && next.len() < NAMED && taken.insert(name.key) {
                    next.push((name.key, name.name.clone()));
                }
            }
        };
        store.names(flow, &mut each).await.map_err(|error| Error::store(flow, &error))?;
        Ok(next)
    }

    /// Delivers a page of deletes and commits it; a record that was known in several partitions is
    /// deleted once. `told` are the hashes of those that were.
    async fn delete(&mut self, page: &[(Key, String)], told: &mut HashSet<Key>) -> Result<()> {
        let context = self.context.clone();
        let mut emitted = vec![];
        for (key, name) in page {
            let Some(entry) = self.seen.as_ref().and_then(|seen| seen.get(key)) else { continue };
            if !told.insert(record_key(&*context.store, "", name)) {
                continue;
            }
            let identity = Identity {
                flow: &context.flow.name,
                trigger: &context.flow.trigger.name,
                partition: "",
                generation: self.snapshot.generation,
            };
            let (id, seed) = identity.delete(&*context.store, key, name, entry);
            let (key, partition_key) = (name.as_str().into(), *key);
            let (data, version): (Box<RawValue>, _) = (RawValue::NULL.to_owned(), entry.version);
            emitted.push(Emitted { id, key, partition_key, data, seed, version, deleted: true });
        }
        let count = emitted.len() as u64;
        let unmapped = context.unmapped.page(&context.trigger_place).await?;
        let origin = Origin::Page { partition: DELETES.into(), asked: echo::now(&*context.clock) };
        let delivered = deliver::page(context, origin, emitted, unmapped).await;
        // What was sent is written down, also if something else failed.
        self.context.calls.finish().await;
        let mut settled = delivered?;
        let outage = settled.outage.take();
        self.context.watch.at("engine.deletes.delivered");
        let keys: Vec<Key> = page.iter().map(|(key, _)| *key).collect();
        let beside = Beside { settled, emitted: count, ..Beside::default() };
        self.bury(&keys, beside).await?;
        self.report.pages += 1;
        self.report.deletes += count;
        outage.map_or(Ok(()), Err)
    }

    /// Remembers that complete scans did not find these keys.
    async fn mark(&mut self, keys: &[Key]) -> Result<()> {
        for keys in keys.chunks(NAMED) {
            let Some(seen) = &self.seen else { return Ok(()) };
            let missed = keys.iter().filter_map(|key| Some(seen.get(key)?.missed().seen(*key)));
            let missed: Vec<Seen> = missed.collect();
            self.put(missed, Beside::default()).await?;
            self.context.watch.at("engine.deletes.marked");
        }
        Ok(())
    }

    /// Lets keys count as gone of which nothing is told.
    async fn forget(&mut self, keys: &[Key]) -> Result<()> {
        for keys in keys.chunks(NAMED) {
            self.bury(keys, Beside::default()).await?;
        }
        Ok(())
    }

    /// Commits, and puts tombstones in the place of entries: a record that comes back is new, and
    /// none is deleted twice.
    async fn bury(&mut self, keys: &[Key], beside: Beside) -> Result<()> {
        let sequence = self.sequence + 1;
        let Some(seen) = &self.seen else { return Ok(()) };
        let buried = keys.iter().filter_map(|key| {
            let entry = seen.get(key)?;
            Some(Seen { key: *key, content: TOMBSTONE, version: entry.version, sequence })
        });
        self.put(buried.collect(), beside).await
    }

    /// Commits these entries too.
    async fn put(&mut self, entries: Vec<Seen>, beside: Beside) -> Result<()> {
        let change = SeenChange::Append(entries.clone());
        self.commit_beside(Beside { seen: change, ..beside }).await?;
        if let Some(seen) = &mut self.seen {
            for entry in entries {
                seen.set(entry.key, Some(Entry::from(entry)));
            }
        }
        Ok(())
    }

    /// Once more names are superseded than count, writes those that count anew, and drops the
    /// tombstones with their names.
    async fn compact_names(&mut self, names: u64) -> Result<()> {
        let Some(seen) = &mut self.seen else { return Ok(()) };
        let live = seen.entries().filter(|entry| entry.content != TOMBSTONE).count() as u64;
        if names <= live.saturating_mul(2).saturating_add(SLACK) {
            return Ok(());
        }
        let dead: Vec<Key> =
            seen.entries().filter(|it| it.content == TOMBSTONE).map(|it| it.key).collect();
        for key in dead {
            seen.set(key, None);
        }
        let table = seen.compact();
        let beside = Beside {
            seen: SeenChange::Replace(table.clone()),
            names: NamesChange::Keep(table),
            ..Beside::default()
        };
        self.commit_beside(beside).await?;
        self.context.watch.at("engine.names.kept");
        Ok(())
    }
}
