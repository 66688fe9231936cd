//! Metrics as Prometheus reads them: what runs, pages, calls and accounts came to since the start.

mod asked;
mod standing;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use connector::Timestamp;
use engine::service::Ran;
use engine::{AccountChange, Event, Report, Watch};
use http::header::CONTENT_TYPE;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use store::Counts;

use crate::problem::Problem;
use crate::routes::{Access, Routes, get};
use crate::scope::Scope;
use crate::server::Server;
use asked::Answers;
use standing::Standing;

/// So many flows and so many accounts have lines of their own; what comes to the others is summed up
/// under [`OTHERS`], so that no folder of flows makes a page that nobody can read.
const NAMED: usize = 1_000;

/// The name of everything beyond [`NAMED`]. No flow and no account can be called so.
const OTHERS: &str = "_others";

/// The format of the page.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) fn routes() -> Routes {
    Routes::default().and(
        get("/metrics", Access::Needs(Scope::Read), metrics)
            .says(
                "service",
                "metrics",
                "Shows the metrics, as Prometheus and OpenTelemetry read them.",
            )
            .answers_as(200, "The metrics, in the OpenMetrics format.", OPEN_METRICS),
    )
}

async fn metrics(State(server): State<Server>) -> Result<Response, Problem> {
    let metrics = server.metrics();
    let listed = server.office().project.flows();
    if listed.len() <= NAMED {
        // What waits in a flow is told before its first run, too.
        listed.iter().for_each(|it| drop(metrics.flows.known(&it.flow)));
    }
    for flow in metrics.flows.all() {
        metrics.standing.look(&**server.store(), flow).await;
    }
    let mut page = String::new();
    text::encode(&mut page, &metrics.registry).map_err(|error| {
        tracing::error!(%error, "the metrics cannot be written");
        Problem::internal()
    })?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], page).into_response())
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Flow {
    flow: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fate {
    flow: String,
    fate: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    flow: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    flow: String,
    account: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Account {
    account: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Class {
    account: String,
    class: String,
}

/// What happened since the start, in numbers.
pub(crate) struct Metrics {
    registry: Registry,
    flows: Names,
    accounts: Names,
    records: Family<Fate, Counter>,
    pages: Family<Flow, Counter>,
    runs: Family<Outcome, Counter>,
    ended: Family<Flow, Gauge>,
    succeeded: Family<Flow, Gauge>,
    batches: Family<Place, Counter>,
    sent: Family<Place, Counter>,
    retries: Family<Place, Counter>,
    dead_letters: Family<Place, Counter>,
    paused: Family<Account, Gauge>,
    held: Family<Account, Gauge>,
    breakers: Family<Class, Gauge>,
    run_took: Histogram,
    lateness: Histogram,
    call_took: Family<Account, Histogram, fn() -> Histogram>,
    commit_took: Histogram,
    standing: Standing,
    answers: Answers,
}

impl Metrics {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("towpath"),
            flows: Names::default(),
            accounts: Names::default(),
            records: Family::default(),
            pages: Family::default(),
            runs: Family::default(),
            ended: Family::default(),
            succeeded: Family::default(),
            batches: Family::default(),
            sent: Family::default(),
            retries: Family::default(),
            dead_letters: Family::default(),
            paused: Family::default(),
            held: Family::default(),
            breakers: Family::default(),
            // 10 ms to 11 minutes.
            run_took: Histogram::new(exponential_buckets(0.01, 4.0, 9)),
            // 10 ms to 11 minutes.
            lateness: Histogram::new(exponential_buckets(0.01, 4.0, 9)),
            call_took: Family::new_with_constructor(calls),
            // 0.5 ms to 2 s.
            commit_took: Histogram::new(exponential_buckets(0.0005, 4.0, 7)),
            standing: Standing::default(),
            answers: Answers::new(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let all = &mut self.registry;
        all.register(
            "build",
            "The program",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        all.register(
            "records",
            "Records by what became of them, `found` is all",
            self.records.clone(),
        );
        all.register("pages", "Pages that were settled", self.pages.clone());
        all.register("runs", "Runs by how they ended", self.runs.clone());
        let seconds = |all: &mut Registry, name: &str, help: &str, gauge: Family<Flow, Gauge>| {
            all.register_with_unit(name, help, Unit::Seconds, gauge);
        };
        seconds(all, "run_end_timestamp", "When a flow's last run ended", self.ended.clone());
        let help = "When a flow's last run that completed ended";
        seconds(all, "run_success_timestamp", help, self.succeeded.clone());
        all.register("batches", "Calls of actions, repeated ones among them", self.batches.clone());
        all.register("batch_messages", "The messages of these calls", self.sent.clone());
        all.register("retries", "Calls that failed and were tried again", self.retries.clone());
        all.register(
            "dead_letters",
            "Messages that became dead letters",
            self.dead_letters.clone(),
        );
        let help = "1 while an account is paused because its credentials are refused";
        all.register("account_paused", help, self.paused.clone());
        let help = "1 while what an account's system refused is not sent again by itself";
        all.register("account_held", help, self.held.clone());
        let help = "1 while the circuit breaker of an account and limit class is open";
        all.register("breaker_open", help, self.breakers.clone());
        let took = |all: &mut Registry, name: &str, help: &str, histogram: Histogram| {
            all.register_with_unit(name, help, Unit::Seconds, histogram);
        };
        took(all, "run_duration", "How long runs took", self.run_took.clone());
        took(all, "run_lateness", "How long after its time a run began", self.lateness.clone());
        took(
            all,
            "commit_duration",
            "How long the store took for a page",
            self.commit_took.clone(),
        );
        let help = "How long calls of actions took";
        all.register_with_unit("call_duration", help, Unit::Seconds, self.call_took.clone());
        self.standing.register(all);
        self.answers.register(all);
        self
    }

    /// A request was answered, or its answer has begun.
    pub(crate) fn answered(&self, route: &str, status: u16, took: Duration) {
        self.answers.count(route, status, took);
    }

    /// A run has ended.
    pub(crate) fn ran(&self, ran: &Ran<'_>, now: Timestamp) {
        let flow = self.flows.known(ran.flow);
        let outcome = Outcome { flow: flow.clone(), outcome: ran.report.outcome() };
        self.runs.get_or_create(&outcome).inc();
        self.run_took.observe(ran.report.took.as_secs_f64());
        self.lateness.observe(ran.started.since(ran.due).as_secs_f64());
        let of = Flow { flow };
        self.ended.get_or_create(&of).set(now.secs());
        if ran.report.outcome() == Report::COMPLETED {
            self.succeeded.get_or_create(&of).set(now.secs());
        }
    }

    fn committed(&self, flow: &str, counts: Counts, took: Option<Duration>) {
        if counts.dead_lettered > 0 {
            self.standing.refused(flow);
        }
        let flow = self.flows.known(flow);
        for (fate, count) in [
            ("found", counts.records),
            ("unchanged", counts.unchanged),
            ("filtered", counts.filtered),
            ("echoed", counts.echoed),
            ("overruled", counts.overruled),
            ("delivered", counts.delivered),
            ("dead_lettered", counts.dead_lettered),
        ] {
            self.records.get_or_create(&Fate { flow: flow.clone(), fate }).inc_by(count);
        }
        self.pages.get_or_create(&Flow { flow }).inc();
        if let Some(took) = took {
            self.commit_took.observe(took.as_secs_f64());
        }
    }

    fn place(&self, place: &engine::Place) -> Place {
        let account = self.accounts.known(&place.account);
        Place { flow: self.flows.known(&place.flow), account }
    }

    fn changed(&self, account: &str, change: &AccountChange<'_>) {
        let account = self.accounts.known(account);
        let paused = |is: bool| {
            self.paused.get_or_create(&Account { account: account.clone() }).set(i64::from(is));
        };
        let held = |is: bool| {
            self.held.get_or_create(&Account { account: account.clone() }).set(i64::from(is));
        };
        let open = |class: &str, is: bool| {
            let class = Class { account: account.clone(), class: class.to_owned() };
            self.breakers.get_or_create(&class).set(i64::from(is));
        };
        match change {
            AccountChange::Paused { .. } => paused(true),
            AccountChange::Resumed { .. } => paused(false),
            AccountChange::Held { .. } => held(true),
            AccountChange::Released => held(false),
            AccountChange::BreakerOpened { class, .. } => open(class, true),
            AccountChange::BreakerClosed { class } => open(class, false),
            // The breaker of the class and the failed requests are figures already.
            AccountChange::Outage { .. } | AccountChange::OutageOver { .. } => {}
        }
    }
}

impl Watch for Metrics {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Committed { flow, counts, took } => self.committed(flow, *counts, *took),
            Event::Called { place, messages, took } => {
                let place = self.place(place);
                self.batches.get_or_create(&place).inc();
                self.sent.get_or_create(&place).inc_by(*messages as u64);
                let account = Account { account: place.account };
                self.call_took.get_or_create(&account).observe(took.as_secs_f64());
            }
            Event::Retrying { place, .. } => {
                self.retries.get_or_create(&self.place(place)).inc();
            }
            Event::DeadLetter { place, .. } => {
                self.dead_letters.get_or_create(&self.place(place)).inc();
            }
            Event::Account { account, change } => self.changed(account, change),
            Event::Began { flow, .. } => drop(self.flows.known(flow)),
            // How a scan begins and fails is in its run's outcome.
            Event::Scanning { .. } | Event::Backfilling { .. } | Event::Failed { .. } => {}
        }
    }
}

fn calls() -> Histogram {
    // 5 ms to 80 s.
    Histogram::new(exponential_buckets(0.005, 4.0, 8))
}

/// The names that have lines of their own.
#[derive(Default)]
struct Names(Mutex<HashSet<String>>);

impl Names {
    /// The name, or the one that stands for all beyond the first ones.
    fn known(&self, name: &str) -> String {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.contains(name) {
            return name.to_owned();
        }
        if names.len() >= NAMED {
            return OTHERS.to_owned();
        }
        names.insert(name.to_owned());
        name.to_owned()
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn page(metrics: &Metrics) -> String {
        let mut page = String::new();
        text::encode(&mut page, &metrics.registry).unwrap();
        page
    }

    #[test]
    fn what_happens_is_counted_by_flow_and_account() {
        let metrics = Metrics::new();
        let place = engine::Place {
            flow: "newsletter".to_owned(),
            step: Some("profiles".to_owned()),
            account: "engagement".to_owned(),
        };
        let counts =
            Counts { records: 5, emitted: 4, delivered: 3, dead_lettered: 1, ..Counts::default() };
        let took = Duration::from_millis(2);
        metrics.on(&Event::Committed { flow: "newsletter", counts, took: Some(took) });
        metrics.on(&Event::Called { place: &place, messages: 4, took });
        metrics.on(&Event::DeadLetter { place: &place, code: "tooLarge" });
        let change = &AccountChange::Paused { reason: "words of a system", wait: took };
        metrics.on(&Event::Account { account: "engagement", change });
        let report = Report::default();
        let (due, started) = (Timestamp::from_millis(1_000), Timestamp::from_millis(3_000));
        let ran = Ran { flow: "newsletter", due, started, report: &report, next: None };
        metrics.ran(&ran, Timestamp::from_millis(9_000));
        let page = page(&metrics);
        for line in [
            r#"towpath_records_total{flow="newsletter",fate="found"} 5"#,
            r#"towpath_records_total{flow="newsletter",fate="dead_lettered"} 1"#,
            r#"towpath_pages_total{flow="newsletter"} 1"#,
            r#"towpath_batches_total{flow="newsletter",account="engagement"} 1"#,
            r#"towpath_batch_messages_total{flow="newsletter",account="engagement"} 4"#,
            r#"towpath_dead_letters_total{flow="newsletter",account="engagement"} 1"#,
            r#"towpath_account_paused{account="engagement"} 1"#,
            r#"towpath_runs_total{flow="newsletter",outcome="completed"} 1"#,
            r#"towpath_run_success_timestamp_seconds{flow="newsletter"} 9"#,
            r#"towpath_commit_duration_seconds_count 1"#,
            r#"towpath_run_lateness_seconds_sum 2.0"#,
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"), "{page}");
        assert!(!page.contains("words of a system"), "{page}");
    }

    #[test]
    fn every_metric_is_in_the_reference_and_no_other() {
        let metrics = Metrics::new();
        let place = engine::Place { flow: "f".into(), step: None, account: "a".into() };
        let wait = Duration::from_secs(1);
        let opened = AccountChange::BreakerOpened { class: "c", reason: "r", wait, again: false };
        for event in [
            Event::Committed { flow: "f", counts: Counts::default(), took: Some(wait) },
            Event::Called { place: &place, messages: 1, took: wait },
            Event::Retrying { place: &place, tries: 1, wait, reason: "r" },
            Event::DeadLetter { place: &place, code: "c" },
            Event::Account { account: "a", change: &opened },
            Event::Account { account: "a", change: &AccountChange::Resumed { holds: false } },
            Event::Account { account: "a", change: &AccountChange::Released },
        ] {
            metrics.on(&event);
        }
        let (now, report) = (Timestamp::default(), Report::default());
        let ran = Ran { flow: "f", due: now, started: now, report: &report, next: None };
        metrics.ran(&ran, now);
        metrics.standing.all(&Flow { flow: "f".to_owned() });
        metrics.answered("/live", 200, wait);
        let page = page(&metrics);
        let named: BTreeSet<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .map(|(name, kind)| match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            })
            .collect();
        let written: BTreeSet<String> = include_str!("../../../docs/reference/metrics.md")
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
            .collect();
        assert_eq!(named, written);
    }

    #[test]
    fn ten_thousand_flows_do_not_make_ten_thousand_lines() {
        let metrics = Metrics::new();
        for number in 0..10_000 {
            let flow = format!("flow-{number}");
            metrics.on(&Event::Committed { flow: &flow, counts: Counts::default(), took: None });
        }
        let page = page(&metrics);
        let lines = page.lines().filter(|line| line.starts_with("towpath_pages_total{")).count();
        assert_eq!(lines, NAMED + 1);
        assert!(page.contains(r#"towpath_pages_total{flow="_others"} 9000"#), "{page}");
    }
}
