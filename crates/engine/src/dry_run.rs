//! A dry run: what a run would send, without sending or committing anything.

use std::sync::Arc;

use connector::Changes;
use flow::Flow;
use flow::message::{self, Scope};
use mapping::{Moment, Variables};
use serde_json::{Value, json};

use crate::detect::{Candidates, Identity, SeenTable};
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

impl DryRun<'_> {
    /// Polls from the stored snapshot and gives the first inputs of each step to `show`, as
    /// `{ step, key, input }`, or `{ step, key, error }` where a message would become a dead
    /// letter, or `{ step, key, filtered: true }`.
    ///
    /// Nothing is sent, so there are no results: `$steps` is empty in every step.
    pub async fn run(
        &self,
        watch: Arc<dyn Watch>,
        mut show: impl FnMut(Value) + Send,
    ) -> Result<()> {
        let context = Arc::new(self.engine.context(self.flow, watch)?);
        let source = self.engine.source(self.flow)?;
        let name = &self.flow.name;
        let store = self.engine.store();
        let failed = |error: store::Error| Error::store(name, &error);
        let head = store.head(name).await.map_err(failed)?;
        let snapshot = match &head {
            None => Snapshot::new(source),
            Some(head) => Snapshot::read(name, &head.snapshot)?,
        };
        let committed = head.map_or(0, |head| head.sequence);
        let mut seen = SeenTable::load(store.seen(name).await.map_err(failed)?);
        let trigger = &self.flow.trigger;
        let compare = trigger.trigger.changes() != Changes::None;
        let mut shown = 0;
        for partition in fetch::partitions(&context).await? {
            let mut scan = snapshot.partitions.get(&partition).map_or_else(
                || ScanState::new(None),
                |part| {
                    let since = part.last_updated.map(|at| at.minus(trigger.overlap));
                    part.scan.clone().unwrap_or_else(|| ScanState::new(since))
                },
            );
            loop {
                let (id, want) = (Arc::from(&*partition), scan.want());
                let page = fetch::page(context.clone(), id, want, scan.cursor.clone()).await?;
                let identity = Identity {
                    flow: name,
                    trigger: &trigger.name,
                    partition: &partition,
                    generation: snapshot.generation,
                };
                let (records, sequence) = (page.records, committed + 1);
                let candidates =
                    Candidates { records, want, compare, identity, committed, sequence };
                for emitted in seen.detect(&**store, candidates).emitted {
                    if shown == self.limit {
                        return Ok(());
                    }
                    shown += 1;
                    let moment =
                        Moment { now_ms: self.engine.clock().now().millis(), seed: emitted.seed };
                    self.one(&emitted.key, emitted.data, moment, &mut show);
                }
                scan.cursor = page.next;
                if scan.cursor.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn one(&self, key: &str, data: Value, moment: Moment, show: &mut impl FnMut(Value)) {
        let flow = self.flow;
        let common = Variables::new().with("flow", flow.variables.clone());
        let variables = common.clone().with("fields", flow.trigger.fields.clone());
        let scope = Scope { variables: &variables, moment };
        let raw = message::raw(key, data);
        let message = match message::message(&flow.trigger, &raw, &scope) {
            Ok(message) => Arc::new(message.into_value()),
            Err(problem) => {
                show(json!({ "step": null, "key": key, "error": problem.to_string() }));
                return;
            }
        };
        for step in &flow.steps {
            let variables = common
                .clone()
                .with("fields", step.fields.clone())
                .with("trigger", message.clone())
                .with("steps", json!({}));
            let scope = Scope { variables: &variables, moment };
            let input = message::input(step, &message, &scope);
            let shown = input.map(|input| input.map(|input| step.action.show(&input)));
            show(match shown {
                Ok(None) => json!({ "step": step.id, "key": key, "filtered": true }),
                Ok(Some(Ok(input))) => json!({ "step": step.id, "key": key, "input": input }),
                Ok(Some(Err(problem))) => {
                    json!({ "step": step.id, "key": key, "error": problem })
                }
                Err(problem) => {
                    json!({ "step": step.id, "key": key, "error": problem.to_string() })
                }
            });
        }
    }
}
