//! The real engine in made-up worlds, one a seed: a single thread, a clock that is turned, a store
//! that stops between any two writes, systems that do everything wrong that systems do.
//!
//! After every step the invariants are looked at: what a commit holds is settled, what is not
//! settled is found again, records keep their order, what was committed is not sent again, counts
//! add up. A seed that breaks one is told again with all its steps; it is the same every time.
//!
//! The ordinary tests tell some hundred seeds, `cargo xtask simulate` as many as one likes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "it shows what it found to who asked for it")]

mod model;
mod numbers;
mod process;
mod scripted;
mod shape;
mod story;
mod witness;
mod world;

use std::time::{Duration, Instant};

use crate::story::tell;

/// A seed that breaks something is told again, with its trace.
#[track_caller]
fn hold(seed: u64) -> story::Told {
    let told = tell(seed, false);
    if let Some(broken) = &told.broken {
        let again = tell(seed, true);
        panic!(
            "{}\n\nseed {seed}: {broken}\nreplay: cargo xtask simulate --seed {seed}\n",
            again.trace.join("\n")
        );
    }
    told
}

/// Seeds beyond the first ones that broke something once.
const BROKE_ONCE: [u64; 1] = [1528];

#[test]
fn every_invariant_holds_in_every_world() {
    for seed in (0..given("SEEDS", 600)).chain(BROKE_ONCE) {
        hold(seed);
    }
}

#[test]
fn a_seed_is_the_same_every_time() {
    for seed in 0..100 {
        let (first, again) = (tell(seed, false), tell(seed, true));
        assert_eq!((first.digest, first.sent), (again.digest, again.sent), "seed {seed}");
    }
}

#[test]
#[ignore = "it takes as long as one likes: `cargo xtask simulate` runs it"]
fn slow_simulate() {
    let (seeds, first) = (given("SEEDS", 10_000), given("SEED", 0));
    let limit = Duration::from_secs(60 * given("MINUTES", 60 * 24));
    let begun = Instant::now();
    let (mut told, mut processes, mut sent) = (0, 0, 0);
    for seed in first..first.saturating_add(seeds) {
        if begun.elapsed() > limit {
            break;
        }
        let story = hold(seed);
        (told, processes, sent) = (told + 1, processes + story.processes, sent + story.sent);
    }
    let took = begun.elapsed().as_secs_f64();
    let pace = f64::from(told) / took * 60.0;
    println!("{told} seeds from {first} hold: {processes} processes, {sent} messages sent");
    println!("{took:.1} s, {pace:.0} seeds a minute");
}

/// What the environment says, or this.
fn given(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(format!("TOWPATH_SIMULATE_{name}")).ok();
    text.map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("TOWPATH_SIMULATE_{name} is `{text}`"))
    })
}
