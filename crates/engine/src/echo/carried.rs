//! What a step wrote, as the flow that brings it back will read it.

use std::sync::Arc;

use connector::Prepared;
use flow::message::{self, Scope};
use serde_json::Value;

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
    /// When it was known to be taken.
    pub(super) moment: u64,
    pub(super) back: Vec<Back>,
}

/// What one flow will read.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) flow: String,
    pub(super) key: [u8; 16],
    /// What it will make of it; `None` where nobody can say.
    pub(super) content: Option<[u8; 8]>,
}

/// Makes of what was taken what others will read of it.
pub(crate) async fn carried(
    context: &Arc<Context>,
    step: usize,
    done: Vec<Done>,
) -> Result<Vec<Carried>> {
    if done.is_empty() {
        return Ok(vec![]);
    }
    let back = context.ways.back(&context.flow, step).await.to_vec();
    let moment = super::now(&*context.clock);
    let place = context.place(step);
    let own = context.clone();
    let read = move || {
        let Some(taken) = own.steps.get(step) else { return vec![] };
        let flows: Vec<_> = back
            .iter()
            .map(|flow| (flow, message::variables(flow, &flow.trigger.fields)))
            .collect();
        let one = |Done { traveller, input, value, target_key }: Done| {
            let written = taken.step.action.written(&input, &value).map(|it| it.to_string());
            let back = flows.iter().map(|(flow, variables)| {
                let scope = Scope { variables, moment: traveller.moment };
                let metadata = message::metadata(&target_key);
                let read = written.as_ref().and_then(|written| {
                    message::message(&flow.trigger, &metadata, written, &scope).ok()
                });
                Back {
                    flow: flow.name.clone(),
                    key: key(&*own.store, &own.ways.source, &target_key),
                    content: read.and_then(|message| content(&*own.store, &message)),
                }
            });
            Carried { back: back.collect(), traveller, step, moment }
        };
        done.into_iter().map(one).collect()
    };
    context.workers.run(&place, read).await
}
