//! A record that is read, and what another flow wrote of it.

use std::collections::HashMap;
use std::sync::Arc;

use connector::Prepared;
use flow::Prefer;
use store::Echo;

use super::content::content;
use super::ways::key;
use crate::batch::Outgoing;
use crate::context::Context;
use crate::seen::UNVERSIONED;
use crate::step::{Origin, Traveller};
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

/// What a message met where a step writes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met {
    pub(super) key: [u8; 16],
    /// The echo's, by which it is told from a later one.
    pub(super) moment: u64,
    pub(crate) verdict: Verdict,
}

/// Holds what a step is about to send against what other flows wrote of the same records; in the
/// same order. The most common case, a flow that no other one runs against, takes one question to
/// the store.
pub(crate) async fn meet(
    context: &Arc<Context>,
    step: usize,
    going: &[(usize, Outgoing)],
) -> Result<Vec<Option<Met>>> {
    let none = || vec![None; going.len()];
    let (store, flow) = (&*context.store, &*context.flow.name);
    let failed = |error: store::Error| Error::store(flow, &error);
    let keys = |(_, going): &(usize, Outgoing)| match going.arrival.traveller.origin {
        Origin::Page { .. } if !going.arrival.traveller.deleted => {
            context.echo_key(step, &going.arrival.traveller)
        }
        _ => None,
    };
    if going.is_empty()
        || context.journal.is_none()
        || !store.has_echoes(flow).await.map_err(failed)?
    {
        return Ok(none());
    }
    let keys: Vec<Option<[u8; 16]>> = going.iter().map(keys).collect();
    let asked: Vec<[u8; 16]> = keys.iter().copied().flatten().collect();
    let echoes = store.echoes(flow, &asked).await.map_err(failed)?;
    if echoes.is_empty() {
        return Ok(none());
    }
    let echoes: HashMap<[u8; 16], Echo> = echoes.into_iter().map(|echo| (echo.key, echo)).collect();
    let messages: Vec<_> = going
        .iter()
        .map(|(_, going)| (going.arrival.traveller.clone(), going.item.input.clone()))
        .collect();
    let (own, place) = (context.clone(), context.place(step));
    let hold = move || {
        let met = messages.iter().zip(keys).map(|((message, input), key)| {
            let echo = echoes.get(&key?)?;
            let verdict = own.verdict(step, message, input, echo);
            Some(Met { key: echo.key, moment: echo.moment, verdict })
        });
        met.collect()
    };
    context.workers.run(&place, hold).await
}

impl Context {
    /// The key of what other flows wrote of a message's record where a step writes to.
    pub(super) fn echo_key(&self, step: usize, message: &Traveller) -> Option<[u8; 16]> {
        let (taken, target) = (self.steps.get(step)?, self.ways.targets.get(step)?);
        Some(key(&*self.store, &taken.step.id, target, &message.key))
    }

    /// What a message that a step sends is beside what another flow wrote of its record.
    pub(super) fn verdict(
        &self,
        step: usize,
        message: &Traveller,
        input: &Prepared,
        echo: &Echo,
    ) -> Verdict {
        let Origin::Page { asked, .. } = message.origin else { return Verdict::Later };
        let content =
            self.steps.get(step).and_then(|taken| content(&*self.store, &taken.step, input));
        verdict(&Read { content, version: message.version, asked }, echo, self.flow.prefer)
    }
}
