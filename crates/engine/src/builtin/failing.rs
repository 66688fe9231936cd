//! Which flows fail, and since when: told of once it has lasted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use connector::Timestamp;
use store::Result;

use super::alert::Alert;
use super::conditions::{Lasting, Turn, turn};
use super::failure::Failure;
use super::heard::Streak;
use super::kept::{self, KeptStreak, Mark, Told};
use super::record::{Fails, FlowFailing};
use super::teller::{LOOK, Teller};
use crate::Report;
use crate::service::paused;

/// What a connector says of an outage.
enum Advice {
    /// Nothing, or not of this one.
    None,
    /// It will, where the outage goes on for so long.
    In(Duration),
    /// This.
    Due(&'static str),
}

impl Teller {
    /// Lets wait what there is to tell of flows that fail, and of those that are well again.
    pub(super) async fn failing(&self, alert: &Alert, told: &mut Told) -> Result<Option<Duration>> {
        let (now, elapsed) = (self.now(), self.engine.clock().elapsed());
        let (streaks, unsure, flows) = {
            let heard = self.alerts.heard();
            let streaks: BTreeMap<String, Streak> =
                heard.streaks.iter().map(|(flow, it)| (flow.to_string(), it.clone())).collect();
            let unsure: HashSet<Arc<str>> = heard.unsure.keys().cloned().collect();
            let known = told.marks.keys().filter(|flow| heard.flows.contains_key(flow.as_str()));
            (streaks, unsure, known.cloned().collect::<BTreeSet<String>>())
        };
        let lasting = streaks.iter().map(|(flow, it)| {
            let lasted = it.lasted(now, elapsed);
            (flow.clone(), Lasting { since: it.kept.since, lasted })
        });
        let lasting = lasting.collect();
        let Turn { begun, ended, next } =
            turn(alert, &told.marks, &lasting, |flow| unsure.contains(flow));
        for flow in ended {
            let Some(mark) = told.forget(&flow) else { continue };
            // One that is not run any more is not well for that.
            if alert.ends && alert.is_about(&flow) && flows.contains(&flow) {
                let failure = mark.failure.unwrap_or_else(Failure::unknown);
                let record = self.of_failing(&flow, mark.at, failure, Fails::Recovered).await?;
                told.tell(("recovered", &flow), mark.at.millis(), &record);
            }
        }
        let mut next = next;
        let mut later = |wait: Duration| next = Some(next.map_or(wait, |next| next.min(wait)));
        let told_before = told.marks.iter().filter(|(flow, mark)| {
            let lasts = || streaks.get(*flow).is_some_and(|it| it.kept.since == mark.at);
            !mark.advised && alert.is_about(flow) && lasts()
        });
        let told_before: Vec<String> = told_before.map(|(flow, _)| flow.clone()).collect();
        let begun = begun.into_iter().map(|flow| (flow, false));
        for (flow, again) in begun.chain(told_before.into_iter().map(|flow| (flow, true))) {
            let Some(KeptStreak { since, failure }) = streaks.get(&flow).map(|it| it.kept.clone())
            else {
                continue;
            };
            let advice = match self.advice(&failure, since).await? {
                Advice::Due(advice) => Some(advice),
                // It is told once where that is all but over.
                Advice::In(wait) if again || wait <= LOOK => {
                    later(wait);
                    continue;
                }
                Advice::None if again => continue,
                Advice::In(_) | Advice::None => None,
            };
            // Somebody knows of it: it runs no more until they say so.
            if paused(self.store(), &flow).await.is_ok_and(|paused| paused.is_some()) {
                continue;
            }
            let what = if again { "advised" } else { "failing" };
            let record = self.of_failing(&flow, since, failure.clone(), Fails::Failing).await?;
            let record = FlowFailing { advice: advice.map(str::to_owned), ..record };
            told.tell((what, &flow), since.millis(), &record);
            let advised = advice.is_some();
            told.mark(flow, Mark { at: since, total: 0, failure: Some(failure), advised });
        }
        Ok(next)
    }

    /// What the connector says of an outage, if a flow that fails since then fails for one in which
    /// its system answers nothing but 5xx, and that lasts long enough.
    async fn advice(&self, failure: &Failure, since: Timestamp) -> Result<Advice> {
        let account = failure.account.as_deref().filter(|_| failure.is_outage());
        let Some(account) = account else { return Ok(Advice::None) };
        let Some(known) = self.engine.outage_advice(account) else { return Ok(Advice::None) };
        Ok(match self.engine.outage(account, since).await? {
            Some(lasted) if lasted.answered >= known.after => Advice::Due(known.advice),
            Some(lasted) if lasted.begun < known.after => Advice::In(known.after - lasted.begun),
            // What makes it due may be on its way.
            Some(lasted) if lasted.begun < known.after + LOOK => {
                Advice::In(known.after + LOOK - lasted.begun)
            }
            _ => Advice::None,
        })
    }

