//! A page of a flow that is called: what waits in its inbox.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entry;
use crate::context::Context;
use crate::echo;
use crate::fetch::Fetched;
use crate::{Error, Result};

/// A page has so many bytes of entries, and one entry at least.
const BYTES: usize = 512 * 1024;

/// Where a run is in the inbox.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Cursor {
    /// The last entry of the page before.
    after: u64,
    /// The newest entry when the run began: it ends there, and another one takes what came since.
    until: u64,
}

/// Takes the next page out of the inbox; the page's commit removes it there.
///
/// `partition` is the one whose records are told of, where the flow is polled too.
pub(crate) async fn page(
    context: Arc<Context>,
    partition: Arc<str>,
    cursor: Option<Value>,
) -> Result<Fetched> {
    let (place, flow) = (&context.trigger_place, &context.flow.name);
    let failed = |error: store::Error| Error::store(flow, &error);
    let unmapped = context.unmapped.page(place).await?;
    let known = cursor.and_then(|cursor| serde_json::from_value(cursor).ok());
    let Cursor { after, until } = match known {
        Some(known) => known,
        None => {
            let state = context.store.inbox_state(flow).await.map_err(failed)?;
            Cursor { after: state.taken, until: state.last }
        }
    };
    let date = context.clock.now();
    let entries = context.store.inbox(flow, (after, until), BYTES).await.map_err(failed)?;
    // What came says how its record was then.
    let asked = entries.first().map_or(0, |entry| echo::at(entry.at));
    let taken = entries.last().map(|entry| entry.position);
    let next = taken.filter(|after| *after < until).map(|after| Cursor { after, until });
    let next = next.map(serde_json::to_value).transpose();
    let reading = context.clone();
    let records = context.workers.run(place, move || {
        let (store, flow) = (&*reading.store, &*reading.flow.name);
        let mut records = vec![];
        for entry in entries {
            let read = entry::read(store, (flow, &partition), entry.position, &entry.bytes);
            records.extend(read.map_err(|error| (entry.position, error))?);
        }
        Ok(records)
    });
    let records = records.await?.map_err(|(position, error): (u64, serde_json::Error)| {
        let problem = format!("entry {position} of the inbox cannot be read: {error}");
        Error::Internal { place: place.clone(), problem }
    })?;
    let next = next.map_err(|error| Error::Internal {
        place: place.clone(),
        problem: format!("a place in the inbox cannot be written: {error}"),
    })?;
    Ok(Fetched { records, wholes: None, next, position: None, taken, date, asked, unmapped })
}
