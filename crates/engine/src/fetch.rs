//! Asks a trigger for one page, as often as it takes.

use std::sync::Arc;

use connector::{Changes, Record, Scan, Timestamp, Want};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::complete::Wholes;
use crate::context::Context;
use crate::identity::{Fingerprint, record_key};
use crate::retry::Tries;
use crate::{Error, Result};
use crate::{echo, inbox};

/// A page as it was fetched.
pub(crate) struct Fetched {
    pub(crate) records: Vec<(Record, Fingerprint)>,
    /// What was asked for of those that may be news; `None` before that.
    pub(crate) wholes: Option<Wholes>,
    /// Where the next page begins; `None` ends the scan.
    pub(crate) next: Option<Value>,
    /// Where the next scan begins, if this page ends one of what is appended.
    pub(crate) position: Option<Value>,
    /// Up to where the page takes what is in the inbox, if it comes from there.
    pub(crate) taken: Option<u64>,
    /// The system's own time at the first answer, or ours if it tells none.
    pub(crate) date: Timestamp,
    /// When the system was asked.
    pub(crate) asked: u64,
    /// Held until the records are mapped: raw records are what takes memory.
    pub(crate) unmapped: OwnedSemaphorePermit,
}

/// Lists the partitions; a trigger without any has one, called "".
pub(crate) async fn partitions(context: &Context) -> Result<Vec<String>> {
    let trigger = &context.flow.trigger.trigger;
    let place = &context.trigger_place;
    let retry = context.flow.trigger.retry;
    let mut tries = Tries::new(retry, place, "", &*context.clock, &*context.watch);
    let mut listed = loop {
        match trigger.partitions(&context.trigger_api).await {
            Ok(listed) => break listed,
            Err(error) => match tries.again(error).await {
                Ok(()) => {}
                Err(error) => return Err(Error::of_call(place.clone(), error, tries.made)),
            },
        }
    };
    if listed.is_empty() {
        listed.push(String::new());
    }
    let mut known = std::collections::HashSet::new();
    listed.retain(|id| known.insert(id.clone()));
    Ok(listed)
}

/// Fetches the page of `partition` that begins at `cursor`, and fingerprints its records.
pub(crate) async fn page(
    context: Arc<Context>,
    partition: Arc<str>,
    want: Want,
    cursor: Option<Value>,
) -> Result<Fetched> {
    if context.flow.trigger.is_called() {
        return inbox::page(context, "".into(), cursor).await;
    }
    let place = &context.trigger_place;
    let scan =
        Scan { want, partition: Some(partition.to_string()).filter(|id| !id.is_empty()), cursor };
    let unmapped = context.unmapped.page(place).await?;
    let retry = context.flow.trigger.retry;
    let mut tries = Tries::new(retry, place, &partition, &*context.clock, &*context.watch);
    let (page, date, moment) = loop {
        let moment = echo::now(&*context.clock);
        // A system that dates changes in whole seconds dates what follows now as early as that.
        let asked = Timestamp::from_secs(context.clock.now().secs());
        let (api, observed) = context.trigger_api.observed();
        match context.flow.trigger.trigger.poll(&api, &scan).await {
            Ok(page) => break (page, observed.date().unwrap_or(asked), moment),
            Err(error) => match tries.again(error).await {
                Ok(()) => {}
                Err(error) => return Err(Error::of_call(place.clone(), error, tries.made)),
            },
        }
    };
    let appends = context.flow.trigger.trigger.changes() == Changes::Appended;
    let ends = appends && page.records.is_empty();
    if appends && page.next.is_none() {
        let problem = "the trigger does not say where what is appended next begins".to_owned();
        return Err(Error::Internal { place: place.clone(), problem });
    }
    if !ends && page.next.is_some() && page.next == scan.cursor {
        let problem = "the trigger gives the same place inside the scan again".to_owned();
        return Err(Error::Internal { place: place.clone(), problem });
    }
    let hashing = context.clone();
    let (records, next) = (page.records, page.next);
    let (next, position) = if ends { (None, next) } else { (next, None) };
    let from = if appends { scan.cursor.map(|cursor| cursor.to_string()) } else { None };
    let hashed = context.workers.run(place, move || {
        let trigger = &hashing.flow.trigger.trigger;
        let (volatile, completes) = (trigger.volatile(), trigger.completes());
        let may_rename = trigger.changes() == Changes::Timestamps;
        let mut scratch = vec![];
        records
            .into_iter()
            .enumerate()
            .map(|(index, record)| {
                let part = completes.then(|| trigger.part(&record)).flatten();
                let (store, part) = (&*hashing.store, part.as_deref());
                let found =
                    Fingerprint::of(store, &partition, part, &record, volatile, &mut scratch);
                // The same line twice is two records.
                let found = match appends {
                    true => found.placed(store, from.as_deref(), index),
                    false => found,
                };
                let was = may_rename.then(|| trigger.earlier_key(&record)).flatten();
                let was = was.map(|key| record_key(store, &partition, &key));
                (record, Fingerprint { was, ..found })
            })
            .collect()
    });
    let records = hashed.await?;
    Ok(Fetched {
        records,
        wholes: None,
        next,
        position,
        taken: None,
        date,
        asked: moment,
        unmapped,
    })
}
