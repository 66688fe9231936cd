//! The story in full size, a row for each plan: what `cargo xtask crash` runs and shows.

#![allow(clippy::print_stdout, reason = "it shows a table to who asked for it")]

use std::str::FromStr;
use std::time::Instant;

use crate::ledger::Again;
use crate::plan::{self, Phase};
use crate::rounds::{self, Played};
use crate::story::{InDoubt, Size, Story};
use crate::{begun, small};

/// What the environment says, or this.
fn given<T: FromStr>(name: &str, otherwise: T) -> T {
    let text = std::env::var(format!("TOWPATH_CRASH_{name}")).ok();
    text.map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("TOWPATH_CRASH_{name} is `{text}`"))
    })
}

#[test]
#[ignore = "it takes minutes: `cargo xtask crash` runs it"]
fn slow_whole() {
    let receivers = given("RECEIVERS", 10_000);
    let points = given("POINTS", "all".to_owned());
    let (count, seed) = (given("RANDOM", 10), given("SEED", 1));
    // Ten pages, and a last one if that does not come out even.
    let window = given("WINDOW", 4);
    let size = Size { receivers, page: (receivers / 10).max(1), window };

    let mut story = Story::new(size, InDoubt::Hold);
    let (first, later) = (story.count(Phase::First), story.count(Phase::Later));
    let mut plans = match &*points {
        "none" => vec![],
        "all" => plan::named(&first, &later, None),
        name => plan::named(&first, &later, Some(name)),
    };
    assert!(!plans.is_empty() || points == "none", "there is no point `{points}`");
    plans.extend(plan::random(&first, &later, count, seed));

    println!("\n{receivers} receivers, pages of {}, window {window}; seed {seed}\n", size.page);
    println!(
        "| killed | at | profiles sent again | members sent again | at most | events in doubt \
         | result |"
    );
    println!("|---|---|---:|---:|---:|---:|---|");
    let mut broken = 0;
    // Its first run is complete; one that lost something goes no further.
    let mut ongoing = Some(story);
    for plan in &plans {
        let mut story = match (plan.phase, ongoing.take()) {
            (Phase::Later, Some(story)) => story,
            (Phase::Later, None) => begun(size),
            (Phase::First, kept) => {
                ongoing = kept;
                Story::new(size, InDoubt::Hold)
            }
        };
        let played = story.play(plan);
        let kills: Vec<String> = plan.kills.iter().map(ToString::to_string).collect();
        let (phase, kills) = (plan.phase, kills.join(", then "));
        match &played {
            Ok(again) => {
                let allowed = again.allowed.messages;
                let result = if allowed > 0 { "whole" } else { "whole; it ended before" };
                println!(
                    "| {phase} | {kills} | {} | {} | {allowed} | {} | {result} |",
                    again.profiles, again.members, again.in_doubt
                );
            }
            Err(error) => {
                broken += 1;
                println!("| {phase} | {kills} | | | | | BROKEN: {error} |");
            }
        }
        if plan.phase == Phase::Later && played.is_ok() {
            ongoing = Some(story);
        }
    }
    println!("\n{} plans, {broken} lost or repeated something", plans.len());
    assert_eq!(broken, 0);
}

#[test]
#[ignore = "it takes as long as one likes: `cargo xtask crash --rounds N` runs it"]
fn slow_rounds() {
    let (rounds, seed, first) = (given("ROUNDS", 500), given("SEED", 1), given("ROUND", 0));
    println!("\n{rounds} rounds from {first} of seed {seed}\n");
    println!(
        "| round | what befalls it | profiles sent again | members sent again | at most \
         | events in doubt | events sent again, as told | result |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---|");
    let begun = Instant::now();
    let (mut broken, mut sums) = (0, Again::default());
    rounds::play(
        seed,
        first..first + rounds,
        small(4),
        |Played { number, round, end }| match end {
            Ok(again) => {
                let Again { profiles, members, events, in_doubt, allowed } = again;
                println!(
                    "| {number} | {round} | {profiles} | {members} | {} | {in_doubt} | {events} \
                 | whole |",
                    allowed.messages
                );
                sums = sums.plus(again);
            }
            Err(error) => {
                broken += 1;
                println!("| {number} | {round} | | | | | | BROKEN: {error} |");
            }
        },
    );
    println!("\n{rounds} rounds in {:.0} s, {broken} lost or repeated something", {
        begun.elapsed().as_secs_f64()
    });
    println!(
        "sent again: {} profiles and {} members, of {} allowed each; {} events as told; {} events \
         in doubt",
        sums.profiles, sums.members, sums.allowed.messages, sums.events, sums.in_doubt
    );
    println!("replay one: cargo xtask crash --seed {seed} --round N");
    assert_eq!(broken, 0);
}
