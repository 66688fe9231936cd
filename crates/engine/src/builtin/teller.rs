//! Decides what there is to tell, and puts it into the inboxes of those who are told.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use connector::{Record, Timestamp};
use serde::Serialize;
use store::{Result, Store};

use super::alert::{Alert, Of};
use super::conditions::{Lasting, Turn, turn};
use super::failure::Failure;
use super::heard::{Alerts, Streak};
use super::kept::{self, KeptStreak, Mark, Told, Waiting};
use super::letters;
use super::record::{AccountPaused, DeadLettered, Fails, FlowFailing, Rests};
use crate::service::{Handle, paused};
use crate::{Engine, Report, Stop, accounts, inbox};

/// So often it looks at what nobody tells it: pauses that were ended by hand, inboxes that were
/// full, a store that failed.
const LOOK: Duration = Duration::from_secs(60);

/// Tells flows of others, as long as the service runs.
///
/// What was told is kept in one write with what is told next, before that is put into the inbox by
/// a key of its own: killed anywhere, it tells everything, and nothing twice.
pub(crate) struct Teller {
    alerts: Alerts,
    engine: Arc<Engine>,
    service: Handle,
    /// What each flow was told, as the store has it.
    told: HashMap<Arc<str>, Told>,
    /// Flows that may have dead letters which a flow was not told of.
    open: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// When pauses of accounts were noticed, by what has elapsed.
    noticed: HashMap<String, (Timestamp, Duration)>,
}

impl Teller {
    pub(crate) fn new(alerts: Alerts, engine: Arc<Engine>, service: Handle) -> Self {
        let (told, open, noticed) = Default::default();
        Self { alerts, engine, service, told, open, noticed }
    }

