//! Maps a page's messages and takes them through the steps, until each is settled.

use std::collections::HashSet;
use std::sync::Arc;

use flow::OnReject;
use flow::message::{self, Scope, Unmappable};
use futures_util::stream::{FuturesUnordered, TryStreamExt};
use mapping::Moment;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::context::Context;
use crate::detect::Emitted;
use crate::journal::Journal;
use crate::resume::{Ahead, Resumed};
use crate::settled::{IN_DOUBT, Settled};
use crate::step::{self, Arrival, Fate, Origin, Traveller};
use crate::trail::What;
use crate::way::{Ends, Onward, Way};
use crate::{Error, Event, Place, Result};

/// Messages that go through the steps together.
struct Page {
    context: Arc<Context>,
    now_ms: i64,
    messages: usize,
    /// How many of them may be refused.
    allowed: usize,
    settled: Settled,
    /// The messages that were refused somewhere, each once.
    refused: HashSet<Arc<str>>,
    /// The first refusal's place and code.
    first_refused: Option<(Place, String)>,
}

/// A message, and why it cannot be mapped if it cannot.
type Mapped = (Arc<Traveller>, Option<Unmappable>);

/// Delivers a page's messages. An error leaves the whole page unsettled. `unmapped` is given back
/// once there are no raw records any more.
pub(crate) async fn page(
    context: Arc<Context>,
    origin: Origin,
    emitted: Vec<Emitted>,
    unmapped: OwnedSemaphorePermit,
) -> Result<Settled> {
    let now_ms = context.clock.now().millis();
    let allowed = allowed_rejects(&context.flow.max_rejects, emitted.len());
    let mut page = Page::new(context, now_ms, emitted.len(), allowed);
    if emitted.is_empty() {
        return Ok(page.settled);
    }
    let ids = page.context.journaled_ids(&emitted);
    let travellers = page.map(emitted, &origin).await?;
    page.context.watch.at("engine.page.mapped");
    drop(unmapped);
    for round in rounds(travellers, |(traveller, _)| &traveller.key) {
        let mut going = vec![];
        for (traveller, problem) in round {
            match problem {
                None => going.push(traveller),
                Some(problem) => page.refuse_unmapped(&traveller, problem)?,
            }
        }
        page.take_steps(going, vec![]).await?;
    }
    if let Some(journal) = &page.context.journal {
        page.settled.journaled = journal.noted(false, &ids);
    }
    Ok(page.settled)
}

/// Takes messages further that were on their way before: those of dead letters, and those whose
/// step was finished elsewhere. Refusals do not stop it, however many there are.
///
/// Messages of one record keep their order. An error settles nothing; a message that begins at a
/// step, or behind one, that the flow has no more is such an error.
pub(crate) async fn resume(
    context: Arc<Context>,
    now_ms: i64,
    resumed: Vec<Resumed>,
) -> Result<Settled> {
    let settled = go_on(context.clone(), now_ms, resumed).await;
    // What was sent is written down, also if something else failed.
    context.calls.finish().await;
    settled
}

async fn go_on(context: Arc<Context>, now_ms: i64, resumed: Vec<Resumed>) -> Result<Settled> {
    let mut page = Page::new(context, now_ms, resumed.len(), usize::MAX);
    let ids: Vec<_> = resumed.iter().map(|message| message.id.clone()).collect();
    let (mut travellers, mut raw) = (vec![], vec![]);
    for message in resumed {
        match message.read(&page.context.flow, &page.context.trigger_place, now_ms)? {
            Ahead::Steps(traveller, onward) => {
                travellers.push((Arc::new(traveller), onward, None));
            }
            Ahead::Mapping(emitted) => raw.push(emitted),
        }
    }
    let mapped = page.map(raw, &Origin::Resumed { begins: None }).await?;
    travellers.extend(mapped.into_iter().map(|(traveller, problem)| (traveller, None, problem)));
    // Those that the trigger's mapping refused go again among the others of their record.
    let place = |id: &Arc<str>| ids.iter().position(|known| known == id);
    travellers.sort_by_key(|(traveller, ..)| place(&traveller.id));
    for round in rounds(travellers, |(traveller, ..)| &traveller.key) {
        let (mut going, mut ahead) = (vec![], vec![]);
        for (traveller, mut onward, problem) in round {
            if let Some(problem) = problem {
                page.refuse_unmapped(&traveller, problem)?;
                continue;
            }
            // Another way of the same message may be done since: what waits for both comes now.
            let results = page.settled.results.get(&traveller.id);
            if let (Some(onward), Some(results)) = (&mut onward, results) {
                onward.learn(&page.context.flow, results);
            }
            going.push(traveller);
            ahead.push(onward);
        }
        page.take_steps(going, ahead).await?;
    }
    if let Some(journal) = &page.context.journal {
        page.settled.resumed = journal.noted(true, &ids);
    }
    Ok(page.settled)
}