    async fn of_failing(
        &self,
        flow: &str,
        since: Timestamp,
        failure: Failure,
        state: Fails,
    ) -> Result<FlowFailing> {
        let lines = self.store().runs(flow).await?;
        let failures = lines
            .iter()
            .filter(|line| line.started >= since.millis() && Report::is_failure(&line.outcome));
        let message = match state {
            Fails::Failing => failure.words(),
            Fails::Recovered => "its last run went well",
        };
        Ok(FlowFailing {
            advice: None,
            flow: flow.to_owned(),
            state,
            since,
            at: self.now(),
            failures: failures.count() as u64,
            message: message.to_owned(),
            code: failure.code,
            step: failure.step,
            account: failure.account,
            needs_change: failure.needs_change,
            command: format!("towpath state show {flow}"),
        })
    }

    /// Asks the store about the flows of which nothing is known.
    pub(super) async fn learn(&self) -> Result<()> {
        let unsure: Vec<_> = {
            let heard = self.alerts.heard();
            let asked = heard.unsure.iter();
            asked
                .map(|(flow, it)| (flow.clone(), it.runs, heard.flows.get(flow).copied()))
                .collect()
        };
        if unsure.is_empty() {
            return Ok(());
        }
        let known = kept::failing(self.store()).await?;
        for (flow, runs, called) in unsure {
            let kept = match known.contains(&*flow) {
                true => kept::streak(self.store(), &flow).await?,
                false => None,
            };
            let streak = self.streak(&flow, called.unwrap_or_default(), kept.as_ref()).await?;
            let elapsed = self.engine.clock().elapsed();
            let mut heard = self.alerts.heard();
            // A run that failed meanwhile has a line that was not read.
            let known = heard.unsure.get(&flow).filter(|it| it.runs == runs).cloned();
            let Some(known) = known else { continue };
            heard.unsure.remove(&flow);
            let streak = streak.map(|streak| match known.failure {
                Some(failure) => KeptStreak { failure, ..streak },
                None => streak,
            });
            if streak != kept {
                heard.unkept.insert(flow.clone());
            }
            if let Some(streak) = streak {
                heard.streaks.insert(flow, Streak::new(streak, elapsed));
            }
        }
        Ok(())
    }

    /// Since when a flow fails, by the lines of its runs and by what was kept before.
    async fn streak(
        &self,
        flow: &str,
        called: bool,
        kept: Option<&KeptStreak>,
    ) -> Result<Option<KeptStreak>> {
        // Runs of a flow that is called leave no line where nothing came: its next run shows it.
        let last =
            if called && kept.is_none() { None } else { self.store().last_run(flow).await? };
        if last.is_none_or(|line| line.outcome == Report::COMPLETED) {
            return Ok(None);
        }
        let (mut since, mut began) = (None, false);
        for line in self.store().runs(flow).await? {
            if Report::is_failure(&line.outcome) {
                since = Some(Timestamp::from_millis(line.started));
            } else if line.outcome != Report::STOPPED {
                began = true;
                break;
            }
        }
        let Some(since) = since else { return Ok(kept.filter(|_| !began).cloned()) };
        let failure = kept.map_or_else(Failure::unknown, |kept| kept.failure.clone());
        // Where there is no line of a run before that went well, what was kept reaches further back.
        let before = kept.filter(|_| !began).map(|kept| kept.since);
        Ok(Some(KeptStreak { since: before.map_or(since, |before| before.min(since)), failure }))
    }

    pub(super) async fn keep_streaks(&self) -> Result<()> {
        loop {
            let next = {
                let mut heard = self.alerts.heard();
                let flow = heard.unkept.pop_first();
                flow.map(|flow| (heard.streaks.get(&flow).map(|it| it.kept.clone()), flow))
            };
            let Some((streak, flow)) = next else { return Ok(()) };
            if let Err(error) = kept::keep_streak(self.store(), &flow, streak.as_ref()).await {
                self.alerts.heard().unkept.insert(flow);
                return Err(error);
            }
        }
    }
}
