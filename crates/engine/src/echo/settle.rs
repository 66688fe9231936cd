//! What a commit makes of what was written and of what was met.

use std::collections::HashMap;

use store::{Echo, EchoChange};
use tokio::sync::OwnedMutexGuard;

use super::Carried;
use super::meeting::{Met, Verdict};
use crate::context::Context;
use crate::settled::Settled;
use crate::trail::What;
use crate::{Error, Result};

/// The changes of a commit, and the turn to make them: until it is dropped no other flow that goes
/// both ways commits.
pub(crate) type Turn = (Vec<EchoChange>, Option<OwnedMutexGuard<()>>);

impl Context {
    /// What becomes of echoes with what is settled. Another flow may have written of the same
    /// records since they were looked up: then both sides changed, both were written, and each now
    /// has the other's change. The one that wins is carried once more, by whose flow has it now as
    /// a change; the other one counts as an echo.
    pub(crate) async fn echoes_of(&self, settled: &mut Settled) -> Result<Turn> {
        if settled.carried.is_empty() && settled.met.is_empty() {
            return Ok((vec![], None));
        }
        let turn = self.ways.turn.clone().lock_owned().await;
        let (carried, before) =
            (std::mem::take(&mut settled.carried), std::mem::take(&mut settled.met));
        let met = self.met_by_now(&carried, &before).await?;
        let mut changes = vec![];
        for own in &before {
            let is_same = met.get(&own.key).is_some_and(|echo| echo.moment == own.moment);
            if is_same && self.is_over(own.verdict) {
                changes.push(self.forget(own.key));
            }
        }
        for carried in carried {
            let Carried { traveller, step, input, .. } = &carried;
            let met = self.echo_key(*step, traveller).and_then(|key| met.get(&key));
            let verdict = met.map(|echo| self.verdict(*step, traveller, input, echo));
            let is_resumed = carried.traveller.origin.is_resumed();
            let step = self.steps.get(carried.step).map(|step| &*step.step.id).unwrap_or_default();
            if let (Some(Verdict::Loses), false) = (verdict, is_resumed) {
                settled.tell(&carried.traveller, What::Overruled { step });
            }
            // What goes on from before may be older than what the other flow wrote meanwhile.
            let carries_again = is_resumed || verdict == Some(Verdict::Wins);
            let is_over = verdict.is_some_and(|it| it == Verdict::Loses || self.is_over(it));
            if let (Some(echo), true) = (met, is_over && !is_resumed) {
                changes.push(self.forget(echo.key));
            }
            for back in carried.back {
                let content = back.content.filter(|_| !carries_again);
                changes.push(match content {
                    Some(content) => EchoChange::Put {
                        flow: back.flow,
                        echo: Echo {
                            key: back.key,
                            content,
                            version: carried.traveller.version,
                            moment: carried.moment,
                            at: self.clock.now().millis(),
                        },
                    },
                    None => EchoChange::Forget { flow: back.flow, key: back.key },
                });
            }
        }
        Ok((changes, Some(turn)))
    }

    /// The echoes of what was carried and met, as they are now.
    async fn met_by_now(
        &self,
        carried: &[Carried],
        before: &[Met],
    ) -> Result<HashMap<[u8; 16], Echo>> {
        let (store, flow) = (&*self.store, &*self.flow.name);
        let failed = |error: store::Error| Error::store(flow, &error);
        if !store.has_echoes(flow).await.map_err(failed)? {
            return Ok(HashMap::new());
        }
        let mut keys: Vec<[u8; 16]> = before.iter().map(|met| met.key).collect();
        keys.extend(carried.iter().filter_map(|it| self.echo_key(it.step, &it.traveller)));
        keys.sort_unstable();
        keys.dedup();
        let echoes = store.echoes(flow, &keys).await.map_err(failed)?;
        Ok(echoes.into_iter().map(|echo| (echo.key, echo)).collect())
    }

    /// Whether an echo is done with once its record was met so. A system that calls may tell of the
    /// same change several times.
    fn is_over(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Echo => !self.flow.trigger.is_called(),
            Verdict::Later => true,
            Verdict::Wins | Verdict::Loses => false,
        }
    }

    fn forget(&self, key: [u8; 16]) -> EchoChange {
        EchoChange::Forget { flow: self.flow.name.clone(), key }
    }
}
