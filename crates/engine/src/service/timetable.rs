//! Which flow runs next: pure arithmetic over the beats of all of them.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use connector::Timestamp;
use flow::Schedule;

use crate::{Beat, Report};

/// Flows that are taken up together spread their first runs over so much for each of them.
const ROOM: Duration = Duration::from_millis(100);

/// Between two questions after what is finished later there is so much at least.
const SOONEST: Duration = Duration::from_secs(1);

/// Where nothing is to run as far as anybody knows.
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// Where a run failed before it knew what is asked after next, it is tried again after so much.
const AFTER_FAILURE: Duration = Duration::from_secs(600);

/// A flow that is to run.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The flow's name.
    pub flow: Arc<str>,
    /// When it runs; of a flow that is called, by which waits it is tried again after a failure.
    pub schedule: Schedule,
    /// Whether it runs when something came for it ([`Handle::wake`](super::Handle::wake)), and at
    /// first for what came before.
    pub called: bool,
    /// When its last run began, if it ever ran.
    pub last: Option<Timestamp>,
    /// When the first of what systems finish later is asked after, if there is anything.
    pub check: Option<Timestamp>,
}

/// A run that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) flow: Arc<str>,
    pub(crate) at: Timestamp,
    /// Whether it asks after what is finished later, and polls nothing: its tick is yet to come.
    pub(crate) checks: bool,
}

/// The beats of all flows, ordered by what is due first.
#[derive(Default)]
pub(crate) struct Timetable {
    flows: HashMap<Arc<str>, Entry>,
    /// Invariant: holds exactly the flows that wait and are not paused, at the moments of their
    /// beats, or earlier where something is asked after before that.
    waiting: BTreeSet<(Timestamp, Arc<str>)>,
    /// Flows that run only when somebody says so, be they in the table or not.
    paused: HashSet<Arc<str>>,
    /// Flows that somebody wants to run now, in the order of asking.
    asked: VecDeque<Arc<str>>,
    /// Flows that run because somebody said so, and have no schedule, with the moments of that.
    guests: HashMap<Arc<str>, Timestamp>,
    /// The latest moment that the clock has shown.
    latest: Timestamp,
}

struct Entry {
    beat: Beat,
    last: Option<Timestamp>,
    /// Whether its last run failed, and nobody asked to wait: a change may be the cure.
    failed: bool,
    /// The moment until which a system that failed in its last run asked to wait.
    asked: Option<Timestamp>,
    /// When the first of what systems finish later is asked after.
    check: Option<Timestamp>,
    called: Option<Called>,
    /// Since when there may be something for a flow that has ticks of its own too.
    woken: Option<Timestamp>,
    /// When its last run or check began.
    began: Timestamp,
    state: State,
}

/// What is known of a flow that runs when something came for it.
#[derive(Clone, Copy)]
struct Called {
    /// Since when there may be something.
    since: Option<Timestamp>,
    /// Whether its last run failed: then it waits as its beat says, whatever comes.
    failed: bool,
}

enum State {
    Waiting,
    /// A run is under way, which may only ask after what is finished later; the change that came
    /// meanwhile waits for its end.
    Running {
        checks: bool,
        change: Option<Change>,
    },
}

enum Change {
    Replaced(Schedule, bool),
    Removed,
}

/// Where a flow stands in a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// When it runs next; `None` if it has no schedule, is paused, or runs.
    pub next: Option<Timestamp>,
    /// When the run under way began, if one is.
    pub running: Option<Timestamp>,
    /// Whether it runs only when somebody says so.
    pub paused: bool,
}

impl Timetable {
    /// Takes flows up, or takes note that they have changed. A run under way goes on.
    pub(crate) fn put(&mut self, planned: Vec<Planned>, now: Timestamp) {
        let width = ROOM.saturating_mul(u32::try_from(planned.len()).unwrap_or(u32::MAX));
        for Planned { flow, schedule, called, last, check } in planned {
            let Some(entry) = self.flows.get_mut(&flow) else {
                // What came before is not to wait for a tick.
                let since = last.filter(|_| !called);
                let beat = Beat::resumed(&flow, schedule, now, since, width);
                // It may run already, because somebody said so before it had a schedule.
                let state = match self.guests.contains_key(&flow) {
                    true => State::Running { checks: false, change: None },
                    false => State::Waiting,
                };
                let (failed, asked) = (false, None);
                let called = called.then(|| Called { since: Some(beat.at()), failed: false });
                let (began, woken) = (now, None);
                let entry = Entry { beat, last, failed, asked, check, called, woken, began, state };
                self.flows.insert(flow.clone(), entry);
                self.wait(flow);
                continue;
            };
            match &mut entry.state {
                State::Running { change, .. } => *change = Some(Change::Replaced(schedule, called)),
                State::Waiting => {
                    let was = (entry.at(), flow);
                    self.waiting.remove(&was);
                    entry.replace(&was.1, (schedule, called), now, width);
                    self.wait(was.1);
                }
            }
        }
    }

