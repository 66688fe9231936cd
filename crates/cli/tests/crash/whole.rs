//! The story in full size, a row for each plan: what `cargo xtask crash` runs and shows.

#![allow(clippy::print_stdout, reason = "it shows a table to who asked for it")]

use std::str::FromStr;

use crate::plan::{self, Phase};
use crate::story::{Again, Size, Story};
use crate::{begun, play_rounds};

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

    let mut story = Story::new(size);
    let (first, later) = (story.count(Phase::First), story.count(Phase::Later));
    let mut plans = match &*points {
        "none" => vec![],
        "all" => plan::named(&first, &later, None),
        name => plan::named(&first, &later, Some(name)),
    };
    assert!(!plans.is_empty() || points == "none", "there is no point `{points}`");
    plans.extend(plan::random(&first, &later, count, seed));

    println!("\n{receivers} receivers, pages of {}, window {window}; seed {seed}\n", size.page);
    println!("| killed | at | profiles sent again | members sent again | at most | result |");
    println!("|---|---|---:|---:|---:|---|");
    let mut lost = 0;
    // Its first run is complete; one that lost something goes no further.
    let mut ongoing = Some(story);
    for plan in &plans {
        let mut story = match (plan.phase, ongoing.take()) {
            (Phase::Later, Some(story)) => story,
            (Phase::Later, None) => begun(size),
            (Phase::First, kept) => {
                ongoing = kept;
                Story::new(size)
            }
        };
        let played = story.play(plan);
        let kills: Vec<String> = plan.kills.iter().map(ToString::to_string).collect();
        let (phase, kills) = (plan.phase, kills.join(", then "));
        match &played {
            Ok(again) => {
                let result = if again.allowed > 0 { "whole" } else { "whole; it ended before" };
                println!(
                    "| {phase} | {kills} | {} | {} | {} | {result} |",
                    again.profiles, again.members, again.allowed
                );
            }
            Err(error) => {
                lost += 1;
                println!("| {phase} | {kills} | | | | LOST: {error} |");
            }
        }
        if plan.phase == Phase::Later && played.is_ok() {
            ongoing = Some(story);
        }
    }
    println!("\n{} plans, {lost} lost something", plans.len());
    assert_eq!(lost, 0);
}

#[test]
#[ignore = "it takes as long as one likes: `cargo xtask crash --rounds N` runs it"]
fn slow_rounds() {
    let (rounds, seed, first) = (given("ROUNDS", 500), given("SEED", 1), given("ROUND", 0));
    println!("\n{rounds} rounds from {first} of seed {seed}\n");
    println!(
        "| round | what befalls it | profiles sent again | members sent again | at most | result |"
    );
    println!("|---:|---|---:|---:|---:|---|");
    let mut lost = 0;
    // A few at a time, so that rows come while others are played.
    for from in (first..first + rounds).step_by(24) {
        for (number, round, played) in play_rounds(seed, from..(from + 24).min(first + rounds), 6) {
            match played {
                Ok(Again { profiles, members, allowed }) => {
                    println!("| {number} | {round} | {profiles} | {members} | {allowed} | whole |");
                }
                Err(error) => {
                    lost += 1;
                    println!("| {number} | {round} | | | | LOST: {error} |");
                }
            }
        }
    }
    println!("\n{rounds} rounds, {lost} lost something");
    println!("replay one: cargo xtask crash --seed {seed} --round N");
    assert_eq!(lost, 0);
}