    /// Tells what there is to tell until told to stop: what is left then is told after the next
    /// start.
    pub(crate) async fn tell(mut self, mut stop: Stop) {
        let (alerts, clock) = (self.alerts.clone(), self.engine.clock().clone());
        loop {
            let wait = tokio::select! {
                biased;
                () = stop.wait() => return,
                wait = self.round() => wait,
            };
            let slept = async {
                match wait {
                    Some(wait) => clock.sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.wait() => return,
                () = alerts.changed() => {}
                () = slept => {}
            }
        }
    }

    /// Tells what there is to tell now, and says how long nothing follows by itself; `None` where no
    /// flow is told anything.
    pub(super) async fn round(&mut self) -> Option<Duration> {
        if self.alerts.heard().alerts.is_empty() {
            return None;
        }
        Some(self.all().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "alerts wait for the store");
            LOOK
        }))
    }

    async fn all(&mut self) -> Result<Duration> {
        self.learn().await?;
        self.keep_streaks().await?;
        let (alerts, fresh) = {
            let mut heard = self.alerts.heard();
            (heard.alerts.clone(), std::mem::take(&mut heard.letters))
        };
        self.told.retain(|flow, _| alerts.contains_key(flow));
        self.open.retain(|flow, _| alerts.contains_key(flow));
        for (flow, _) in alerts.iter().filter(|(_, alert)| alert.of == Of::Letters) {
            self.open.entry(flow.clone()).or_default().extend(fresh.iter().cloned());
        }
        let mut wait = LOOK;
        for (flow, alert) in &alerts {
            let mut told = self.load(flow, alert).await?;
            let outcome = self.one(flow, alert, &mut told).await;
            self.told.insert(flow.clone(), told);
            wait = wait.min(outcome?.unwrap_or(LOOK));
        }
        Ok(wait)
    }

    async fn one(
        &mut self,
        flow: &Arc<str>,
        alert: &Alert,
        told: &mut Told,
    ) -> Result<Option<Duration>> {
        let before = told.waiting.len();
        let next = match alert.of {
            Of::Failing => self.failing(alert, told).await?,
            Of::Letters => self.letters(flow, alert, told).await?,
            Of::Paused => self.paused(alert, told).await?,
        };
        if told.changed {
            kept::keep_told(self.store(), flow, told).await?;
            told.changed = false;
        }
        if told.waiting.len() > before {
            let new = told.waiting.len() - before;
            tracing::debug!(flow = &**flow, trigger = told.trigger, new, "alerts are told");
        }
        self.deliver(flow, told).await?;
        Ok(next)
    }

    /// What a flow was told. One that is told of dead letters for the first time is told of those
    /// that come from now on.
    async fn load(&mut self, flow: &Arc<str>, alert: &Alert) -> Result<Told> {
        if let Some(told) = self.told.remove(flow).filter(|it| it.trigger == alert.of.name()) {
            return Ok(told);
        }
        let known = kept::told(self.store(), flow).await?;
        if let Some(told) = known.filter(|told| told.trigger == alert.of.name()) {
            if alert.of == Of::Letters {
                let flows: Vec<_> = self.alerts.heard().flows.keys().cloned().collect();
                self.open.entry(flow.clone()).or_default().extend(flows);
            }
            return Ok(told);
        }
        let mut told = Told::new(alert.of);
        if alert.of == Of::Letters {
            for known in self.store().flows().await? {
                let total = self.dead_letters(&known).await?;
                if total > 0 {
                    let mark = Mark { at: Timestamp::default(), total, failure: None };
                    told.marks.insert(known, mark);
                }
            }
        }
        kept::keep_told(self.store(), flow, &told).await?;
        Ok(told)
    }

    /// Puts what waits into the flow's inbox, and wakes it.
    async fn deliver(&self, flow: &Arc<str>, told: &mut Told) -> Result<()> {
        let mut taken = 0;
        for Waiting { key, about, record } in &told.waiting {
            let record = Record { key: about.clone(), version: None, data: record.clone() };
            if let Err(error) = inbox::tell(self.store(), flow, self.now(), key, record).await {
                tracing::warn!(flow = &**flow, %error, "an alert waits for room in the inbox");
                break;
            }
            taken += 1;
        }
        if taken > 0 {
            told.waiting.drain(..taken);
            self.service.wake(flow.clone());
            kept::keep_told(self.store(), flow, told).await?;
        }
        Ok(())
    }

    async fn failing(&self, alert: &Alert, told: &mut Told) -> Result<Option<Duration>> {
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
        for flow in begun {
            let Some(KeptStreak { since, failure }) = streaks.get(&flow).map(|it| it.kept.clone())
            else {
                continue;
            };
            // Somebody knows of it: it runs no more until they say so.
            if paused(self.store(), &flow).await.is_ok_and(|paused| paused.is_some()) {
                continue;
            }
            let record = self.of_failing(&flow, since, failure.clone(), Fails::Failing).await?;
            told.tell(("failing", &flow), since.millis(), &record);
            told.mark(flow, Mark { at: since, total: 0, failure: Some(failure) });
        }
        Ok(next)
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

    async fn letters(
        &mut self,
        of: &Arc<str>,
        alert: &Alert,
        told: &mut Told,
    ) -> Result<Option<Duration>> {
        let now = self.now();
        let mut next: Option<Duration> = None;
        for flow in self.open.get(of).cloned().unwrap_or_default() {
            let before = told.marks.get(&*flow).cloned();
            let known = before.as_ref().map_or(0, |mark| mark.total);
            let due = alert.is_about(&flow) && !self.alerts.heard().alerts.contains_key(&flow);
            let total = if due { self.dead_letters(&flow).await? } else { known };
            if total > known {
                // After a clock was set back nobody waits for what it showed before.
                let at = before.map(|mark| mark.at).filter(|at| *at <= now);
                let left =
                    at.map_or(Duration::ZERO, |at| alert.length.saturating_sub(now.since(at)));
                if !left.is_zero() {
                    next = Some(next.map_or(left, |next| next.min(left)));
                    continue;
                }
                let count = total - known;
                let record = DeadLettered {
                    flow: flow.to_string(),
                    count,
                    total,
                    codes: letters::codes(self.store(), &flow, count).await?,
                    since: at.filter(|at| *at != Timestamp::default()),
                    at: now,
                    command: format!("towpath dead-letters list {flow}"),
                };
                told.tell(("letters", &flow), known, &record);
                told.mark(flow.to_string(), Mark { at: now, total, failure: None });
            }
            if let Some(open) = self.open.get_mut(of) {
                open.remove(&flow);
            }
        }
        Ok(next)
    }

    async fn paused(&mut self, alert: &Alert, told: &mut Told) -> Result<Option<Duration>> {
        let (now, elapsed) = (self.now(), self.engine.clock().elapsed());
        let rests: BTreeMap<String, accounts::Rest> = accounts::states(self.store())
            .await?
            .into_iter()
            .filter_map(|state| Some((state.account, state.paused?)))
            .collect();
        self.noticed.retain(|account, (since, _)| {
            rests.get(account).is_some_and(|rest| rest.since == *since)
        });
        let lasting = rests.iter().map(|(account, rest)| {
            let known = self.noticed.entry(account.clone()).or_insert((rest.since, elapsed));
            let lasted = now.since(rest.since).max(elapsed.saturating_sub(known.1));
            (account.clone(), Lasting { since: rest.since, lasted })
        });
        let lasting = lasting.collect();
        let Turn { begun, ended, next } = turn(alert, &told.marks, &lasting, |_| false);
        let record = |account: &str, state: Rests, since: Timestamp| AccountPaused {
            account: account.to_owned(),
            state,
            since,
            at: now,
            next_probe: rests
                .get(account)
                .filter(|_| state == Rests::Paused)
                .map(|rest| rest.next.max(now)),
            message: match state {
                Rests::Paused => "its credentials were refused: nothing is asked or sent with it",
                Rests::Resumed => "it is used again",
            }
            .to_owned(),
            command: format!("towpath account test {account}"),
        };
        for account in ended {
            let Some(mark) = told.forget(&account) else { continue };
            if alert.ends && alert.is_about(&account) {
                let record = record(&account, Rests::Resumed, mark.at);
                told.tell(("resumed", &account), mark.at.millis(), &record);
            }
        }
        for account in begun {
            let Some(rest) = rests.get(&account) else { continue };
            let since = rest.since;
            told.tell(
                ("paused", &account),
                since.millis(),
                &record(&account, Rests::Paused, since),
            );
            told.mark(account, Mark { at: since, total: 0, failure: None });
        }
        Ok(next)
    }

    /// Asks the store about the flows of which nothing is known.
    async fn learn(&self) -> Result<()> {
        let unsure: Vec<_> = {
            let heard = self.alerts.heard();
            let asked = heard.unsure.iter();
            asked
                .map(|(flow, it)| (flow.clone(), it.runs, heard.flows.get(flow).copied()))
                .collect()
        };
        for (flow, runs, called) in unsure {
            let kept = kept::streak(self.store(), &flow).await?;
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

    async fn keep_streaks(&self) -> Result<()> {
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

    /// How many dead letters a flow has made over all time.
    async fn dead_letters(&self, flow: &str) -> Result<u64> {
        let head = self.store().head(flow).await?;
        Ok(head.map_or(0, |head| head.counts.dead_lettered))
    }

    fn store(&self) -> &dyn Store {
        &**self.engine.store()
    }

    fn now(&self) -> Timestamp {
        self.engine.clock().now()
    }
}

impl Told {
    /// Lets a record wait that is known by what it is about, and by a number.
    fn tell(
        &mut self,
        (what, about): (&str, &str),
        number: impl ToString,
        record: &impl Serialize,
    ) {
        // What is told has no value that could not be written.
        let Ok(record) = serde_json::value::to_raw_value(record) else { return };
        let key = format!("{what}/{about}/{}", number.to_string());
        self.waiting.push(Waiting { key, about: about.to_owned(), record });
        self.changed = true;
    }

    fn mark(&mut self, about: String, mark: Mark) {
        self.marks.insert(about, mark);
        self.changed = true;
    }

    fn forget(&mut self, about: &str) -> Option<Mark> {
        self.changed = true;
        self.marks.remove(about)
    }
}