    /// Lets a flow for which something came run now, or once the run under way has ended; one whose
    /// last run failed goes on waiting.
    pub(crate) fn wake(&mut self, flow: &str, now: Timestamp) {
        let Some((name, entry)) = self.flows.get_key_value(flow) else { return };
        let (was, name) = (entry.at(), name.clone());
        let Some(entry) = self.flows.get_mut(flow) else { return };
        let since = match &mut entry.called {
            Some(called) => &mut called.since,
            None => &mut entry.woken,
        };
        *since = Some(since.map_or(now, |since| since.min(now)));
        if let State::Waiting = entry.state {
            self.waiting.remove(&(was, name.clone()));
            self.wait(name);
        }
    }

    /// Lets a flow wait for its next run, unless it is paused or runs.
    fn wait(&mut self, flow: Arc<str>) {
        if let Some(entry) = self.flows.get(&flow)
            && matches!(entry.state, State::Waiting)
            && !self.paused.contains(&flow)
        {
            self.waiting.insert((entry.at(), flow));
        }
    }

    /// Lets a flow run only when somebody says so. A run under way goes on to its end.
    pub(crate) fn pause(&mut self, flow: Arc<str>) {
        if let Some(entry) = self.flows.get(&flow) {
            self.waiting.remove(&(entry.at(), flow.clone()));
        }
        self.paused.insert(flow);
    }

    /// Lets a flow run on its schedule again; what it missed meanwhile is one run.
    pub(crate) fn resume(&mut self, flow: &str, now: Timestamp) {
        let Some(flow) = self.paused.take(flow) else { return };
        if let Some(entry) = self.flows.get_mut(&flow)
            && let State::Waiting = entry.state
            && entry.called.is_none()
        {
            let schedule = entry.beat.schedule().clone();
            entry.beat = Beat::resumed(&flow, schedule, now, entry.last, ROOM);
            if let Some(asked) = entry.asked {
                entry.beat.hold_until(asked);
            }
        }
        self.wait(flow);
    }

    /// Lets a flow run as soon as there is room, whatever its schedule; says whether it may, which
    /// it may not while it runs. One that is not in the table runs once.
    pub(crate) fn ask(&mut self, flow: Arc<str>) -> bool {
        let state = self.flows.get(&flow).map(|entry| &entry.state);
        if self.guests.contains_key(&flow) || matches!(state, Some(State::Running { .. })) {
            return false;
        }
        if !self.asked.contains(&flow) {
            self.asked.push_back(flow);
        }
        true
    }

    /// Where a flow stands.
    pub(crate) fn standing(&self, flow: &str) -> Standing {
        let paused = self.paused.contains(flow);
        let guest = self.guests.get(flow).copied();
        let Some(entry) = self.flows.get(flow) else {
            return Standing { next: None, running: guest, paused };
        };
        match entry.state {
            State::Running { .. } => {
                Standing { next: None, running: guest.or(Some(entry.began)), paused }
            }
            State::Waiting => {
                let next = Some(entry.at()).filter(|at| !paused && *at != NEVER);
                Standing { next, running: None, paused }
            }
        }
    }

    /// The run that somebody asked for first, if any: its flow is under way from now on.
    fn take_asked(&mut self, now: Timestamp) -> Option<Due> {
        while let Some(flow) = self.asked.pop_front() {
            let Some(entry) = self.flows.get_mut(&flow) else {
                self.guests.insert(flow.clone(), now);
                return Some(Due { flow, at: now, checks: false });
            };
            if let State::Waiting = entry.state {
                self.waiting.remove(&(entry.at(), flow.clone()));
                entry.last = Some(now);
                entry.began = now;
                entry.woken = None;
                if let Some(called) = &mut entry.called {
                    called.since = None;
                }
                entry.state = State::Running { checks: false, change: None };
                return Some(Due { flow, at: now, checks: false });
            }
        }
        None
    }

    /// Lets a flow go. A run under way goes on to its end.
    pub(crate) fn remove(&mut self, flow: &str) {
        let Some((name, entry)) = self.flows.get_key_value(flow) else { return };
        if let State::Waiting = entry.state {
            self.waiting.remove(&(entry.at(), name.clone()));
            self.flows.remove(flow);
        } else if let Some(entry) = self.flows.get_mut(flow) {
            let checks = matches!(entry.state, State::Running { checks: true, .. });
            entry.state = State::Running { checks, change: Some(Change::Removed) };
        }
    }

    /// The flow that runs next among those that wait, and when.
    pub(crate) fn next(&self) -> Option<(Timestamp, &str)> {
        let first = self.waiting.first().filter(|(at, _)| *at != NEVER);
        first.map(|(at, flow)| (*at, flow.as_ref()))
    }

