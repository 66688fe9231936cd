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
                let entry = Entry { beat, last, failed, asked, check, called, began: now, state };
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

    /// Lets a flow that is called run now, or once the run under way has ended; one whose last run
    /// failed goes on waiting.
    pub(crate) fn wake(&mut self, flow: &str, now: Timestamp) {
        let Some((name, entry)) = self.flows.get_key_value(flow) else { return };
        let (was, name) = (entry.at(), name.clone());
        let Some(entry) = self.flows.get_mut(flow) else { return };
        let Some(called) = &mut entry.called else { return };
        called.since = Some(called.since.map_or(now, |since| since.min(now)));
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
            _ => self.beat.at(),
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
mod tests {
    use connector::{Clock, ManualClock};
    use flow::Cron;

    use super::*;
    use crate::{Error, Place};

    const DAY: Duration = Duration::from_secs(86_400);

    fn start() -> Timestamp {
        Timestamp::parse("2026-06-01T00:00:00Z").unwrap()
    }

    fn every(seconds: u64) -> Schedule {
        Schedule::Every(Duration::from_secs(seconds))
    }

    fn cron(expression: &str) -> Schedule {
        Schedule::Cron(Cron::parse(expression, "UTC").unwrap())
    }

    fn planned(flow: &str, schedule: Schedule) -> Planned {
        Planned { flow: flow.into(), schedule, called: false, last: None, check: None }
    }

    fn stuck() -> Report {
        Report::failed(Error::SourceChanged { flow: "a".to_owned() })
    }

    /// Runs whatever is due until `end`, each run for `took`, and gives the moments by flow.
    fn simulate(
        table: &mut Timetable,
        clock: &ManualClock,
        end: Timestamp,
        took: Duration,
    ) -> HashMap<Arc<str>, Vec<Timestamp>> {
        let mut ran: HashMap<Arc<str>, Vec<Timestamp>> = HashMap::new();
        let mut under_way: BTreeSet<(Timestamp, Arc<str>)> = BTreeSet::new();
        loop {
            let now = clock.now();
            while under_way.first().is_some_and(|(until, _)| *until <= now) {
                let (_, flow) = under_way.pop_first().unwrap();
                assert!(table.ended(&flow, now, &Report::default()).unwrap() > now);
            }
            while let Some(due) = table.take(now) {
                assert_eq!(due.at, now, "{} is late", due.flow);
                assert!(under_way.iter().all(|(_, flow)| *flow != due.flow), "{} twice", due.flow);
                under_way.insert((now.plus(took), due.flow.clone()));
                ran.entry(due.flow).or_default().push(now);
            }
            let next = under_way.first().map(|(until, _)| *until);
            let next = [next, table.next().map(|(at, _)| at)].into_iter().flatten().min();
            match next.filter(|next| *next < end) {
                Some(next) => clock.advance(next.since(now)),
                None => return ran,
            }
        }
    }

    #[test]
    fn a_thousand_flows_run_through_a_day_as_often_as_they_should() {
        let kinds: [(Schedule, usize); 5] = [
            (every(300), 288),
            (every(3600), 24),
            (cron("*/15 * * * *"), 96),
            (cron("30 6 * * *"), 1),
            (cron("0 0 1 1 *"), 0),
        ];
        let flows: Vec<_> = (0..1000)
            .map(|at| planned(&format!("flow-{at}"), kinds[at % kinds.len()].0.clone()))
            .collect();
        let clock = ManualClock::new(start());
        let mut table = Timetable::default();
        table.put(flows.clone(), start());
        let ran = simulate(&mut table, &clock, start().plus(DAY), Duration::from_secs(2));
        for (at, flow) in flows.iter().enumerate() {
            let (schedule, expected) = &kinds[at % kinds.len()];
            let moments = ran.get(&flow.flow).map(Vec::as_slice).unwrap_or_default();
            let short = expected.saturating_sub(1);
            // The last run of an interval may fall behind midnight, by where it began.
            assert!((short..=*expected).contains(&moments.len()), "{schedule} {moments:?}");
            if let Schedule::Every(every) = schedule {
                assert!(moments[0].since(start()) <= *every, "{schedule} {moments:?}");
                assert!(moments.windows(2).all(|two| two[1].since(two[0]) >= *every));
            }
        }
        let first: BTreeSet<_> = ran.values().map(|moments| moments[0]).collect();
        assert!(first.len() > 500, "first runs come together at {} moments", first.len());
    }

    #[test]
    fn a_run_that_takes_long_is_not_overtaken() {
        let clock = ManualClock::new(start());
        let mut table = Timetable::default();
        table.put(vec![planned("a", every(60)), planned("b", cron("* * * * *"))], start());
        let long = Duration::from_secs(150);
        let ran = simulate(&mut table, &clock, start().plus(Duration::from_secs(3600)), long);
        assert!(ran.values().all(|moments| (19..=20).contains(&moments.len())), "{ran:?}");
    }

    #[test]
    fn a_restart_goes_on_where_it_was() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let mut table = Timetable::default();
        let last = Some(start().minus(minutes(20)));
        let first = |table: &Timetable| table.next().map(|(at, _)| at).unwrap();
        table.put(vec![Planned { last, ..planned("hourly", every(3600)) }], start());
        assert_eq!(first(&table), start().plus(minutes(40)));
        // What should have run while nobody was there runs soon.
        table.put(vec![Planned { last, ..planned("often", every(600)) }], start());
        assert!(first(&table).since(start()) <= ROOM);
        table.remove("often");
        table.put(vec![planned("often", every(600))], start());
        assert!(first(&table).since(start()) <= ROOM);
        // A tick whose jitter is not over is not skipped, unless it ran.
        let nightly = |last| Planned { last, ..planned("nightly", cron("0 0 * * *")) };
        let jitter = crate::jitter("nightly", &cron("0 0 * * *"), start());
        let inside = start().plus(jitter / 2);
        for (last, now, expected) in [
            (None, inside, start()),
            (Some(start().minus(DAY)), inside, start()),
            (Some(start()), inside, start().plus(DAY)),
            (None, start().plus(jitter), start().plus(DAY)),
        ] {
            let mut table = Timetable::default();
            table.put(vec![nightly(last)], now);
            assert_eq!(first(&table), expected.plus(jitter), "{last:?} {now}");
        }
    }

    #[test]
    fn what_failed_runs_after_a_change_and_not_before() {
        let mut table = Timetable::default();
        table.put(vec![planned("a", every(60))], start());
        let due = table.take(start().plus(ROOM)).unwrap();
        let next = table.ended(&due.flow, start().plus(ROOM), &stuck()).unwrap();
        assert!(next.since(start()) >= Duration::from_secs(3600), "{next}");
        table.put(vec![planned("a", every(60))], start().plus(DAY / 48));
        assert!(table.next().unwrap().0.since(start().plus(DAY / 48)) <= ROOM);
        // A change that came during the failing run counts as well.
        let due = table.take(start().plus(DAY)).unwrap();
        table.put(vec![planned("a", every(60))], start().plus(DAY));
        let next = table.ended(&due.flow, start().plus(DAY), &stuck()).unwrap();
        assert!(next.since(start().plus(DAY)) <= ROOM);
    }

    #[test]
    fn a_change_of_the_schedule_keeps_the_wait_that_was_asked_for() {
        let busy = || {
            let place = Place { flow: "a".to_owned(), step: None, account: "a".to_owned() };
            let after = Some(DAY / 2);
            Report::failed(Error::Unavailable { place, reason: "busy".to_owned(), after })
        };
        let now = start().plus(ROOM);
        let asked = now.plus(DAY / 2);
        let next = |table: &Timetable| table.next().unwrap().0;
        for during in [false, true] {
            let mut table = Timetable::default();
            table.put(vec![planned("a", every(60))], start());
            table.look(now);
            table.take(now).unwrap();
            if during {
                table.put(vec![planned("a", every(120))], now);
            }
            table.ended("a", now, &busy()).unwrap();
            table.put(vec![planned("a", every(120))], now);
            assert_eq!(next(&table), asked);
            // A tick behind that moment stays one, and none before it counts.
            table.put(vec![planned("a", cron("0 * * * *"))], now);
            let tick = start().plus(DAY / 24 * 13);
            assert!((tick..=tick.plus(Duration::from_secs(30))).contains(&next(&table)));
            table.look(start().minus(DAY));
            table.put(vec![planned("a", every(60))], start().minus(DAY));
            assert_eq!(next(&table), start().minus(DAY / 2));
            // Once it has run, nobody asks any more.
            let now = start().minus(DAY / 2);
            table.take(now).unwrap();
            table.ended("a", now, &Report::default());
            table.put(vec![planned("a", every(120))], now);
            assert_eq!(next(&table).since(now), Duration::from_secs(120));
        }
    }

    #[test]
    fn what_is_finished_later_is_asked_after_between_two_ticks() {
        let check = |seconds| Some(start().plus(Duration::from_secs(seconds)));
        let asks = |next| Report {
            unfinished: crate::Unfinished { messages: 1, next },
            ..Report::default()
        };
        let mut table = Timetable::default();
        let last = Some(start());
        table.put(vec![Planned { last, check: check(30), ..planned("a", every(600)) }], start());
        let at = |table: &Timetable| table.next().map(|(at, _)| at);
        assert_eq!(at(&table), check(30));
        let due = table.take(check(30).unwrap()).unwrap();
        assert!(due.checks);
        // The beat stays where it was, and what is due already waits a second.
        let tick = table.ended("a", check(31).unwrap(), &asks(check(5))).unwrap();
        assert_eq!((tick, at(&table)), (check(600).unwrap(), check(32)));
        assert!(table.take(check(32).unwrap()).unwrap().checks);
        table.ended("a", check(33).unwrap(), &stuck());
        assert_eq!(at(&table), check(600), "a failed check holds no poll up");
        let due = table.take(check(633).unwrap()).unwrap();
        assert!(!due.checks, "a poll asks too");
        table.ended("a", check(634).unwrap(), &asks(check(640)));
        assert_eq!(at(&table), check(640));
        table.remove("a");
        assert_eq!(table.next(), None);
    }

    #[test]
    fn changes_leave_a_run_under_way_alone() {
        let mut table = Timetable::default();
        table.put(vec![planned("a", every(60)), planned("b", every(60))], start());
        let now = start().plus(ROOM * 2);
        let mut due = [table.take(now).unwrap().flow, table.take(now).unwrap().flow];
        due.sort();
        let [a, b] = due;
        table.remove(&a);
        table.put(vec![planned("b", every(600))], now);
        assert_eq!(table.next(), None);
        assert_eq!(table.ended(&a, now, &Report::default()), None);
        let next = table.ended(&b, now, &Report::default());
        assert_eq!(next, Some(now.plus(Duration::from_secs(600))));
        // Removed and there again before the run has ended: it stays.
        let due = table.take(next.unwrap()).unwrap();
        table.remove(&due.flow);
        table.put(vec![planned("b", every(600))], now);
        assert!(table.ended(&due.flow, now, &Report::default()).is_some());
        table.remove(&b);
        assert_eq!(table.next(), None);
    }

    #[test]
    fn a_paused_flow_runs_only_when_somebody_says_so() {
        let mut table = Timetable::default();
        let flow: Arc<str> = "a".into();
        let after = |seconds| start().plus(Duration::from_secs(seconds));
        table.pause(flow.clone());
        table.put(vec![planned("a", every(60)), planned("b", cron("30 6 * * *"))], start());
        assert_eq!(table.standing("a"), Standing { paused: true, ..Standing::default() });
        assert_eq!(table.take(after(60)), None);
        assert!(table.ask(flow.clone()) && table.ask(flow.clone()), "asked twice is asked once");
        let due = table.take(after(60)).unwrap();
        assert_eq!((&*due.flow, due.checks), ("a", false));
        assert_eq!(table.standing("a").running, Some(after(60)));
        assert!(!table.ask(flow), "it runs already");
        assert_eq!(table.take(after(60)), None);
        // A change, a look at the clock and the end of a run do not let it go on.
        table.put(vec![planned("a", every(120))], after(61));
        assert_eq!(table.ended("a", after(62), &Report::default()), None);
        table.look(after(62));
        table.look(start());
        table.put(vec![planned("a", every(60))], start());
        assert_eq!(table.standing("a").next, None);
        table.resume("a", after(600));
        let next = table.standing("a").next.unwrap();
        assert!(next.since(after(600)) <= ROOM, "what it missed is one run: {next}");
        // Pausing what runs lets it end.
        let due = table.take(after(601)).unwrap();
        table.pause(due.flow);
        assert_eq!(table.ended("a", after(602), &Report::default()), None);
        assert_eq!(table.next().unwrap().1, "b");
    }

    #[test]
    fn what_has_no_schedule_runs_when_somebody_says_so() {
        let mut table = Timetable::default();
        assert!(table.ask("guest".into()));
        let due = table.take(start()).unwrap();
        assert_eq!((&*due.flow, due.at), ("guest", start()));
        assert!(!table.ask("guest".into()));
        // It gets a schedule meanwhile, and does not run twice at once.
        table.put(vec![planned("guest", every(60))], start());
        assert_eq!(table.take(start().plus(DAY)), None);
        assert!(table.ended("guest", start().plus(DAY), &Report::default()).is_some());
        assert_eq!(table.standing("guest").running, None);
        assert!(table.ask("guest".into()));
        assert!(table.take(start().plus(DAY)).is_some());
    }

    #[test]
    fn a_clock_set_back_makes_no_wait_longer() {
        let mut table = Timetable::default();
        table.put(vec![planned("a", every(60))], start());
        table.look(start());
        let due = table.take(start().plus(ROOM)).unwrap();
        let next = table.ended(&due.flow, start().plus(ROOM), &Report::default()).unwrap();
        table.look(start().minus(DAY));
        assert_eq!(table.next().unwrap().0, next.minus(DAY).minus(ROOM));
    }

    #[test]
    fn a_flow_that_is_called_runs_when_something_came_and_waits_after_failures() {
        let mut table = Timetable::default();
        let called = Planned { called: true, ..planned("hook", every(5)) };
        table.put(vec![called], start());
        // What came before is looked for at first.
        let due = table.take(start().plus(ROOM)).unwrap();
        assert!(!due.checks);
        assert_eq!(table.ended("hook", start(), &Report::default()), None);
        assert_eq!(table.next(), None);
        assert_eq!(table.take(start().plus(DAY)), None);
        let now = start().plus(DAY);
        table.wake("hook", now);
        table.wake("hook", now.plus(ROOM));
        assert_eq!(table.take(now).unwrap().at, now);
        // What comes meanwhile is not forgotten.
        table.wake("hook", now);
        assert_eq!(table.ended("hook", now, &Report::default()), Some(now));
        table.take(now).unwrap();
        let place = Place { flow: "hook".to_owned(), step: None, account: String::new() };
        let down = Error::Unavailable { place, reason: String::new(), after: None };
        let next = table.ended("hook", now, &Report::failed(down)).unwrap();
        assert!(next > now.plus(Duration::from_secs(5)), "{next}");
        table.wake("hook", now);
        assert_eq!(table.next(), Some((next, "hook")), "what comes does not shorten the wait");
        table.take(next).unwrap();
        assert_eq!(table.ended("hook", next, &Report::default()), None);
    }
}
