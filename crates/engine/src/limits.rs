//! Keeps the requests of all flows within the limits of each system.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector::{Clock, Limit};
use tokio::sync::Notify;

/// So many accepted requests win back one place that a 429 took.
const WIN_BACK: u32 = 20;

/// The limits of all systems, keyed by the credentials' identity and the class.
pub(crate) struct Limits {
    clock: Arc<dyn Clock>,
    gates: Mutex<HashMap<(String, &'static str), Arc<Gate>>>,
}

/// The requests of one class with one system's credentials.
struct Gate {
    state: Mutex<GateState>,
    freed: Notify,
    /// The same for requests that wait behind others.
    freed_behind: Notify,
}

/// Whose turn it is where several wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    First,
    /// All others go first, as before the requests of a backfill.
    Behind,
}

struct GateState {
    under_way: usize,
    /// The requests that wait and go first.
    waiting: usize,
    /// At least 1; halved by a 429, won back one by one.
    allowed: usize,
    accepted: u32,
    /// When the next request may start, where the vendor counts requests in a second; reckoned by
    /// what has elapsed, which nobody sets.
    next_start: Duration,
}

/// A request's place among those under way; given back when dropped.
pub(crate) struct Place {
    gate: Arc<Gate>,
    limit: Limit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.under_way = state.under_way.saturating_sub(1);
        self.gate.wake(&state);
    }
}

/// Counts among those that wait and go first, until dropped.
struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn at(gate: &'a Gate) -> Self {
        gate.state().waiting += 1;
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting = state.waiting.saturating_sub(1);
        // A place that was meant for this one may be another's now.
        self.0.wake(&state);
    }
}

impl Gate {
    /// Wakes whoever's turn it is, if there is a place.
    fn wake(&self, state: &GateState) {
        if state.under_way >= state.allowed {
            return;
        }
        if state.waiting > 0 {
            self.freed.notify_one();
        } else {
            self.freed_behind.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, limit: Limit, turn: Turn) -> Option<Place> {
        let mut state = self.state();
        let waits = turn == Turn::Behind && state.waiting > 0;
        if waits || state.under_way >= state.allowed {
            return None;
        }
        state.under_way += 1;
        Some(Place { gate: self.clone(), limit })
    }

    /// When a request may start that comes `now`, where they start so far apart.
    fn start(&self, now: Duration, apart: Duration) -> Duration {
        let mut state = self.state();
        let start = state.next_start.max(now);
        state.next_start = start + apart;
        start
    }
}

impl Limits {
    /// No requests yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, gates: Mutex::default() }
    }

    /// Waits until fewer requests are under way than the system takes.
    pub(crate) async fn place(&self, identity: &str, limit: Limit, turn: Turn) -> Place {
        let gate = self.gate(identity, limit);
        let _waiting = (turn == Turn::First).then(|| Waiting::at(&gate));
        let freed = if turn == Turn::First { &gate.freed } else { &gate.freed_behind };
        loop {
            // Registered before looking, so that a place freed in between is not missed.
            let mut freed = pin!(freed.notified());
            freed.as_mut().enable();
            if let Some(place) = gate.enter(limit, turn) {
                return place;
            }
            freed.await;
        }
    }

    /// Waits for the turn of a request within the second.
    pub(crate) async fn pace(&self, place: &Place) {
        let Some(per_second) = place.limit.per_second else { return };
        let now = self.clock.elapsed();
        let start = place.gate.start(now, Duration::from_secs(1) / per_second.get());
        if start > now {
            self.clock.sleep(start - now).await;
        }
    }

    fn gate(&self, identity: &str, limit: Limit) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates.entry((identity.to_owned(), limit.class)).or_insert_with(|| {
            let state = GateState {
                under_way: 0,
                waiting: 0,
                allowed: limit.concurrency.get(),
                accepted: 0,
                next_start: Duration::ZERO,
            };
            let state = Mutex::new(state);
            Arc::new(Gate { state, freed: Notify::new(), freed_behind: Notify::new() })
        });
        gate.clone()
    }
}

