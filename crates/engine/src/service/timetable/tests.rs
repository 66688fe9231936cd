//! Which flow is due when, as tables of what happens.

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
    let asks =
        |next| Report { unfinished: crate::Unfinished { messages: 1, next }, ..Report::default() };
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

#[test]
fn a_flow_with_ticks_runs_when_something_came_too_and_waits_after_failures() {
    let mut table = Timetable::default();
    let told = Planned { last: Some(start()), ..planned("told", every(3600)) };
    table.put(vec![told], start());
    let tick = table.next().unwrap().0;
    assert!(tick > start().plus(Duration::from_secs(60)));
    let came = start().plus(Duration::from_secs(30));
    table.wake("told", came);
    assert_eq!(table.next().unwrap().0, came);
    assert!(!table.take(came).unwrap().checks);
    // What comes while it runs is for the next run.
    table.wake("told", came.plus(Duration::from_secs(1)));
    table.ended("told", came.plus(Duration::from_secs(2)), &Report::default());
    let again = came.plus(Duration::from_secs(2));
    assert!(table.take(again).is_some());
    let failed = Report {
        errors: vec![crate::Error::AlreadyRunning { flow: "told".to_owned() }],
        ..Report::default()
    };
    table.ended("told", again, &failed);
    table.wake("told", again);
    assert!(table.take(again).is_none(), "it waits as its beat says");
}
