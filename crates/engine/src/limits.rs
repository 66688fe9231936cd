//! Keeps the requests of all flows within the limits of each system.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use connector::{Clock, Limit, Limiter, Permit, Timestamp};
use tokio::sync::Notify;

/// So many accepted requests win back one place that a 429 took.
const WIN_BACK: u32 = 20;

/// The limits of all systems, keyed by the credentials' identity and the class.
pub struct Limits {
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
enum Turn {
    First,
    Behind,
}

struct GateState {
    under_way: usize,
    /// The requests that wait and go first.
    waiting: usize,
    /// At least 1; halved by a 429, won back one by one.
    allowed: usize,
    accepted: u32,
    /// When the next request may start, where the vendor counts requests in a second.
    next_start: Timestamp,
}

/// Gives its place back when dropped.
struct Place(Arc<Gate>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way = state.under_way.saturating_sub(1);
        self.0.wake(&state);
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

    fn enter(self: &Arc<Self>, turn: Turn) -> Option<Place> {
        let mut state = self.state();
        let waits = turn == Turn::Behind && state.waiting > 0;
        if waits || state.under_way >= state.allowed {
            return None;
        }
        state.under_way += 1;
        Some(Place(self.clone()))
    }
}

impl Limits {
    /// No requests yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, gates: Mutex::default() }
    }

    fn gate(&self, identity: &str, limit: Limit) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates.entry((identity.to_owned(), limit.class)).or_insert_with(|| {
            let state = GateState {
                under_way: 0,
                waiting: 0,
                allowed: limit.concurrency.get(),
                accepted: 0,
                next_start: Timestamp::default(),
            };
            let state = Mutex::new(state);
            Arc::new(Gate { state, freed: Notify::new(), freed_behind: Notify::new() })
        });
        gate.clone()
    }

    /// The same limits for requests that let all others go first, such as those of a backfill.
    pub(crate) fn behind(self: &Arc<Self>) -> Arc<dyn Limiter> {
        Arc::new(Behind(self.clone()))
    }

    async fn enter(&self, identity: &str, limit: Limit, turn: Turn) -> Permit {
        let gate = self.gate(identity, limit);
        let place = {
            let _waiting = (turn == Turn::First).then(|| Waiting::at(&gate));
            let freed = if turn == Turn::First { &gate.freed } else { &gate.freed_behind };
            loop {
                // Registered before looking, so that a place freed in between is not missed.
                let mut freed = pin!(freed.notified());
                freed.as_mut().enable();
                if let Some(place) = gate.enter(turn) {
                    break place;
                }
                freed.await;
            }
        };
        let wait = self.pace(&gate, limit);
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
        Permit::new(place)
    }

    /// How long the next request has to wait for its turn within the second.
    fn pace(&self, gate: &Gate, limit: Limit) -> Duration {
        let Some(per_second) = limit.per_second else { return Duration::ZERO };
        let now = self.clock.now();
        let mut state = gate.state();
        let start = state.next_start.max(now);
        state.next_start = start.plus(Duration::from_secs(1) / per_second.get());
        start.since(now)
    }
}

#[async_trait]
impl Limiter for Limits {
    async fn acquire(&self, identity: &str, limit: Limit) -> Permit {
        self.enter(identity, limit, Turn::First).await
    }

    fn throttled(&self, identity: &str, limit: Limit) {
        let gate = self.gate(identity, limit);
        let mut state = gate.state();
        state.allowed = (state.allowed / 2).max(1);
        state.accepted = 0;
    }

    fn accepted(&self, identity: &str, limit: Limit) {
        let gate = self.gate(identity, limit);
        let mut state = gate.state();
        if state.allowed >= limit.concurrency.get() {
            return;
        }
        state.accepted += 1;
        if state.accepted >= WIN_BACK {
            state.accepted = 0;
            state.allowed += 1;
            gate.wake(&state);
        }
    }
}

/// Limits for requests that let all others go first.
struct Behind(Arc<Limits>);

#[async_trait]
impl Limiter for Behind {
    async fn acquire(&self, identity: &str, limit: Limit) -> Permit {
        self.0.enter(identity, limit, Turn::Behind).await
    }

    fn throttled(&self, identity: &str, limit: Limit) {
        self.0.throttled(identity, limit);
    }

    fn accepted(&self, identity: &str, limit: Limit) {
        self.0.accepted(identity, limit);
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroUsize};

    use connector::ManualClock;
    use futures_util::FutureExt;

    use super::*;

    fn limit(concurrency: usize) -> Limit {
        let concurrency = NonZeroUsize::new(concurrency).unwrap();
        Limit { class: "x", concurrency, per_second: None }
    }

    #[tokio::test]
    async fn one_credential_shares_a_limit_and_another_has_its_own() {
        let limits = Limits::new(Arc::new(ManualClock::new(Timestamp::default())));
        let first = limits.acquire("a", limit(1)).await;
        assert!(limits.acquire("a", limit(1)).now_or_never().is_none());
        assert!(limits.acquire("b", limit(1)).now_or_never().is_some());
        drop(first);
        assert!(limits.acquire("a", limit(1)).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_429_halves_the_places_and_accepted_requests_win_them_back() {
        let limits = Limits::new(Arc::new(ManualClock::new(Timestamp::default())));
        let fitting = |limits: &Limits| {
            let mut held = vec![];
            while let Some(permit) = limits.acquire("a", limit(4)).now_or_never() {
                held.push(permit);
            }
            held.len()
        };
        assert_eq!(fitting(&limits), 4);
        limits.throttled("a", limit(4));
        assert_eq!(fitting(&limits), 2);
        for _ in 0..(2 * WIN_BACK) {
            limits.accepted("a", limit(4));
        }
        assert_eq!(fitting(&limits), 4);
    }

    #[tokio::test]
    async fn a_freed_place_goes_to_what_is_live_and_then_to_what_waits_behind() {
        let limits = Arc::new(Limits::new(Arc::new(ManualClock::new(Timestamp::default()))));
        let behind = limits.behind();
        let held = limits.acquire("a", limit(1)).await;
        let mut backfill = pin!(behind.acquire("a", limit(1)));
        let mut live = Box::pin(limits.acquire("a", limit(1)));
        assert!(backfill.as_mut().now_or_never().is_none());
        assert!(live.as_mut().now_or_never().is_none());
        drop(held);
        assert!(backfill.as_mut().now_or_never().is_none());
        drop(live.as_mut().now_or_never().unwrap());
        let held = backfill.as_mut().now_or_never().unwrap();
        // A live request that gives up leaves its place to those behind.
        let mut backfill = pin!(behind.acquire("a", limit(1)));
        let mut live = Box::pin(limits.acquire("a", limit(1)));
        assert!(backfill.as_mut().now_or_never().is_none());
        assert!(live.as_mut().now_or_never().is_none());
        drop(held);
        drop(live);
        assert!(backfill.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn requests_are_spread_over_the_second() {
        let clock = Arc::new(ManualClock::new(Timestamp::default()));
        let limits = Limits::new(clock.clone());
        let paced = Limit { per_second: NonZeroU32::new(4), ..limit(8) };
        for _ in 0..5 {
            drop(limits.acquire("a", paced).await);
        }
        assert_eq!(clock.now(), Timestamp::from_secs(1));
    }
}
