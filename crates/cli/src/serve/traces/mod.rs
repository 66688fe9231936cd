//! Runs as traces for an OpenTelemetry collector: a span a run, one a page of it, one a call.
//!
//! Made of what a service tells anyway, so that the engine knows nothing of it. Up to `window` pages
//! are under way at once, and no call says which it is for: it lies below the page that was the next
//! to be committed when it ended.

mod collector;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use connector::{Clock, Timestamp};
use engine::service::Ran;
use engine::{Event, Place, Report, Watch};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use self::collector::Collector;
use super::told::Follow;
use crate::exit::{Failed, Result};

/// The collector's URL, the second one for traces alone.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// What the service is called there, if somebody says so.
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

/// Sends runs to a collector.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    clock: Arc<dyn Clock>,
    open: Mutex<HashMap<String, Open>>,
}

/// A run under way.
struct Open {
    run: String,
    /// When it began.
    began: SystemTime,
    /// When its last page ended, or it began.
    since: SystemTime,
    /// Its span, once there is anything to tell of it: most runs of flows that are called look into
    /// their inbox and find nothing.
    span: Option<Context>,
    page: Option<Context>,
}

impl Traces {
    /// To the collector that the environment names, if it names one.
    pub(crate) fn from_environment(clock: Arc<dyn Clock>) -> Result<Option<Arc<Self>>> {
        let named = ENDPOINTS.iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
        let Some((name, url)) = named.filter(|(_, url)| !url.is_empty()) else { return Ok(None) };
        if !url.starts_with("http://") {
            return Err(Failed::config(anyhow!(
                "{name} is {url}: traces are sent by http alone, to a collector on this machine or \
                 network, which sends them on"
            )));
        }
        Self::to(None, clock).map(|traces| Some(Arc::new(traces)))
    }