    /// Takes the run that is due first; the flow is under way from now on.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Due> {
        if let Some(asked) = self.take_asked(now) {
            return Some(asked);
        }
        self.waiting.first().filter(|(at, _)| *at <= now)?;
        let (at, flow) = self.waiting.pop_first()?;
        let mut checks = false;
        if let Some(entry) = self.flows.get_mut(&flow) {
            checks = entry.due() > now;
            if !checks {
                entry.last = Some(now);
                entry.woken = None;
                if let Some(called) = &mut entry.called {
                    called.since = None;
                }
            }
            entry.began = now;
            entry.state = State::Running { checks, change: None };
        }
        Some(Due { flow, at, checks })
    }

    /// Takes note that a run has ended, and gives when the next one begins; `None` if the flow
    /// was removed meanwhile.
    pub(crate) fn ended(
        &mut self,
        flow: &str,
        now: Timestamp,
        report: &Report,
    ) -> Option<Timestamp> {
        self.guests.remove(flow);
        let (name, _) = self.flows.get_key_value(flow)?;
        let name = name.clone();
        let entry = self.flows.get_mut(flow)?;
        let (checks, change) = match std::mem::replace(&mut entry.state, State::Waiting) {
            State::Running { checks, change } => (checks, change),
            State::Waiting => (false, None),
        };
        // What could not be asked after must not be asked again at once.
        let next = report.unfinished.next.map(|next| next.max(now.plus(SOONEST)));
        entry.check = match entry.check {
            Some(_) if next.is_none() && !report.errors.is_empty() => Some(now.plus(AFTER_FAILURE)),
            _ => next,
        };
        if !checks {
            // What holds an account back may be well with a change, and costs nothing to ask.
            let asked = report.asks_to_wait().filter(|_| !report.is_held_back());
            entry.asked = asked.map(|wait| now.plus(wait));
            entry.failed = !report.errors.is_empty() && entry.asked.is_none();
            if let Some(called) = &mut entry.called {
                called.failed = !report.errors.is_empty();
            }
            if report.waits_for_change() {
                entry.beat.next_without_change(now);
            } else {
                entry.beat.next(now, report);
            }
        }
        match change {
            Some(Change::Removed) => {
                self.flows.remove(flow);
                return None;
            }
            Some(Change::Replaced(schedule, called)) => {
                entry.replace(&name, (schedule, called), now, ROOM);
            }
            None => {}
        }
        let next = Some(entry.due()).filter(|due| *due != NEVER);
        let paused = self.paused.contains(&name);
        self.wait(name);
        next.filter(|_| !paused)
    }

    /// Looks at the clock: where it was set back, no wait is longer for it.
    pub(crate) fn look(&mut self, now: Timestamp) {
        if now >= self.latest {
            self.latest = now;
            return;
        }
        let back = self.latest.since(now);
        self.latest = now;
        self.waiting.clear();
        for (flow, entry) in &mut self.flows {
            if let State::Waiting = entry.state {
                entry.asked = entry.asked.map(|asked| asked.minus(back));
                if let Some(called) = &mut entry.called {
                    called.since = called.since.map(|since| since.minus(back));
                }
                entry.beat.look(now);
                if !self.paused.contains(flow) {
                    self.waiting.insert((entry.at(), flow.clone()));
                }
            }
        }
    }
}

impl Entry {
    /// When it runs next, be it to ask after something.
    fn at(&self) -> Timestamp {
        self.check.map_or(self.due(), |check| check.min(self.due()))
    }

    /// When it runs next for what it is there for.
    fn due(&self) -> Timestamp {
        match self.called {
            Some(Called { failed: false, since }) => since.unwrap_or(NEVER),
            Some(_) => self.beat.at(),
            None => match self.woken.filter(|_| !self.failed && self.asked.is_none()) {
                Some(woken) => woken.min(self.beat.at()),
                None => self.beat.at(),
            },
        }
    }

    /// Puts another version of the flow in the place of this one.
    fn replace(
        &mut self,
        flow: &str,
        (schedule, called): (Schedule, bool),
        now: Timestamp,
        width: Duration,
    ) {
        // What failed may be well again with the change, and runs as if it never ran.
        let failed = std::mem::take(&mut self.failed);
        if failed || *self.beat.schedule() != schedule {
            let last = if failed { None } else { self.last };
            self.beat = Beat::resumed(flow, schedule, now, last, width);
            if let Some(asked) = self.asked {
                self.beat.hold_until(asked);
            }
        }
        // With another version there may be something to do that there was not.
        self.called = called.then(|| Called { since: Some(now), failed: self.asked.is_some() });
    }
}

#[cfg(test)]
mod tests;
