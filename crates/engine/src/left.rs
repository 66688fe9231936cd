//! Emits records anew that left one of their places, but not all of them.

use std::collections::HashSet;

use connector::{Record, Want};
use serde_json::value::RawValue;
use store::{NamesChange, Seen, SeenChange};

use crate::beside::Beside;
use crate::complete::{self, Wholes};
use crate::deletes::DELETES;
use crate::deliver;
use crate::detect::{Candidates, Detected, Names};
use crate::identity::{Fingerprint, Identity, TOMBSTONE, record_key};
use crate::run::Run;
use crate::seen::{Entry, Key, SeenTable};
use crate::step::Origin;
use crate::{Result, echo};

impl Run {
    /// Asks for the records of parts that are gone, and emits those that differ now; the page is
    /// delivered and committed as one.
    pub(crate) async fn left(&mut self, listed: &[String], page: &[(Key, String)]) -> Result<()> {
        let context = self.context.clone();
        let unmapped = context.unmapped.page(&context.trigger_place).await?;
        let mut entries = vec![];
        let (mut settled, mut names, mut emitted) = (None, vec![], 0);
        let mut taken = vec![];
        let mut asked = HashSet::new();
        for partition in listed {
            let known = page.iter().filter_map(|(_, name)| {
                let whole = record_key(&*context.store, partition, name);
                let entry = self.seen.as_ref().and_then(|seen| seen.get(&whole))?;
                let is_live = entry.content != TOMBSTONE;
                (is_live && asked.insert(whole)).then(|| (bare(name), whole))
            });
            let known: Vec<_> = known.collect();
            let records = known.iter().map(|(record, whole)| {
                let found =
                    Fingerprint { key: *whole, whole: *whole, content: TOMBSTONE, was: None };
                (record.clone(), found)
            });
            let records: Vec<_> = records.collect();
            let wholes = complete::wholes(&context, partition, known).await?;
            taken.push((partition, records, wholes));
        }
        let mut messages = vec![];
        let mut overlaid = vec![];
        for (partition, records, wholes) in taken {
            let detected = self.held_against(partition, records, wholes);
            entries.extend(detected.seen.iter().copied());
            names.extend(detected.names.iter().cloned());
            overlaid.push(detected);
        }
        for detected in &mut overlaid {
            emitted += detected.emitted.len() as u64;
            messages.append(&mut detected.emitted);
        }
        if !messages.is_empty() {
            let asked = echo::now(&*context.clock);
            let origin = Origin::Page { partition: DELETES.into(), asked };
            let delivered = deliver::page(context, origin, messages, unmapped).await;
            // What was sent is written down, also if something else failed.
            self.context.calls.finish().await;
            match delivered {
                Ok(done) => settled = Some(done),
                Err(error) => {
                    self.take_back(overlaid);
                    return Err(error);
                }
            }
        }
        let outage = settled.as_mut().and_then(|settled| settled.outage.take());
        self.context.watch.at("engine.deletes.delivered");
        let sequence = self.sequence + 1;
        let gone = page.iter().filter_map(|(key, _)| {
            let version = self.seen.as_ref()?.get(key)?.version;
            Some(Seen { key: *key, content: TOMBSTONE, version, sequence })
        });
        entries.extend(gone);
        let beside = Beside {
            settled: settled.unwrap_or_default(),
            emitted,
            seen: SeenChange::Append(entries.clone()),
            names: NamesChange::Append(names),
            ..Beside::default()
        };
        if let Err(error) = self.commit_beside(beside).await {
            self.take_back(overlaid);
            return Err(error);
        }
        if let Some(seen) = &mut self.seen {
            for entry in entries {
                seen.set(entry.key, Some(Entry::from(entry)));
            }
        }
        self.report.pages += 1;
        outage.map_or(Ok(()), Err)
    }

    fn held_against(
        &mut self,
        partition: &str,
        records: Vec<(Record, Fingerprint)>,
        wholes: Wholes,
    ) -> Detected {
        let (context, sequence) = (self.context.clone(), self.sequence + 1);
        let trigger = &context.flow.trigger;
        let mut unread = SeenTable::default();
        let seen = self.seen.as_mut().unwrap_or(&mut unread);
        let page = Candidates {
            records,
            want: Want::All,
            until: None,
            forgotten: &self.snapshot.forgotten,
            changes: trigger.trigger.changes(),
            names: Names::New,
            identity: Identity {
                flow: &context.flow.name,
                trigger: &trigger.name,
                partition,
                generation: self.snapshot.generation,
            },
            committed: self.sequence,
            sequence,
            wholes: Some(wholes),
            absent_is_gone: false,
            begins: None,
        };
        seen.detect(&*context.store, page)
    }

    fn take_back(&mut self, overlaid: Vec<Detected>) {
        let Some(seen) = &mut self.seen else { return };
        overlaid.into_iter().rev().for_each(|detected| seen.undo(detected));
    }
}

/// A record that is known by its key alone.
fn bare(key: &str) -> Record {
    Record { key: key.to_owned(), version: None, data: RawValue::NULL.to_owned() }
}
