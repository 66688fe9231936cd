//! The way of a page's messages through the graph of steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flow::Flow;
use serde_json::{Map, Value};

/// How far the messages of a page have come; each is known by its place among them.
pub(crate) struct Way {
    flow: Arc<Flow>,
    /// For each step the result of each message that it is done with.
    results: Vec<Vec<Option<Value>>>,
    stages: Vec<Stage>,
    left: Vec<Left>,
    /// For the messages that were on their way before, where they go on.
    onward: BTreeMap<usize, Onward>,
}

/// Where a message goes on that was on its way before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Onward {
    /// The results that it brings, by step.
    results: BTreeMap<usize, Value>,
    /// The steps that it still comes to.
    ahead: BTreeSet<usize>,
    /// The step that it comes from, if it is behind one.
    from: Option<usize>,
}

/// How many messages came to an end of the graph, and what kept the others from it.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) delivered: u64,
    pub(crate) filtered: u64,
    pub(crate) echoed: u64,
    pub(crate) overruled: u64,
    pub(crate) parked: u64,
    pub(crate) refused: u64,
}

/// What kept a message from going on somewhere; a refusal outweighs a condition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Nowhere,
    Filtered,
    Echoed,
    Overruled,
    Parked,
    Refused,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Running,
    Finished,
}

impl Way {
    pub(crate) fn new(flow: Arc<Flow>, messages: usize) -> Self {
        let steps = flow.steps.len();
        Self {
            flow,
            results: vec![vec![None; messages]; steps],
            stages: vec![Stage::Waiting; steps],
            left: vec![Left::Nowhere; messages],
            onward: BTreeMap::new(),
        }
    }

    /// Lets a message go on where it was before, instead of through all steps.
    pub(crate) fn go_on(&mut self, message: usize, onward: Onward) {
        for (step, value) in &onward.results {
            self.done(*step, message, value.clone());
        }
        self.onward.insert(message, onward);
    }

    /// A step whose turn it is; it counts as running from now on.
    pub(crate) fn next_step(&mut self) -> Option<usize> {
        let is_finished = |step: &usize| self.stages.get(*step) == Some(&Stage::Finished);
        let mut steps = self.flow.steps.iter().zip(&self.stages).enumerate();
        let (next, _) = steps.find(|(_, (step, stage))| {
            **stage == Stage::Waiting && step.after.iter().all(is_finished)
        })?;
        self.set(next, Stage::Running);
        Some(next)
    }

    /// The messages that come to a step, with `$steps` as its expressions see it: the results of
    /// the steps before it, and of no other, so that a repetition sees the same.
    pub(crate) fn arrive(&self, step: usize) -> Vec<(usize, Arc<Value>)> {
        let after = self.flow.steps.get(step).map(|step| &*step.after).unwrap_or_default();
        let earlier = self.flow.earlier(step);
        let none = Arc::new(Value::Object(Map::new()));
        let comes = |message: &usize| {
            let ahead = self.onward.get(message).is_none_or(|on| on.ahead.contains(&step));
            ahead && after.iter().all(|step| self.result(*step, *message).is_some())
        };
        let messages = (0..self.left.len()).filter(comes);
        let with_results = |message| {
            if earlier.is_empty() {
                return (message, none.clone());
            }
            let results = earlier.iter().filter_map(|step| {
                let id = self.flow.steps.get(*step)?.id.clone();
                Some((id, self.result(*step, message)?.clone()))
            });
            (message, Arc::new(Value::Object(results.collect())))
        };
        messages.map(with_results).collect()
    }

    fn result(&self, step: usize, message: usize) -> Option<&Value> {
        self.results.get(step)?.get(message)?.as_ref()
    }

    /// The results that a message has so far, by their steps' ids.
    pub(crate) fn results_of(&self, message: usize) -> impl Iterator<Item = (String, Value)> {
        let steps = self.flow.steps.iter().zip(&self.results);
        steps.filter_map(move |(step, results)| {
            Some((step.id.clone(), results.get(message)?.clone()?))
        })
    }

