//! The binary killed by SIGKILL at named points and at random moments: nothing is lost, and
//! nothing is sent again but batches of pages that were not committed. What must not be sent twice
//! arrives exactly once, or is reported in doubt.
//!
//! The ordinary tests kill a small story at every point, one process after another.
//! `cargo xtask crash` runs `whole`: a story of full size, a row for each plan.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod child;
mod kept;
mod ledger;
mod plan;
mod rounds;
mod story;
mod whole;

use std::collections::BTreeSet;

use crate::plan::{Kill, Phase, Plan};
use crate::rounds::Played;
use crate::story::{InDoubt, Size, Story};

const fn small(window: usize) -> Size {
    Size { receivers: 120, page: 10, window }
}

#[test]
fn the_points_that_runs_come_to_are_the_points_that_are_listed() {
    let mut story = Story::new(small(4), InDoubt::Hold);
    let first = story.count(Phase::First);
    let later = story.count(Phase::Later);
    let passed: BTreeSet<&str> = first.keys().chain(later.keys()).map(String::as_str).collect();
    let listed: BTreeSet<&str> =
        plan::names().filter(|name| !plan::is_behind_a_crash(name)).collect();
    assert_eq!(passed, listed);
}

#[test]
fn a_point_that_there_is_not_is_refused() {
    let story = Story::new(Size { receivers: 1, ..small(1) }, InDoubt::Hold);
    for wrong in ["engine.nowhere:1", "engine.run.done", "engine.run.done:0"] {
        let ran = child::run(story.command(Phase::First), Some(&Kill::At(wrong.to_owned())));
        assert_eq!(ran.code, Some(4), "{wrong}: {:?}", ran.said);
        assert!(ran.said.concat().contains("TOWPATH_HOLD_AT"), "{:?}", ran.said);
    }
}

/// Kills the first runs of a project at some points, each the first time that it comes there.
fn kill_first_runs(points: &'static [(&'static str, &'static str)]) {
    let points: Vec<&str> = plan::told(points).filter(|it| !plan::LATER.contains(it)).collect();
    for (window, some) in [1, 4].into_iter().flat_map(|it| points.chunks(4).map(move |s| (it, s))) {
        let kills = some.iter().flat_map(|point| plan::first_of(point)).collect();
        let mut story = Story::new(small(window), InDoubt::Hold);
        survive(&mut story, &Plan { phase: Phase::First, kills });
    }
}

/// Kills polls and sweeps of one project at some points.
fn kill_later_runs(points: &'static [(&'static str, &'static str)], window: usize) {
    let points: Vec<&str> = plan::told(points).collect();
    let mut story = begun(small(window));
    for some in points.chunks(6) {
        let kills = some.iter().flat_map(|point| plan::first_of(point)).collect();
        survive(&mut story, &Plan { phase: Phase::Later, kills });
    }
}

#[track_caller]
fn survive(story: &mut Story, plan: &Plan) {
    let lost = story.play(plan).err();
    assert!(lost.is_none(), "{plan:?}: {}", lost.unwrap_or_default());
}

#[test]
fn a_first_run_survives_being_killed_at_points_of_the_engine() {
    kill_first_runs(engine::POINTS);
}

#[test]
fn a_first_run_survives_being_killed_at_points_of_the_store() {
    kill_first_runs(store::POINTS);
}

#[test]
fn polls_and_sweeps_survive_being_killed_at_points_of_the_engine() {
    kill_later_runs(engine::POINTS, 4);
}

#[test]
fn polls_and_sweeps_survive_being_killed_at_points_of_the_store() {
    kill_later_runs(store::POINTS, 1);
}

/// A story whose first run is complete.
fn begun(size: Size) -> Story {
    let mut story = Story::new(size, InDoubt::Hold);
    story.begin();
    story
}

#[test]
fn thirty_rounds_lose_nothing_while_processes_die_and_systems_misbehave() {
    rounds::play(1, 0..30, small(4), |Played { number, round, end }| {
        assert!(end.is_ok(), "round {number}, {round}: {}", end.unwrap_err());
    });
}

#[test]
fn a_sweep_survives_being_killed_in_its_middle() {
    let mut story = begun(small(1));
    // The poll before it commits three pages at most.
    for point in ["engine.page.delivered", "engine.commit.done", "store.head.written"] {
        let kills = vec![plan::at(point, 6)];
        survive(&mut story, &Plan { phase: Phase::Later, kills });
    }
}
