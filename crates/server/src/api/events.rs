//! What happens, as it happens: a stream of server-sent events out of a ring in memory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use connector::Timestamp;
use engine::service::Ran;
use engine::{AccountChange, Event as Told, Watch};
use futures_util::Stream;
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::extract::Query;
use crate::routes::{Access, Routes, get};
use crate::scope::Scope;
use crate::server::Server;

/// So many events are kept for readers that are slow, or come back.
pub(crate) const KEPT: usize = 16_384;
/// A stream without news says that it is there, so that proxies keep it open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Routes {
    Routes::default().and(
        get("/api/v1/events", Access::Needs(Scope::Read), stream)
            .streams()
            .says(
                "events",
                "streamEvents",
                "Tells what happens: `runStarted`, `runEnded`, `committed`, `deadLetter`, `retrying`, \
                 `account`, each with `at` and what it is about. With `Last-Event-ID` it goes on \
                 behind that event; `missed` says how many are not kept any more.",
            )
            .query::<Asked>()
            .answers_as(200, "The stream.", "text/event-stream"),
    )
}

/// Which events are asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Asked {
    /// Only those about this flow.
    flow: Option<String>,
}

/// Keeps the newest events. Who writes never waits for who reads.
pub(crate) struct Ring {
    /// What the ids of this process begin with: numbers begin anew with each.
    boot: String,
    kept: Mutex<Kept>,
    /// The number of the newest event.
    newest: watch::Sender<u64>,
    clock: Arc<dyn connector::Clock>,
}

struct Kept {
    /// The number of the newest one; the first is 1.
    newest: u64,
    events: VecDeque<Arc<Happened>>,
}

/// An event.
struct Happened {
    kind: &'static str,
    flow: Option<String>,
    data: String,
}

/// What a reader gets next.
enum Next {
    One(u64, Arc<Happened>),
    /// So many are not kept any more.
    Missed(u64),
    Nothing,
}

impl Ring {
    pub(crate) fn new(clock: Arc<dyn connector::Clock>) -> Self {
        let kept = Kept { newest: 0, events: VecDeque::new() };
        let boot = format!("{:x}", clock.now().millis());
        Self { boot, kept: Mutex::new(kept), newest: watch::Sender::new(0), clock }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, kind: &'static str, flow: Option<&str>, of: Value) {
        let mut data = json!({ "at": self.clock.now() });
        if let (Some(data), Value::Object(of)) = (data.as_object_mut(), of) {
            data.extend(flow.map(|flow| ("flow".to_owned(), flow.into())));
            data.extend(of);
        }
        let flow = flow.map(ToOwned::to_owned);
        let happened = Arc::new(Happened { kind, flow, data: data.to_string() });
        let newest = {
            let mut kept = self.kept();
            if kept.events.len() == KEPT {
                kept.events.pop_front();
            }
            kept.events.push_back(happened);
            kept.newest += 1;
            kept.newest
        };
        // Two that come at once may say so in either order: readers look at the ring itself.
        self.newest.send_if_modified(|said| {
            let more = *said < newest;
            *said = newest.max(*said);
            more
        });
    }

    /// A run begins.
    pub(crate) fn begins(&self, flow: &str, at: Timestamp) {
        self.add("runStarted", Some(flow), json!({ "started": at }));
    }

    /// A run has ended.
    pub(crate) fn ran(&self, ran: &Ran<'_>) {
        let Ran { flow, started, report, next, .. } = ran;
        self.add(
            "runEnded",
            Some(flow),
            json!({
                "started": started, "outcome": report.outcome(), "counts": report.counts,
                "pages": report.pages, "seconds": report.took.as_secs_f64(), "next": next,
                "errors": report.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }),
        );
    }

    /// What comes behind an event, for who wants only some of them.
    fn behind(&self, after: u64, flow: Option<&str>) -> Next {
        let kept = self.kept();
        let oldest = kept.newest - kept.events.len() as u64 + 1;
        if after + 1 < oldest {
            return Next::Missed(oldest - 1 - after);
        }
        let skip = usize::try_from(after + 1 - oldest).unwrap_or(usize::MAX);
        let wanted = |it: &Happened| flow.is_none_or(|flow| it.flow.as_deref() == Some(flow));
        let mut rest = kept.events.iter().enumerate().skip(skip);
        match rest.find(|(_, it)| wanted(it)) {
            Some((at, it)) => Next::One(oldest + at as u64, it.clone()),
            None => Next::Nothing,
        }
    }

    /// Where to go on behind the event with this id; `None` is an id of another process.
    fn place(&self, id: &str) -> Option<u64> {
        let number = id.strip_prefix(&self.boot)?.strip_prefix('-')?;
        number.parse().ok().filter(|number| *number <= self.kept().newest)
    }
}

