//! Where processes are killed: at named, counted points, or at random moments.

use std::fmt;
use std::time::Duration;

use crate::child::Passed;

/// Where one process is killed.
#[derive(Clone, Debug)]
pub(crate) enum Kill {
    /// Held at `NAME:N`, and killed there: replays exactly.
    At(String),
    /// Killed so long after it came to so many points of any name: replays as a plan.
    After { points: u64, wait: Duration },
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(place) => f.write_str(place),
            Self::After { points, wait } => {
                write!(f, "{:.1} ms after point {points}", wait.as_secs_f64() * 1000.0)
            }
        }
    }
}

/// Which run is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first, which finds everything new.
    First,
    /// A later one, which finds edits with and without a timestamp, and what is gone: a poll, then
    /// a sweep.
    Later,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::First { "first run" } else { "poll and sweep" })
    }
}

/// Processes killed one after another, before one may come to its end.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) phase: Phase,
    pub(crate) kills: Vec<Kill>,
}

/// All points that the story may come to.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    told(engine::POINTS).chain(told(store::POINTS))
}

/// Those of a list that the story may come to.
pub(crate) fn told(
    points: &'static [(&'static str, &'static str)],
) -> impl Iterator<Item = &'static str> {
    let is_elsewhere = |name: &&str| ELSEWHERE.iter().any(|begins| name.starts_with(begins));
    points.iter().map(|(name, _)| *name).filter(move |name| !is_elsewhere(name))
}

/// No system that the binary has a connector for finishes later what it takes, so no run of it comes
/// to these. `the_processes_die_at_every_point` of the simulation kills there. Nor does a run build a
/// store anew, or is this flow one that is called: tests of their own do that.
const ELSEWHERE: &[&str] = &["engine.check.", "engine.parked.", "store.copy.", "store.inbox."];

/// A plan for each point in each phase that comes to it: the middle one of its times.
pub(crate) fn named(first: &Passed, later: &Passed, only: Option<&str>) -> Vec<Plan> {
    let mut plans = vec![];
    for (phase, passed) in [(Phase::First, first), (Phase::Later, later)] {
        for name in names().filter(|name| only.is_none_or(|only| only == *name)) {
            if phase == Phase::First && LATER.contains(&name) {
                continue;
            }
            if is_behind_a_crash(name) {
                plans.push(Plan { phase, kills: first_of(name) });
            } else if let Some(times) = passed.get(name) {
                plans.push(Plan { phase, kills: vec![at(name, times.div_ceil(2))] });
            }
        }
    }
    plans
}

/// What a first run does not come to: it finds nothing to sweep, nothing gone, and little to clean
/// up.
pub(crate) const LATER: &[&str] = &[
    "engine.deletes.delivered",
    "engine.deletes.known",
    "engine.deletes.marked",
    "engine.names.kept",
    "engine.sweep.fetched",
    "engine.sweep.next",
    "store.blocks.rolled",
    "store.file.written",
    "store.leftovers.found",
    "store.obsolete.deleted",
    "store.piece.written",
    "store.seen.replaced",
];

/// What runs come to only behind a crash, and where that has to be.
const BEHIND: &[(&str, &str)] = &[
    ("engine.journal.resolved", "engine.outcome.next"),
    ("store.leftovers.found", "store.head.next"),
];

/// Whether a run comes to a point only behind one that was killed.
pub(crate) fn is_behind_a_crash(name: &str) -> bool {
    BEHIND.iter().any(|(behind, _)| *behind == name)
}

/// Kills at the first time of a point, behind a crash where it takes one.
pub(crate) fn first_of(name: &str) -> Vec<Kill> {
    let before = BEHIND.iter().find(|(behind, _)| *behind == name);
    let before = before.map(|(_, before)| at(before, 1));
    before.into_iter().chain([at(name, 1)]).collect()
}

pub(crate) fn at(name: &str, time: u64) -> Kill {
    Kill::At(format!("{name}:{time}"))
}

/// So many random plans; the same seed gives the same ones.
pub(crate) fn random(first: &Passed, later: &Passed, count: usize, seed: u64) -> Vec<Plan> {
    let mut random = Random(seed);
    let plan = |_| {
        let (phase, passed) = match random.below(2) {
            0 => (Phase::First, first),
            _ => (Phase::Later, later),
        };
        // A run need not come to quite as many points as the one that was counted.
        let points = 1 + random.below((passed.values().sum::<u64>() * 9 / 10).max(1));
        let wait = Duration::from_micros(random.below(20_000));
        Plan { phase, kills: vec![Kill::After { points, wait }] }
    };
    (0..count).map(plan).collect()
}

/// Splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}
