//! The binary killed by SIGKILL at named points and at random moments: nothing is lost, and
//! nothing is sent again but batches of pages that were not committed.
//!
//! The ordinary tests kill a small story at every point, one process after another.
//! `cargo xtask crash` runs `whole`: a story of full size, a row for each plan.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod child;
mod plan;
mod rounds;
mod story;
mod whole;

use std::collections::BTreeSet;
use std::ops::Range;

use crate::plan::{Kill, LEFTOVERS, Phase, Plan};
use crate::rounds::Round;
use crate::story::{Again, Size, Story};

const fn small(window: usize) -> Size {
    Size { receivers: 120, page: 10, window }
}

#[test]
fn the_points_that_runs_come_to_are_the_points_that_are_listed() {
    let mut story = Story::new(small(4));
    let first = story.count(Phase::First);
    let later = story.count(Phase::Later);
    let passed: BTreeSet<&str> = first.keys().chain(later.keys()).map(String::as_str).collect();
    let listed: BTreeSet<&str> = plan::names().filter(|name| *name != LEFTOVERS).collect();
    assert_eq!(passed, listed);
}

#[test]
fn a_point_that_there_is_not_is_refused() {
    let story = Story::new(Size { receivers: 1, ..small(1) });
    for wrong in ["engine.nowhere:1", "engine.run.done", "engine.run.done:0"] {
        let ran = child::run(story.command(), Some(&Kill::At(wrong.to_owned())));
        assert_eq!(ran.code, Some(4), "{wrong}: {:?}", ran.said);
        assert!(ran.said.concat().contains("TOWPATH_HOLD_AT"), "{:?}", ran.said);
    }
}

/// Kills the first runs of a project at some points, each the first time that it comes there.
fn kill_first_runs(points: &'static [(&'static str, &'static str)]) {
    let points: Vec<&str> = plan::told(points).filter(|it| !plan::LATER.contains(it)).collect();
    for (window, some) in [1, 4].into_iter().flat_map(|it| points.chunks(4).map(move |s| (it, s))) {
        let kills = some.iter().map(|point| plan::at(point, 1)).collect();
        survive(&mut Story::new(small(window)), &Plan { phase: Phase::First, kills });
    }
}

/// Kills polls and sweeps of one project at some points.
fn kill_later_runs(points: &'static [(&'static str, &'static str)], window: usize) {
    let points: Vec<&str> = plan::told(points).collect();
    let mut story = Story::new(small(window));
    survive(&mut story, &Plan { phase: Phase::First, kills: vec![] });
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

/// Rounds of one story after another, several stories at once; gives a row a round.
fn play_rounds(seed: u64, numbers: Range<u64>, stories: u64) -> Vec<(u64, Round, Played)> {
    let of_story = |story: u64| {
        let mut rows = vec![];
        let mut ongoing = None;
        for number in numbers.clone().filter(|number| number % stories == story) {
            let mut story = ongoing.take().unwrap_or_else(|| begun(small(4)));
            let round = Round::of(seed, number);
            let played = story.play_round(&round);
            // A story that lost something goes no further.
            ongoing = played.is_ok().then_some(story);
            rows.push((number, round, played));
        }
        rows
    };
    std::thread::scope(|scope| {
        let running: Vec<_> =
            (0..stories).map(|story| scope.spawn(move || of_story(story))).collect();
        let rows = running.into_iter().flat_map(|story| story.join().unwrap());
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|(number, ..)| *number);
        rows
    })
}

type Played = Result<Again, String>;

/// A story whose first run is complete.
fn begun(size: Size) -> Story {
    let mut story = Story::new(size);
    story.play(&Plan { phase: Phase::First, kills: vec![] }).unwrap();
    story
}

#[test]
fn thirty_rounds_lose_nothing_while_processes_die_and_systems_misbehave() {
    for (number, round, played) in play_rounds(1, 0..30, 6) {
        assert!(played.is_ok(), "round {number}, {round}: {}", played.unwrap_err());
    }
}

#[test]
fn a_sweep_survives_being_killed_in_its_middle() {
    let mut story = Story::new(small(1));
    survive(&mut story, &Plan { phase: Phase::First, kills: vec![] });
    // The poll before it commits three pages at most.
    for point in ["engine.page.delivered", "engine.commit.done", "store.head.written"] {
        let kills = vec![plan::at(point, 6)];
        survive(&mut story, &Plan { phase: Phase::Later, kills });
    }
}
