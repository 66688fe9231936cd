//! A record that is read, and what another flow wrote of it.

use std::collections::HashMap;
use std::sync::Arc;

use flow::Prefer;
use store::Echo;

use super::content::content;
use super::ways::key;
use crate::context::Context;
use crate::seen::UNVERSIONED;
use crate::step::Traveller;
use crate::{Error, Result};

/// What a record is beside what was written of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same: the other side has it.
    Echo,
    /// It was read after that was written, and differs: a change that came later.
    Later,
    /// Both sides changed before either knew of the other, and the record's change wins.
    Wins,
    /// The same, and it loses.
    Loses,
}

/// A record as it was read.
pub(super) struct Read {
    pub(super) content: Option<[u8; 8]>,
    pub(super) version: i64,
    /// When its system was asked for it.
    pub(super) asked: u64,
}

/// Says what a record is beside what was written of it: of two changes at once the newer one wins,
/// as their systems date them, and of two that are not told apart so the one of the side that the
/// flow prefers.
pub(super) fn verdict(read: &Read, echo: &Echo, prefer: Prefer) -> Verdict {
    if read.content == Some(echo.content) {
        return Verdict::Echo;
    }
    if read.asked > echo.moment {
        return Verdict::Later;
    }
    let are_dated = read.version != UNVERSIONED && echo.version != UNVERSIONED;
    let wins = match read.version.cmp(&echo.version) {
        std::cmp::Ordering::Greater if are_dated => true,
        std::cmp::Ordering::Less if are_dated => false,
        _ => prefer == Prefer::Source,
    };
    if wins { Verdict::Wins } else { Verdict::Loses }
}

/// What a message met at the accounts that its flow writes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met {
    pub(super) key: [u8; 16],
    /// The echo's, by which it is told from a later one.
    pub(super) moment: u64,
    pub(super) verdict: Verdict,
}

/// A message, and the account where it may meet something.
type Asked = ([u8; 8], Arc<Traveller>);

/// What the messages of a page met, by their ids and the accounts.
#[derive(Debug, Default)]
pub(crate) struct Meetings(HashMap<(Arc<str>, [u8; 8]), Met>);

impl Meetings {
    /// Holds a page's messages against what other flows wrote of their records. The most common
    /// case, a flow that no other one runs against, takes one question to the store.
    pub(crate) async fn of(
        context: &Arc<Context>,
        asked: u64,
        messages: impl Iterator<Item = &Arc<Traveller>>,
    ) -> Result<Self> {
        let (store, flow) = (&*context.store, &*context.flow.name);
        let failed = |error: store::Error| Error::store(flow, &error);
        if context.journal.is_none() || !store.has_echoes(flow).await.map_err(failed)? {
            return Ok(Self::default());
        }
        let mut targets = context.ways.targets.clone();
        targets.sort_unstable();
        targets.dedup();
        let mut met: HashMap<[u8; 16], Vec<Asked>> = HashMap::new();
        for message in messages.filter(|message| !message.deleted) {
            for target in &targets {
                let key = key(store, target, &message.key);
                met.entry(key).or_default().push((*target, message.clone()));
            }
        }
        let keys: Vec<[u8; 16]> = met.keys().copied().collect();
        let echoes = store.echoes(flow, &keys).await.map_err(failed)?;
        let (own, place) = (context.clone(), context.trigger_place.clone());
        let hold = move || {
            let mut meetings = HashMap::new();
            for echo in echoes {
                for (target, message) in met.remove(&echo.key).unwrap_or_default() {
                    let read = Read {
                        content: content(&*own.store, &message.message),
                        version: message.version,
                        asked,
                    };
                    let verdict = verdict(&read, &echo, own.flow.prefer);
                    let met = Met { key: echo.key, moment: echo.moment, verdict };
                    meetings.insert((message.id.clone(), target), met);
                }
            }
            Self(meetings)
        };
        context.workers.run(&place, hold).await
    }

    /// What a message met where a step writes to.
    pub(crate) fn at(
        &self,
        context: &Context,
        step: usize,
        message: &Traveller,
    ) -> Option<Verdict> {
        if self.0.is_empty() {
            return None;
        }
        let target = context.ways.targets.get(step)?;
        self.0.get(&(message.id.clone(), *target)).map(|met| met.verdict)
    }

    /// Whether none met anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Met> {
        self.0.values()
    }
}
