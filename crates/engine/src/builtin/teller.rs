//! Decides what there is to tell, and puts it into the inboxes of those who are told.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use connector::{Record, Timestamp};
use serde::Serialize;
use store::{Result, Store};

use super::alert::{Alert, Of};
use super::heard::Alerts;
use super::kept::{self, Mark, Told, Waiting};
use crate::service::Handle;
use crate::{Engine, Stop, inbox};

/// So often it looks at what nobody tells it: pauses that were ended by hand, inboxes that were
/// full, a store that failed.
pub(super) const LOOK: Duration = Duration::from_secs(60);

/// Tells flows of others, as long as the service runs.
///
/// What was told is kept in one write with what is told next, before that is put into the inbox by
/// a key of its own: killed anywhere, it tells everything, and nothing twice.
pub(crate) struct Teller {
    pub(super) alerts: Alerts,
    pub(super) engine: Arc<Engine>,
    service: Handle,
    /// What each flow was told, as the store has it.
    told: HashMap<Arc<str>, Told>,
    /// Flows that may have dead letters which a flow was not told of.
    pub(super) open: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// When pauses of accounts were noticed, by what has elapsed.
    pub(super) noticed: HashMap<String, (Timestamp, Duration)>,
}

impl Teller {
    pub(crate) fn new(alerts: Alerts, engine: Arc<Engine>, service: Handle) -> Self {
        let (told, open, noticed) = Default::default();
        Self { alerts, engine, service, told, open, noticed }
    }

    /// Tells what there is to tell until told to stop: what is left then is told after the next
    /// start.
    pub(crate) async fn tell(mut self, mut stop: Stop) {
        let (alerts, engine) = (self.alerts.clone(), self.engine.clone());
        loop {
            let wait = tokio::select! {
                biased;
                () = stop.wait() => return,
                wait = self.round() => wait,
            };
            let slept = async {
                match wait {
                    Some(wait) => engine.clock().sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.wait() => return,
                () = alerts.changed() => {}
                () = engine.outage_lasts() => {}
                () = slept => {}
            }
        }
    }

    /// Tells what there is to tell now, and says how long nothing follows by itself; `None` where no
    /// flow is told anything.
    pub(super) async fn round(&mut self) -> Option<Duration> {
        if self.alerts.heard().alerts.is_empty() {
            // What happens meanwhile, the store knows.
            self.told.clear();
            self.open.clear();
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
                    let mark = Mark { at: Timestamp::default(), total, ..Mark::default() };
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

    /// How many dead letters a flow has made over all time.
    pub(super) async fn dead_letters(&self, flow: &str) -> Result<u64> {
        let head = self.store().head(flow).await?;
        Ok(head.map_or(0, |head| head.counts.dead_lettered))
    }

    pub(super) fn store(&self) -> &dyn Store {
        &**self.engine.store()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.engine.clock().now()
    }
}

impl Told {
    /// Lets a record wait that is known by what it is about, and by a number.
    pub(super) fn tell(
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

    pub(super) fn mark(&mut self, about: String, mark: Mark) {
        self.marks.insert(about, mark);
        self.changed = true;
    }

    pub(super) fn forget(&mut self, about: &str) -> Option<Mark> {
        self.changed = true;
        self.marks.remove(about)
    }
}