    /// Whether a message was on its way before.
    pub(crate) fn went_on(&self, message: usize) -> bool {
        self.onward.contains_key(&message)
    }

    pub(crate) fn done(&mut self, step: usize, message: usize, value: Value) {
        let results = self.results.get_mut(step);
        if let Some(slot) = results.and_then(|results| results.get_mut(message)) {
            *slot = Some(value);
        }
    }

    pub(crate) fn filtered(&mut self, message: usize) {
        self.leave(message, Left::Filtered);
    }

    pub(crate) fn echoed(&mut self, message: usize) {
        self.leave(message, Left::Echoed);
    }

    pub(crate) fn overruled(&mut self, message: usize) {
        self.leave(message, Left::Overruled);
    }

    pub(crate) fn parked(&mut self, message: usize) {
        self.leave(message, Left::Parked);
    }

    pub(crate) fn refused(&mut self, message: usize) {
        self.leave(message, Left::Refused);
    }

    fn leave(&mut self, message: usize, left: Left) {
        if let Some(slot) = self.left.get_mut(message) {
            *slot = left.max(*slot);
        }
    }

    /// A step is through with every message that came to it.
    pub(crate) fn finished(&mut self, step: usize) {
        self.set(step, Stage::Finished);
    }

    fn set(&mut self, step: usize, to: Stage) {
        if let Some(stage) = self.stages.get_mut(step) {
            *stage = to;
        }
    }

    /// What became of the messages.
    pub(crate) fn ends(&self) -> Ends {
        let last: Vec<usize> =
            (0..self.stages.len()).filter(|step| self.flow.is_last(*step)).collect();
        let mut ends = Ends::default();
        for (message, left) in self.left.iter().enumerate() {
            let onward = self.onward.get(&message);
            let came_to = |step: &&usize| onward.is_none_or(|onward| onward.reaches(**step));
            if last.iter().filter(came_to).any(|step| self.result(*step, message).is_some()) {
                ends.delivered += 1;
                continue;
            }
            match left {
                // Where it goes on, other steps may still keep it from going further.
                Left::Nowhere => ends.filtered += u64::from(onward.is_some()),
                Left::Filtered => ends.filtered += 1,
                Left::Echoed => ends.echoed += 1,
                Left::Overruled => ends.overruled += 1,
                Left::Parked => ends.parked += 1,
                Left::Refused => ends.refused += 1,
            }
        }
        ends
    }
}

impl Onward {
    /// Begins anew at a step, with the results so far. Steps before it that came into the flow
    /// since, and so have no result, are run first.
    pub(crate) fn at(flow: &Flow, step: usize, results: BTreeMap<usize, Value>) -> Self {
        let missing = flow.earlier(step).into_iter().filter(|step| !results.contains_key(step));
        let ahead = behind(flow, step).chain(missing).chain([step]).collect();
        let mut onward = Self { results, ahead, from: None };
        onward.results.retain(|step, _| !onward.ahead.contains(step));
        onward
    }

    /// Goes on behind a step whose result is among those given.
    pub(crate) fn behind(flow: &Flow, step: usize, results: BTreeMap<usize, Value>) -> Self {
        let ahead: BTreeSet<usize> = behind(flow, step).collect();
        let mut onward = Self { results, ahead, from: Some(step) };
        onward.results.retain(|step, _| !onward.ahead.contains(step));
        onward
    }

    /// Takes over what other ways of the message are done with meanwhile.
    pub(crate) fn learn(&mut self, flow: &Flow, results: &BTreeMap<String, Value>) {
        for (id, value) in results {
            let step = flow.steps.iter().position(|step| step.id == *id);
            if let Some(step) = step.filter(|step| !self.ahead.contains(step)) {
                self.results.entry(step).or_insert_with(|| value.clone());
            }
        }
    }

    fn reaches(&self, step: usize) -> bool {
        self.ahead.contains(&step) || self.from == Some(step)
    }
}

/// The steps that wait for a step, directly or behind one another.
fn behind(flow: &Flow, step: usize) -> impl Iterator<Item = usize> {
    (0..flow.steps.len()).filter(move |later| flow.earlier(*later).contains(&step))
}
