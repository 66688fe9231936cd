//! A dry run: what a run would send, without sending or committing anything.

use std::sync::Arc;

use flow::Flow;
use flow::message;
use flow::trial::Tried;
use mapping::Moment;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::backfill::Of;
use crate::context::Context;
use crate::detect::{Candidates, Emitted, Names};
use crate::identity::Identity;
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

/// A record that a run would take.
#[derive(Debug)]
pub struct Found {
    /// Its key.
    pub key: String,
    /// The whole record, JSON text.
    pub data: Box<RawValue>,
    /// What `$now()` and `$random()` give for it.
    pub moment: Moment,
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
        let by_step = vec![0; self.flow.steps.len()];
        let mut shown = Shown { flow: self.flow, limit: self.limit, by_step, refused: 0 };
        self.records(watch, |found| {
            shown.one(&found, &mut show);
            !shown.is_enough()
        })
        .await
    }

    /// Polls from the stored snapshot and gives the records that a run would take to `each`, until
    /// it says that it has enough.
    pub async fn records(
        &self,
        watch: Arc<dyn Watch>,
        mut each: impl FnMut(Found) -> bool + Send,
    ) -> Result<()> {
        let context = Arc::new(self.engine.context(self.flow, watch)?);
        let name = &self.flow.name;
        let store = &context.store;
        let failed = |error: store::Error| Error::store(name, &error);
        let head = store.head(name).await.map_err(failed)?;
        let committed = head.as_ref().map_or(0, |head| head.sequence);
        let stored = head.as_ref().map_or(0, |head| head.seen_entries);
        let mut snapshot = Snapshot::of_head(name, head, self.engine.source(self.flow)?)?;
        let mut loading = Loading::of(stored);
        store.seen(name, &mut |entries| loading.add(entries)).await.map_err(failed)?;
        let mut seen = loading.table();
        let now = context.clock.now();
        let listed = fetch::partitions(&context).await?;
        snapshot.adopt(&listed);
        for partition in listed {
            let stored = snapshot.partitions.get(&partition).and_then(|part| part.scan.clone());
            let mut scan =
                stored.unwrap_or_else(|| snapshot.next_scan(&partition, &self.flow.trigger, now));
            loop {
                let emitted =
                    page(&context, &snapshot, &partition, &mut scan, &mut seen, committed).await?;
                let now_ms = context.clock.now().millis();
                for Emitted { key, data, seed, .. } in emitted {
                    let moment = Moment { now_ms, seed };
                    if !each(Found { key: key.to_string(), data, moment }) {
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
    let rules = snapshot.rules(Of::Live);
    let fetched = fetched.completed(context, partition, scan, &rules, seen).await?;
    scan.cursor = fetched.next;
    let wholes = fetched.wholes;
    let trigger = &context.flow.trigger;
    let candidates = Candidates {
        records: fetched.records,
        want,
        until: None,
        forgotten: &snapshot.forgotten,
        changes: trigger.trigger.changes(),
        names: Names::None,
        identity: Identity {
            flow: &context.flow.name,
            trigger: &trigger.name,
            partition,
            generation: snapshot.generation,
        },
        committed,
        sequence: committed + 1,
        wholes,
        absent_is_gone: false,
        begins: trigger.trigger.begins(),
    };
    Ok(seen.detect(&*context.store, candidates).emitted)
}

impl Shown<'_> {
    fn is_enough(&self) -> bool {
        self.refused >= self.limit || self.by_step.iter().all(|shown| *shown >= self.limit)
    }

    fn one(&mut self, found: &Found, show: &mut impl FnMut(Value)) {
        let key = &*found.key;
        let trial = self.flow.try_record(&message::metadata(key), found.data.get(), found.moment);
        if let Err(problem) = trial.message {
            self.refused += 1;
            show(json!({ "step": null, "key": key, "error": problem.to_string() }));
            return;
        }
        for ((step, tried), shown) in self.flow.steps.iter().zip(trial.steps).zip(&mut self.by_step)
        {
            let line = match tried {
                Tried::Filtered | Tried::Behind => continue,
                Tried::Input(input) => json!({ "step": step.id, "key": key, "input": input }),
                Tried::WaitsFor(steps) => json!({ "step": step.id, "key": key, "waitsFor": steps }),
                Tried::Failed(problem) => {
                    json!({ "step": step.id, "key": key, "error": problem.to_string() })
                }
            };
            if *shown < self.limit {
                *shown += 1;
                show(line);
            }
        }
    }
}
