//! What a step wrote, as the flow that brings it back would send it.

use std::sync::Arc;

use connector::Prepared;
use flow::message::{self, Scope};
use flow::{Flow, Step};
use mapping::Variables;
use serde_json::{Value, json};

use super::content::content;
use super::ways::key;
use crate::Result;
use crate::context::Context;
use crate::step::Traveller;

/// What a step's system took.
pub(crate) struct Done {
    pub(crate) traveller: Arc<Traveller>,
    pub(crate) input: Prepared,
    pub(crate) value: Value,
    pub(crate) target_key: String,
}

/// A message that a step's system took, where another flow will read what it made of it.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) traveller: Arc<Traveller>,
    pub(crate) step: usize,
    pub(super) input: Prepared,
    /// When it was known to be taken.
    pub(super) moment: u64,
    pub(super) back: Vec<Back>,
}

/// What a step of another flow will have to send.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) flow: String,
    pub(super) key: [u8; 16],
    /// What it would send; `None` where nobody can say, or where it would send nothing.
    pub(super) content: Option<[u8; 8]>,
}

/// A step that brings back what another flow wrote, and what its expressions see.
struct WayBack<'a> {
    flow: &'a Flow,
    trigger: &'a Variables,
    step: &'a Step,
}

/// Makes of what was taken what others would send of it.
pub(crate) async fn carried(
    context: &Arc<Context>,
    step: usize,
    done: Vec<Done>,
) -> Result<Vec<Carried>> {
    if done.is_empty() {
        return Ok(vec![]);
    }
    let flows = context.ways.back(&context.flow, step).await.to_vec();
    let moment = super::now(&*context.clock);
    let place = context.place(step);
    let own = context.clone();
    let read = move || {
        let Some(taken) = own.steps.get(step) else { return vec![] };
        let variables: Vec<Variables> =
            flows.iter().map(|flow| message::variables(flow, &flow.trigger.fields)).collect();
        let ways: Vec<WayBack<'_>> = flows
            .iter()
            .zip(&variables)
            .flat_map(|(flow, trigger)| {
                let brings_back =
                    |it: &&Step| it.account == own.trigger_place.account && it.takes.takes(false);
                let steps = flow.steps.iter().filter(brings_back);
                steps.map(move |step| WayBack { flow, trigger, step })
            })
            .collect();
        let one = |Done { traveller, input, value, target_key }: Done| {
            let written = taken.step.action.written(&input, &value);
            let text = written.as_ref().map(ToString::to_string);
            let back = ways.iter().map(|way| {
                let read = written.as_ref().and_then(|it| way.flow.trigger.trigger.key_of(it));
                let record = read.as_deref().unwrap_or(&target_key);
                Back {
                    flow: way.flow.name.clone(),
                    key: key(&*own.store, &way.step.id, &own.ways.source, record),
                    content: text.as_ref().and_then(|written| {
                        let sent = way.would_send(record, written, &traveller)?;
                        content(&*own.store, way.step, &sent)
                    }),
                }
            });
            Carried { back: back.collect(), traveller, step, input, moment }
        };
        done.into_iter().map(one).collect()
    };
    context.workers.run(&place, read).await
}

impl WayBack<'_> {
    /// What the step would send of a record; the results of steps before it nobody knows.
    fn would_send(&self, key: &str, record: &str, traveller: &Traveller) -> Option<Prepared> {
        let moment = traveller.moment;
        let scope = Scope { variables: self.trigger, moment };
        let metadata = message::metadata(key);
        let message = message::message(&self.flow.trigger, &metadata, record, &scope).ok()?;
        let variables = message::variables(self.flow, &self.step.fields)
            .with_text("trigger", message.as_str())
            .with("steps", Arc::new(json!({})));
        let scope = Scope { variables: &variables, moment };
        message::input(self.step, &message, &scope).ok()?
    }
}