/// Splits messages so that no round holds a key twice, keeping their order within each key.
pub(crate) fn rounds<T>(mut messages: Vec<T>, key: impl Fn(&T) -> &Arc<str>) -> Vec<Vec<T>> {
    let mut rounds = vec![];
    while !messages.is_empty() {
        let mut keys = HashSet::new();
        let (round, rest) = messages.into_iter().partition(|it| keys.insert(key(it).clone()));
        rounds.push(round);
        messages = rest;
    }
    rounds
}

impl Page {
    fn new(context: Arc<Context>, now_ms: i64, messages: usize, allowed: usize) -> Self {
        let settled = Settled::default();
        let (refused, first_refused) = (HashSet::new(), None);
        Self { context, now_ms, messages, allowed, settled, refused, first_refused }
    }

    /// Makes messages of the raw records. What cannot be mapped is refused when its turn comes, so
    /// that a record's messages keep their order; if it is too much, at once.
    async fn map(&mut self, emitted: Vec<Emitted>, origin: &Origin) -> Result<Vec<Mapped>> {
        if emitted.is_empty() {
            return Ok(vec![]);
        }
        let (context, now_ms, origin) = (self.context.clone(), self.now_ms, origin.clone());
        let moments = context.journal.as_deref().map(Journal::moments).unwrap_or_default();
        let place = self.context.trigger_place.clone();
        let workers = self.context.workers.clone();
        let mapped = workers
            .run(&place, move || {
                let trigger = &context.flow.trigger;
                let variables = message::variables(&context.flow, &trigger.fields);
                emitted
                    .into_iter()
                    .map(|Emitted { id, key, partition_key, data, seed, version, deleted }| {
                        let now_ms = moments.get(&*id).copied().unwrap_or(now_ms);
                        let origin = origin.clone();
                        let moment = Moment { now_ms, seed };
                        let (message, problem) = if deleted {
                            (message::delete(&key), None)
                        } else {
                            let scope = Scope { variables: &variables, moment };
                            let metadata = message::metadata(&key);
                            match message::message(trigger, &metadata, data.get(), &scope) {
                                Ok(message) => (message, None),
                                Err(problem) => {
                                    (message::unmapped(&metadata, data.get()), Some(problem))
                                }
                            }
                        };
                        let message = message.into();
                        let traveller = Traveller {
                            id,
                            key,
                            partition_key,
                            message,
                            moment,
                            origin,
                            version,
                            deleted,
                        };
                        (Arc::new(traveller), problem)
                    })
                    .collect::<Vec<_>>()
            })
            .await?;
        for (traveller, _) in mapped.iter().filter(|(it, problem)| it.deleted && problem.is_none())
        {
            let (key, id) = (&traveller.partition_key, &traveller.id);
            self.settled.trail.add(key, id, What::Deleted);
        }
        if mapped.iter().filter(|(_, problem)| problem.is_some()).count() > self.allowed {
            for (traveller, problem) in &mapped {
                if let Some(problem) = problem {
                    self.refuse_unmapped(traveller, problem.clone())?;
                }
            }
        }
        Ok(mapped)
    }

    /// Takes messages through all steps, or those ahead of each: each step as soon as those that
    /// it waits for are done.
    async fn take_steps(
        &mut self,
        travellers: Vec<Arc<Traveller>>,
        onward: Vec<Option<Onward>>,
    ) -> Result<()> {
        let mut way = Way::new(self.context.flow.clone(), travellers.len());
        for (at, onward) in onward.into_iter().enumerate() {
            if let Some(onward) = onward {
                way.go_on(at, onward);
            }
        }
        let (mut handed_over, mut refused) = (vec![], vec![]);
        let mut running = FuturesUnordered::new();
        loop {
            while let Some(step) = way.next_step() {
                let arrived = way.arrive(step);
                let arrivals = arrived.iter().filter_map(|(at, results)| {
                    let traveller = travellers.get(*at)?.clone();
                    Some(Arrival { traveller, results: results.clone() })
                });
                let arrivals: Vec<_> = arrivals.collect();
                let (context, allowed) = (self.context.clone(), self.allowed);
                running.push(async move {
                    let taken = step::take(context, allowed, step, arrivals).await;
                    taken.map(|taken| (taken, arrived))
                });
            }
            let Some((taken, arrived)) = running.try_next().await? else { break };
            self.settled.outage = self.settled.outage.take().or(taken.outage);
            self.settled.carried.extend(taken.carried);
            self.settled.met.extend(taken.met);
            let context = self.context.clone();
            let Some(step) = context.steps.get(taken.step).map(|step| &*step.step.id) else {
                return Err(context.no_step());
            };
            for (fate, (at, _)) in taken.fates.into_iter().zip(arrived) {
                let Some(traveller) = travellers.get(at) else { continue };
                match fate {
                    Fate::Done { value, target_key } => {
                        let target_key = target_key.as_deref();
                        let done = What::Delivered { step, answer: &value, target_key };
                        self.settled.tell(traveller, done);
                        way.done(taken.step, at, value);
                    }
                    Fate::Filtered => {
                        self.settled.tell(traveller, What::Filtered { step });
                        way.filtered(at);
                    }
                    Fate::Echoed => {
                        self.settled.tell(traveller, What::Echoed { step });
                        way.echoed(at);
                    }
                    Fate::Overruled => {
                        self.settled.tell(traveller, What::Overruled { step });
                        way.overruled(at);
                    }
                    Fate::Parked(how) => {
                        way.parked(at);
                        handed_over.push((taken.step, at, how));
                    }
                    Fate::RefusedBefore => way.refused(at),
                    Fate::Refused(problem) => {
                        way.refused(at);
                        self.count_refusal(Some(taken.step), traveller, &problem)?;
                        refused.push((taken.step, at, problem));
                    }
                }
            }
            way.finished(taken.step);
            self.context.watch.at("engine.step.done");
        }
        // Steps beside them may have finished since: what comes behind both needs the results of both.
        for (step, at, how) in handed_over {
            let Some(traveller) = travellers.get(at) else { continue };
            let results = way.results_of(at).collect::<Map<_, _>>();
            let context = self.context.clone();
            let Some(step) = context.steps.get(step).map(|step| &step.step.id) else { continue };
            self.settled.park(&*context.store, step, traveller, &Value::Object(results), how);
        }
        for (step, at, problem) in refused {
            let Some(traveller) = travellers.get(at) else { continue };
            let results = Value::Object(way.results_of(at).collect());
            let place = self.place(Some(step));
            self.settled.refuse(&place, traveller, &results, problem, self.now_ms);
        }
        for (at, traveller) in travellers.iter().enumerate() {
            if way.went_on(at) || self.context.keeps_results {
                self.settled.results.insert(traveller.id.clone(), way.results_of(at).collect());
            }
        }
        let Ends { delivered, filtered, echoed, overruled, parked, refused } = way.ends();
        let ends = delivered + filtered + echoed + overruled + parked + refused;
        if ends != travellers.len() as u64 {
            let problem = "a message was lost between two steps".to_owned();
            return Err(Error::Internal { place: self.place(None), problem });
        }
        self.settled.delivered += delivered;
        self.settled.filtered += filtered;
        self.settled.echoed += echoed;
        self.settled.overruled += overruled;
        Ok(())
    }