impl Place {
    /// The system answered 429: half as many requests from now on.
    pub(crate) fn throttled(&self) {
        let mut state = self.gate.state();
        state.allowed = (state.allowed / 2).max(1);
        state.accepted = 0;
    }

    /// The system took the request.
    pub(crate) fn accepted(&self) {
        let mut state = self.gate.state();
        if state.allowed >= self.limit.concurrency.get() {
            return;
        }
        state.accepted += 1;
        if state.accepted >= WIN_BACK {
            state.accepted = 0;
            state.allowed += 1;
            self.gate.wake(&state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroUsize};

    use connector::{ManualClock, Timestamp};
    use futures_util::FutureExt;

    use super::*;

    fn limit(concurrency: usize) -> Limit {
        let concurrency = NonZeroUsize::new(concurrency).unwrap();
        Limit { class: "x", concurrency, per_second: None }
    }

    fn limits() -> Limits {
        Limits::new(Arc::new(ManualClock::new(Timestamp::default())))
    }

    #[tokio::test]
    async fn one_credential_shares_a_limit_and_another_has_its_own() {
        let limits = limits();
        let first = limits.place("a", limit(1), Turn::First).await;
        assert!(limits.place("a", limit(1), Turn::First).now_or_never().is_none());
        assert!(limits.place("b", limit(1), Turn::First).now_or_never().is_some());
        drop(first);
        assert!(limits.place("a", limit(1), Turn::First).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_429_halves_the_places_and_accepted_requests_win_them_back() {
        let limits = limits();
        let fitting = |limits: &Limits| {
            let mut held = vec![];
            while let Some(place) = limits.place("a", limit(4), Turn::First).now_or_never() {
                held.push(place);
            }
            held.len()
        };
        assert_eq!(fitting(&limits), 4);
        limits.place("a", limit(4), Turn::First).await.throttled();
        assert_eq!(fitting(&limits), 2);
        for _ in 0..(2 * WIN_BACK) {
            limits.place("a", limit(4), Turn::First).await.accepted();
        }
        assert_eq!(fitting(&limits), 4);
    }

    #[tokio::test]
    async fn a_freed_place_goes_to_what_is_live_and_then_to_what_waits_behind() {
        let limits = limits();
        let held = limits.place("a", limit(1), Turn::First).await;
        let mut backfill = pin!(limits.place("a", limit(1), Turn::Behind));
        let mut live = Box::pin(limits.place("a", limit(1), Turn::First));
        assert!(backfill.as_mut().now_or_never().is_none());
        assert!(live.as_mut().now_or_never().is_none());
        drop(held);
        assert!(backfill.as_mut().now_or_never().is_none());
        drop(live.as_mut().now_or_never().unwrap());
        let held = backfill.as_mut().now_or_never().unwrap();
        // A live request that gives up leaves its place to those behind.
        let mut backfill = pin!(limits.place("a", limit(1), Turn::Behind));
        let mut live = Box::pin(limits.place("a", limit(1), Turn::First));
        assert!(backfill.as_mut().now_or_never().is_none());
        assert!(live.as_mut().now_or_never().is_none());
        drop(held);
        drop(live);
        assert!(backfill.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn requests_are_spread_over_the_second_whatever_the_clock_is_set_to() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        let limits = Limits::new(clock.clone());
        let paced = Limit { per_second: NonZeroU32::new(4), ..limit(8) };
        for moment in [1_000_000, 0, 1_000_000_000, 7] {
            clock.set(Timestamp::from_secs(moment));
            let place = limits.place("a", paced, Turn::First).await;
            limits.pace(&place).await;
        }
        limits.pace(&limits.place("a", paced, Turn::First).await).await;
        assert_eq!(clock.elapsed(), Duration::from_secs(1));
    }
}
