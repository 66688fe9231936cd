//! A dry run: what a run would send, without sending or committing anything.

use std::sync::Arc;

use connector::Changes;
use flow::message::{self, Scope};
use flow::{Flow, Step};
use mapping::Moment;
use serde_json::{Value, json};

use crate::detect::{Candidates, Emitted, Identity};
use crate::run::Context;
use crate::seen::{Loading, SeenTable};
use crate::snapshot::{ScanState, Snapshot};
use crate::{Engine, Error, Result, Watch, fetch};

/// A dry run of a flow.
pub struct DryRun<'a> {
    /// The engine whose store and accounts are used.
    pub engine: &'a Engine,
    /// The flow.
    pub flow: &'a Arc<Flow>,
    /// So many inputs a step are shown.
    pub limit: usize,
}

/// How many inputs each step has shown.
struct Shown<'a> {
    flow: &'a Flow,
    limit: usize,
    by_step: Vec<usize>,
    refused: usize,
}

impl DryRun<'_> {
    /// Polls from the stored snapshot and gives the first inputs of each step to `show`, as
    /// `{ step, key, input }`, or `{ step, key, error }` where a message would become a dead
    /// letter.
    ///
    /// Nothing is sent, so there are no results: of a step that reads some, `{ step, key, waitsFor }`
    /// tells which. What a step filters out goes no further and is not shown, and there is no sweep.
    pub async fn run(
        &self,
        watch: Arc<dyn Watch>,
        mut show: impl FnMut(Value) + Send,
    ) -> Result<()> {
        let context = Arc::new(self.engine.context(self.flow, watch)?);
        let name = &self.flow.name;
        let store = &context.store;
        let failed = |error: store::Error| Error::store(name, &error);
        let head = store.head(name).await.map_err(failed)?;
        let committed = head.as_ref().map_or(0, |head| head.sequence);
        let stored = head.as_ref().map_or(0, |head| head.seen_entries);
        let snapshot = Snapshot::of_head(name, head, self.engine.source(self.flow)?)?;
        let mut loading = Loading::of(stored);
        store.seen(name, &mut |entries| loading.add(entries)).await.map_err(failed)?;
        let mut seen = loading.table();
        let mut shown = Shown {
            flow: self.flow,
            limit: self.limit,
            by_step: vec![0; self.flow.steps.len()],
            refused: 0,
        };
        let now = context.clock.now();
        for partition in fetch::partitions(&context).await? {
            let stored = snapshot.partitions.get(&partition).and_then(|part| part.scan.clone());
            let mut scan =
                stored.unwrap_or_else(|| snapshot.next_scan(&partition, &self.flow.trigger, now));
            loop {
                let emitted =
                    page(&context, &snapshot, &partition, &mut scan, &mut seen, committed).await?;
                let now_ms = context.clock.now().millis();
                for message in emitted {
                    shown.one(message, now_ms, &mut show);
                    if shown.is_enough() {
                        return Ok(());
                    }
                }
                if scan.cursor.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The messages of the next page, and the scan behind it.
async fn page(
    context: &Arc<Context>,
    snapshot: &Snapshot,
    partition: &str,
    scan: &mut ScanState,
    seen: &mut SeenTable,
    committed: u64,
) -> Result<Vec<Emitted>> {
    let want = scan.want();
    let fetched = fetch::page(context.clone(), partition.into(), want, scan.cursor.take()).await?;
    scan.cursor = fetched.next;
    let trigger = &context.flow.trigger;
    let candidates = Candidates {
        records: fetched.records,
        want,
        compare: trigger.trigger.changes() != Changes::None,
        identity: Identity {
            flow: &context.flow.name,
            trigger: &trigger.name,
            partition,
            generation: snapshot.generation,
        },
        committed,
        sequence: committed + 1,
    };
    Ok(seen.detect(&*context.store, candidates).emitted)
}

impl Shown<'_> {
    fn is_enough(&self) -> bool {
        self.refused >= self.limit || self.by_step.iter().all(|shown| *shown >= self.limit)
    }

    fn one(&mut self, emitted: Emitted, now_ms: i64, show: &mut impl FnMut(Value)) {
        let flow = self.flow;
        let (key, moment) = (&*emitted.key, Moment { now_ms, seed: emitted.seed });
        let variables = message::variables(flow, &flow.trigger.fields);
        let scope = Scope { variables: &variables, moment };
        let message = match message::message(
            &flow.trigger,
            &message::metadata(key),
            emitted.data.get(),
            &scope,
        ) {
            Ok(message) => Arc::<str>::from(message),
            Err(problem) => {
                self.refused += 1;
                show(json!({ "step": null, "key": key, "error": problem.to_string() }));
                return;
            }
        };
        let mut blocked = vec![false; flow.steps.len()];
        for (at, (step, shown)) in flow.steps.iter().zip(&mut self.by_step).enumerate() {
            // Behind a step that a message does not pass, nothing runs.
            if step.after.iter().any(|before| blocked.get(*before) == Some(&true)) {
                block(&mut blocked, at);
                continue;
            }
            let waits_for = waits_for(step);
            if !waits_for.is_empty() {
                if *shown < self.limit {
                    *shown += 1;
                    show(json!({ "step": step.id, "key": key, "waitsFor": waits_for }));
                }
                continue;
            }
            let variables = message::variables(flow, &step.fields)
                .with_text("trigger", message.clone())
                .with("steps", json!({}));
            let line = match input(step, &message, &Scope { variables: &variables, moment }) {
                Ok(None) => {
                    block(&mut blocked, at);
                    continue;
                }
                Ok(Some(input)) => json!({ "step": step.id, "key": key, "input": input }),
                Err(problem) => json!({ "step": step.id, "key": key, "error": problem }),
            };
            if *shown < self.limit {
                *shown += 1;
                show(line.clone());
            }
            if line.get("error").is_some() {
                block(&mut blocked, at);
            }
        }
    }
}

/// The steps whose results a step's expressions read: without them there is no input to show.
fn waits_for(step: &Step) -> Vec<String> {
    let expressions = [step.when.as_ref(), step.mapping.mapping()];
    expressions.into_iter().flatten().flat_map(|it| it.members_read("steps")).collect()
}

fn block(blocked: &mut [bool], step: usize) {
    if let Some(blocked) = blocked.get_mut(step) {
        *blocked = true;
    }
}

/// The input as it would be sent; `None` if the step filters the message out.
fn input(step: &Step, message: &str, scope: &Scope<'_>) -> Result<Option<Value>, String> {
    let input = message::input(step, message, scope).map_err(|problem| problem.to_string())?;
    input.map(|input| step.action.show(&input)).transpose()
}