impl Watch for Ring {
    fn on(&self, event: &Told<'_>) {
        match event {
            Told::Committed { flow, counts, .. } => {
                self.add("committed", Some(flow), json!({ "counts": counts }));
            }
            Told::DeadLetter { place, code } => {
                let of = json!({ "step": place.step, "account": place.account, "code": code });
                self.add("deadLetter", Some(&place.flow), of);
            }
            Told::Retrying { place, tries, wait, reason } => {
                let of = json!({
                    "step": place.step, "account": place.account, "tries": tries,
                    "waitSeconds": wait.as_secs_f64(), "reason": reason,
                });
                self.add("retrying", Some(&place.flow), of);
            }
            Told::Account { account, change } => {
                self.add("account", None, account_event(account, change));
            }
            // What a run and a scan begin with and how it fails is in the run's own events.
            Told::Began { .. }
            | Told::Scanning { .. }
            | Told::Backfilling { .. }
            | Told::Called { .. }
            | Told::Failed { .. } => {}
        }
    }
}

fn account_event(account: &str, change: &AccountChange<'_>) -> Value {
    match change {
        AccountChange::Paused { reason, wait } => json!({
            "account": account, "change": "paused", "reason": reason,
            "probeInSeconds": wait.as_secs_f64(),
        }),
        AccountChange::Resumed { .. } => json!({ "account": account, "change": "resumed" }),
        AccountChange::Held { reason } => {
            json!({ "account": account, "change": "held", "reason": reason })
        }
        AccountChange::Released => json!({ "account": account, "change": "released" }),
        AccountChange::BreakerOpened { class, reason, wait, .. } => json!({
            "account": account, "change": "breakerOpened", "class": class, "reason": reason,
            "probeInSeconds": wait.as_secs_f64(),
        }),
        AccountChange::BreakerClosed { class } => {
            json!({ "account": account, "change": "breakerClosed", "class": class })
        }
        AccountChange::Outage { class, since, advice } => json!({
            "account": account, "change": "outage", "class": class, "since": since,
            "advice": advice,
        }),
        AccountChange::OutageOver { class } => {
            json!({ "account": account, "change": "outageOver", "class": class })
        }
    }
}

async fn stream(
    State(server): State<Server>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let ring = server.events().clone();
    let newest = ring.kept().newest;
    // Of another process nobody knows how many were missed: what this one has is told from its
    // beginning.
    let (after, unknown) = match last {
        None => (newest, false),
        Some(id) => ring.place(id).map_or((0, true), |place| (place, false)),
    };
    let told = ring.newest.subscribe();
    let reader = Reader { ring, told, after, unknown, flow: asked.flow };
    let stream = futures_util::stream::unfold(reader, async |mut reader| {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// One stream.
struct Reader {
    ring: Arc<Ring>,
    told: watch::Receiver<u64>,
    /// The number of the last event that was told or passed over.
    after: u64,
    /// Whether it is still to be said that nobody knows what was missed.
    unknown: bool,
    flow: Option<String>,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.unknown) {
            let data = r#"{"count":null,"reason":"the service was started anew since"}"#;
            return Some(Event::default().event("missed").data(data));
        }
        loop {
            // Seen before the look, so that what comes during the look wakes it again.
            let newest = *self.told.borrow_and_update();
            match self.ring.behind(self.after, self.flow.as_deref()) {
                Next::One(number, happened) => {
                    self.after = number;
                    let id = format!("{}-{number}", self.ring.boot);
                    let event = Event::default().id(id).event(happened.kind);
                    return Some(event.data(&happened.data));
                }
                Next::Missed(count) => {
                    self.after += count;
                    let id = format!("{}-{}", self.ring.boot, self.after);
                    let data = json!({ "count": count, "reason": "read too slowly" });
                    return Some(Event::default().id(id).event("missed").data(data.to_string()));
                }
                // What was not wanted is passed over.
                Next::Nothing => self.after = self.after.max(newest),
            }
            // The ring lives as long as this holds it.
            self.told.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use connector::ManualClock;

    use super::*;

    fn ring() -> Ring {
        Ring::new(Arc::new(ManualClock::new(Timestamp::from_secs(1_790_000_000))))
    }

    #[test]
    fn who_is_slow_learns_how_much_was_missed() {
        let ring = ring();
        for _ in 0..KEPT + 10 {
            ring.begins("a", Timestamp::default());
        }
        assert!(matches!(ring.behind(0, None), Next::Missed(10)));
        assert!(matches!(ring.behind(10, None), Next::One(11, _)));
        assert!(matches!(ring.behind(KEPT as u64 + 10, None), Next::Nothing));
        ring.begins("b", Timestamp::default());
        assert!(
            matches!(ring.behind(11, Some("b")), Next::One(number, _) if number == KEPT as u64 + 11)
        );
    }

    #[test]
    fn ids_of_another_process_are_not_places_in_this_one() {
        let ring = ring();
        ring.begins("a", Timestamp::default());
        assert_eq!(ring.place(&format!("{}-1", ring.boot)), Some(1));
        assert_eq!(ring.place(&format!("{}-2", ring.boot)), None);
        assert_eq!(ring.place("1-1"), None);
        assert_eq!(ring.place(""), None);
    }
}