    fn place(&self, step: Option<usize>) -> Place {
        let of_step = step.and_then(|step| self.context.steps.get(step));
        of_step.map_or_else(|| self.context.trigger_place.clone(), |step| step.place.clone())
    }

    /// Makes a message that the trigger's mapping refused a dead letter.
    fn refuse_unmapped(&mut self, message: &Traveller, why: Unmappable) -> Result<()> {
        self.count_refusal(None, message, &why)?;
        let place = self.place(None);
        let none = Value::Object(Map::new());
        self.settled.refuse(&place, message, &none, why, self.now_ms);
        Ok(())
    }

    /// Says whether a message may become a dead letter, or so many are refused that something else
    /// is wrong.
    fn count_refusal(
        &mut self,
        step: Option<usize>,
        message: &Traveller,
        why: &Unmappable,
    ) -> Result<()> {
        let place = self.place(step);
        let taken = step.and_then(|step| self.context.steps.get(step));
        // A message in doubt was sent: stopping before it would not take that back. What goes on
        // from before was committed already.
        let stops = taken.is_some_and(|it| it.step.on_reject == OnReject::Stop);
        if stops && why.code != IN_DOUBT && self.allowed < usize::MAX {
            let message = message.id.chars().take(16).collect();
            return Err(Error::Stopped { place, message, code: why.code.clone() });
        }
        self.context.watch.on(&Event::DeadLetter { place: &place, code: &why.code });
        if why.code == IN_DOUBT {
            // It says nothing about the mapping, and was sent already.
            return Ok(());
        }
        self.first_refused.get_or_insert_with(|| (place, why.code.clone()));
        self.refused.insert(message.id.clone());
        let rejected = self.refused.len();
        if rejected > self.allowed
            && let Some((place, code)) = self.first_refused.clone()
        {
            return Err(Error::TooManyRejects { place, rejected, messages: self.messages, code });
        }
        Ok(())
    }
}

/// How many messages of a page may be refused.
fn allowed_rejects(limit: &flow::MaxRejects, messages: usize) -> usize {
    // A page's messages count in thousands: a float holds them exactly.
    let share = (limit.share.clamp(0.0, 1.0) * messages as f64).floor() as usize;
    share.max(limit.at_least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_holds_each_key_once_and_keeps_their_order() {
        let keys = ["a", "b", "a", "c", "a"].map(Arc::<str>::from);
        let rounds = rounds(keys.into_iter().enumerate().collect(), |(_, key)| key);
        let places = |round: &Vec<(usize, Arc<str>)>| {
            round.iter().map(|(place, _)| place.to_string()).collect::<String>()
        };
        assert_eq!(rounds.iter().map(places).collect::<Vec<_>>(), ["013", "2", "4"]);
    }

    #[test]
    fn a_fifth_of_a_page_and_at_least_twenty_may_be_refused() {
        let limit = flow::MaxRejects::default();
        assert_eq!([10, 100, 1000].map(|n| allowed_rejects(&limit, n)), [20, 20, 200]);
    }
}