    /// To the collector of the environment, or to the one at this URL, its path included.
    fn to(url: Option<&str>, clock: Arc<dyn Clock>) -> Result<Self> {
        let exporter = SpanExporter::builder().with_http().with_http_client(Collector::new());
        let exporter = match url {
            Some(url) => exporter.with_endpoint(url),
            None => exporter,
        };
        let mut resource = Resource::builder();
        if std::env::var_os(SERVICE_NAME).is_none() {
            resource = resource.with_service_name("towpath");
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter.build().map_err(Failed::config)?)
            .with_resource(resource.with_attributes([version]).build())
            .build();
        let tracer = provider.tracer("towpath");
        Ok(Self { provider, tracer, clock, open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> SystemTime {
        time(self.clock.now())
    }

    /// Does something with the span of a flow's run.
    fn with_run(&self, flow: &str, work: impl FnOnce(&Self, &mut Open)) {
        if let Some(open) = self.open().get_mut(flow) {
            if open.span.is_none() {
                let of = [
                    KeyValue::new("towpath.flow", flow.to_owned()),
                    KeyValue::new("towpath.run", open.run.clone()),
                ];
                let run = SpanBuilder::from_name("run").with_start_time(open.began);
                let run = run.with_attributes(of);
                let run = self.tracer.build_with_context(run, &Context::new());
                open.span = Some(Context::new().with_span(run));
            }
            work(self, open);
        }
    }

    /// Does something with the page that is the next to be committed.
    fn with_page(&self, flow: &str, work: impl FnOnce(&Self, &mut Open, &Context)) {
        self.with_run(flow, |traces, open| {
            let page = open.page.take().unwrap_or_else(|| {
                let page = SpanBuilder::from_name("page").with_start_time(open.since);
                let run = open.span.clone().unwrap_or_default();
                run.with_span(traces.tracer.build_with_context(page, &run))
            });
            work(traces, open, &page);
            open.page = Some(page);
        });
    }

    fn note(&self, place: &Place, event: &'static str, mut of: Vec<KeyValue>) {
        of.extend(place.step.clone().map(|step| KeyValue::new("towpath.step", step)));
        of.push(KeyValue::new("towpath.account", place.account.clone()));
        self.with_page(&place.flow, |traces, _, page| {
            page.span().add_event_with_timestamp(event, traces.now(), of);
        });
    }
}

impl Watch for Traces {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Began { flow, run } => {
                let (run, now) = ((*run).to_owned(), self.now());
                let open = Open { run, began: now, since: now, span: None, page: None };
                if let Some(before) = self.open().insert((*flow).to_owned(), open) {
                    // Nobody told of its end: it found nothing more.
                    before.end(None);
                }
            }
            Event::Committed { flow, counts, took } => {
                self.with_page(flow, |traces, open, page| {
                    let count = |name, count: u64| {
                        KeyValue::new(name, i64::try_from(count).unwrap_or(i64::MAX))
                    };
                    page.span().set_attributes([
                        count("towpath.records", counts.records),
                        count("towpath.delivered", counts.delivered),
                        count("towpath.unchanged", counts.unchanged),
                        count("towpath.filtered", counts.filtered),
                        count("towpath.echoed", counts.echoed),
                        count("towpath.overruled", counts.overruled),
                        count("towpath.dead_lettered", counts.dead_lettered),
                    ]);
                    let took = took.map(|took| took.as_secs_f64());
                    page.span().set_attributes(
                        took.map(|took| KeyValue::new("towpath.commit_seconds", took)),
                    );
                    open.since = traces.now();
                    page.span().end_with_timestamp(open.since);
                });
                if let Some(open) = self.open().get_mut(*flow) {
                    open.page = None;
                }
            }
            Event::Called { place, messages, took } => {
                let messages = i64::try_from(*messages).unwrap_or(i64::MAX);
                let mut of = vec![
                    KeyValue::new("towpath.account", place.account.clone()),
                    KeyValue::new("towpath.messages", messages),
                ];
                of.extend(place.step.clone().map(|step| KeyValue::new("towpath.step", step)));
                self.with_page(&place.flow, |traces, _, page| {
                    let now = traces.now();
                    let began = now.checked_sub(*took).unwrap_or(now);
                    let call = SpanBuilder::from_name("call").with_kind(SpanKind::Client);
                    let call = call.with_start_time(began).with_attributes(of);
                    traces.tracer.build_with_context(call, page).end_with_timestamp(now);
                });
            }
            Event::Retrying { place, tries, wait, reason } => {
                let tries = i64::try_from(*tries).unwrap_or(i64::MAX);
                let of = vec![
                    KeyValue::new("towpath.tries", tries),
                    KeyValue::new("towpath.wait_seconds", wait.as_secs_f64()),
                    KeyValue::new("towpath.reason", (*reason).to_owned()),
                ];
                self.note(place, "retrying", of);
            }
            Event::DeadLetter { place, code } => {
                self.note(
                    place,
                    "deadLetter",
                    vec![KeyValue::new("towpath.code", (*code).to_owned())],
                );
            }
            Event::Scanning { .. }
            | Event::Backfilling { .. }
            | Event::Account { .. }
            | Event::Failed { .. } => {}
        }
    }
}

impl Follow for Traces {
    fn ran(&self, ran: &Ran<'_>) {
        // One that could not begin has a span, too.
        self.with_run(ran.flow, |_, _| {});
        if let Some(mut open) = self.open().remove(ran.flow) {
            open.since = self.now();
            open.end(Some(ran.report));
        }
    }

    fn end(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

impl Open {
    /// Ends what is open of a run when its last page ended. What it had begun of a page is not
    /// committed.
    fn end(self, report: Option<&Report>) {
        if let Some(page) = self.page {
            page.span().set_status(Status::error("it was not committed"));
            page.span().end_with_timestamp(self.since);
        }
        let Some(run) = self.span else { return };
        if let Some(report) = report {
            run.span().set_attribute(KeyValue::new("towpath.outcome", report.outcome()));
            if let Some(error) = report.errors.first() {
                run.span().set_status(Status::error(error.to_string()));
            }
        }
        run.span().end_with_timestamp(self.since);
    }
}

fn time(at: Timestamp) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(at.millis()).unwrap_or(0));
    SystemTime::UNIX_EPOCH + since
}

#[cfg(test)]
mod tests;
