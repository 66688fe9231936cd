//! The real engine in made-up worlds, one a seed: a single thread, a clock that is turned, a store
//! that stops between any two writes, systems that do everything wrong that systems do.
//!
//! After every step the invariants are looked at: what a commit holds is settled, what is not
//! settled is found again, records keep their order, what was committed is not sent again, counts
//! add up. Operators replay dead letters, rewind and begin backfills in between, and what goes is
//! told, when it is gone and once. A seed that breaks one is told again with all its steps; it is
//! the same every time.
//!
//! The ordinary tests tell some hundred seeds, `cargo xtask simulate` as many as one likes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "it shows what it found to who asked for it")]

mod model;
mod numbers;
mod presence;
mod process;
mod scripted;
mod shape;
mod story;
mod witness;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::numbers::Numbers;
use crate::shape::Shape;
use crate::story::{tell, tell_dying};

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

/// Seeds beyond the first ones that broke something once: rewinds while a partition was read whole for
/// the first time, a backfill of one that was not listed afterwards, clocks that were a year off.
const BROKE_ONCE: [u64; 6] = [9833, 30_527, 36_342, 46_496, 46_847, 52_593];

#[test]
fn every_invariant_holds_in_every_world() {
    for seed in (0..given("SEEDS", 400)).chain(BROKE_ONCE) {
        hold(seed);
    }
}

/// Too many names for a world of this size would have to be forgotten.
const NOT_REACHED: &str = "engine.names.kept";

/// Whether a seed's world has what leads to a point.
fn may_come_to(point: &str, seed: u64) -> bool {
    let shape = Shape::of(&mut Numbers::of(seed));
    match point.split('.').nth(1).unwrap_or_default() {
        "check" | "parked" => shape.parks,
        "deletes" => shape.deletes,
        "intent" | "journal" | "outcome" => shape.once[0],
        "sweep" => shape.changes == connector::Changes::Both,
        _ => true,
    }
}

#[test]
fn the_processes_die_at_every_point() {
    for (point, _) in engine::POINTS.iter().filter(|(name, _)| *name != NOT_REACHED) {
        let died = (0..800).filter(|seed| may_come_to(point, *seed)).find(|seed| {
            let told = tell_dying(*seed, Some(point), false);
            assert_eq!(told.broken, None, "seed {seed}, killed at {point}");
            told.killed.contains(point)
        });
        assert!(died.is_some(), "no process came to {point}");
    }
}

#[test]
fn a_seed_is_the_same_every_time() {
    for seed in 0..60 {
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
    let next = AtomicU64::new(first);
    let (say, told) = mpsc::channel();
    std::thread::scope(|scope| {
        // A seed is told by one thread alone, whichever it is.
        for _ in 0..given("THREADS", 2) {
            let (say, next) = (say.clone(), &next);
            scope.spawn(move || {
                while begun.elapsed() < limit {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first.saturating_add(seeds) {
                        return;
                    }
                    drop(say.send((seed, tell(seed, false))));
                }
            });
        }
        drop(say);
    });
    let (mut hold, mut processes, mut sent, mut broken) = (0_u32, 0, 0, vec![]);
    for (seed, story) in told {
        match story.broken {
            None => hold += 1,
            Some(what) => broken.push((seed, what)),
        }
        (processes, sent) = (processes + story.processes, sent + story.sent);
    }
    let took = begun.elapsed().as_secs_f64();
    let pace = f64::from(hold) / took * 60.0;
    println!("{hold} seeds from {first} hold: {processes} processes, {sent} messages sent");
    println!("{took:.1} s, {pace:.0} seeds a minute");
    broken.sort_unstable();
    for (seed, what) in &broken {
        println!("seed {seed}: {what}");
    }
    if let Some((seed, _)) = broken.first() {
        self::hold(*seed);
    }
}

/// What the environment says, or this.
fn given(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(format!("TOWPATH_SIMULATE_{name}")).ok();
    text.map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("TOWPATH_SIMULATE_{name} is `{text}`"))
    })
}
