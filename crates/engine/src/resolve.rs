//! Settles what is left in the journal, before anything is polled.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use flow::InDoubt;
use store::{DeadLetterSummary, Parked};

use crate::age::Before;
use crate::batch::{self, Outgoing, Sent};
use crate::beside::Beside;
use crate::context::Context;
use crate::deliver::rounds;
use crate::journal::{How, Left};
use crate::run::Run;
use crate::settled::{Settled, in_doubt};
use crate::step::{Arrival, Traveller};
use crate::{Error, Event, Place, Result};

impl Run {
    /// Settles what was left without an answer, by earlier runs or by a scan that failed: it becomes a dead letter, or is sent again
    /// from the bytes that were kept, as its step says. What systems are known to have taken is
    /// left for the time when its record comes again.
    pub(crate) async fn resolve_journal(&mut self) -> Result<()> {
        let context = self.context.clone();
        let Some(journal) = &context.journal else { return Ok(()) };
        let mut settled = Settled::default();
        let again = journal.left()?.into_iter().filter(|left| context.resends(left)).collect();
        send_again(&context, again, &mut settled).await?;
        let now = context.clock.now();
        let mut beside = Beside::default();
        for Left { step, traveller, results, how, .. } in journal.left()? {
            let How::InDoubt { sent, reason } = how else { continue };
            let taken = context.steps.iter().find(|it| it.step.id == step);
            let why = in_doubt(taken, sent, reason.as_deref());
            if traveller.origin.is_resumed() {
                let Traveller { partition_key, id, .. } = &traveller;
                beside.was_before(Before::of(partition_key, id, sent.millis()));
            }
            let place = context.place_of(&step);
            context.watch.on(&Event::DeadLetter { place: &place, code: &why.code });
            settled.refuse(&place, &traveller, &results, why, now.millis());
        }
        if settled.is_empty() {
            return Ok(());
        }
        let settling = journal.settle_left().await?;
        settled.journal.clone_from(&settling.obsolete);
        self.commit_beside(Beside { settled, ..beside }).await?;
        journal.settled(settling);
        context.watch.at("engine.journal.resolved");
        Ok(())
    }

    /// Forgets what the journal still has, once everything was scanned: it is about records that
    /// changed meanwhile, or are gone. What systems finish later is kept all the same.
    pub(crate) async fn clear_journal(&mut self, listed: &[String]) -> Result<()> {
        let context = self.context.clone();
        let Some(journal) = context.journal.as_ref().filter(|journal| !journal.is_empty()) else {
            return Ok(());
        };
        let flow = &*context.flow.name;
        let failed = |error: store::Error| Error::store(flow, &error);
        let asked = RefCell::new(HashSet::new());
        let ask = |key: &[u8; 16]| {
            asked.borrow_mut().insert(*key);
            false
        };
        let mut obsolete = journal.obsolete(listed, ask);
        // Most often nothing was on its way again, and no letter has to be looked at.
        let asked = asked.into_inner();
        if !asked.is_empty() {
            let mut waiting: HashSet<[u8; 16]> = HashSet::new();
            let mut each = |letter: DeadLetterSummary| {
                waiting.extend(asked.get(&letter.partition_key));
                true
            };
            context.store.each_dead_letter(Some(flow), &mut each).await.map_err(failed)?;
            let mut each = |parked: Parked| {
                waiting.extend(asked.get(&parked.partition_key));
                true
            };
            context.store.each_parked(flow, &mut each).await.map_err(failed)?;
            obsolete = journal.obsolete(listed, |key| waiting.contains(key));
        }
        let mut settled = Settled::default();
        for Left { step, traveller, results, how, .. } in journal.handed_over(&obsolete)? {
            let How::Parked(handed_over) = how else { continue };
            // Not told to the trail: there it would come behind what overtook it.
            settled.keep_parked(&*context.store, &step, &traveller, &results, handed_over);
        }
        if !settled.parked.is_empty() {
            settled.journal = obsolete;
            return self.commit_beside(Beside { settled, ..Beside::default() }).await;
        }
        if obsolete.is_empty() { Ok(()) } else { journal.forget(&obsolete).await }
    }
}

impl Context {
    /// Whether a message that is in doubt is sent again.
    fn resends(&self, left: &Left) -> bool {
        let step = self.steps.iter().find(|step| step.step.id == left.step);
        let resends = step.is_some_and(|step| step.step.in_doubt == InDoubt::Resend);
        resends && matches!(left.how, How::InDoubt { .. })
    }

    /// Where a step is that the flow may have no more.
    fn place_of(&self, step: &str) -> Place {
        let known = self.steps.iter().find(|it| it.step.id == step);
        known.map_or_else(
            || Place { step: Some(step.to_owned()), ..self.trigger_place.clone() },
            |step| step.place.clone(),
        )
    }
}

/// Sends messages again as they were sent before, those of one record in their order. What the
/// action does not take any more in this form stays in doubt.
async fn send_again(
    context: &Arc<Context>,
    mut left: Vec<Left>,
    settled: &mut Settled,
) -> Result<()> {
    left.sort_by_key(|left| match &left.how {
        How::InDoubt { sent, .. } => sent.millis(),
        How::Parked(handed_over) => handed_over.since,
    });
    for round in rounds(left, |left| &left.traveller.key) {
        send_round(context, &round, settled).await?;
    }
    Ok(())
}

async fn send_round(context: &Arc<Context>, left: &[Left], settled: &mut Settled) -> Result<()> {
    for (at, step) in context.steps.iter().enumerate() {
        let of_step = left.iter().filter(|left| left.step == step.step.id);
        let going = of_step.filter_map(|left| {
            let input = step.step.action.prepare(left.input.clone()).ok()?;
            let traveller = Arc::new(left.traveller.clone());
            let (id, key) = (traveller.id.clone(), traveller.key.clone());
            let item = connector::ErasedItem { id, key, input };
            let results = Arc::new(left.results.clone());
            Some(Outgoing { item, arrival: Arrival { traveller, results } })
        });
        let going: Vec<Outgoing> = going.collect();
        let size = step.step.batch.get().min(step.step.action.max_batch()).max(1);
        for going in going.chunks(size) {
            let answered = batch::send(context, at, going, usize::MAX).await?;
            for (sent, going) in answered.sent.into_iter().zip(going) {
                let Sent::Rejected { code, reason } = sent else { continue };
                let Arrival { traveller, results } = &going.arrival;
                let why = flow::message::Unmappable::new(code, reason);
                context.watch.on(&Event::DeadLetter { place: &step.place, code: &why.code });
                settled.refuse(&step.place, traveller, results, why, context.clock.now().millis());
            }
        }
    }
    Ok(())
}
