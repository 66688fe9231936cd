//! A seed's story: troubles, then calm; in the end everything is where it belongs.

use std::sync::{Arc, Mutex};

use engine::Report;
use flow::Flow;
use store::{MasterKey, MemoryStore};

use crate::model::FLOW;
use crate::numbers::Numbers;
use crate::process::{self, Act};
use crate::shape::{SWEEP, Shape};
use crate::world::{self, Ends, Faults, Print, World, lock};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// After so many runs without any trouble, everything must have arrived.
const CALM_WITHIN: usize = 8;

/// What a seed came to.
#[derive(Debug)]
pub(crate) struct Told {
    /// What is not as it must be.
    pub(crate) broken: Option<String>,
    /// Stands for everything that happened, in its order.
    pub(crate) digest: u64,
    pub(crate) trace: Vec<String>,
    pub(crate) processes: usize,
    pub(crate) sent: usize,
    /// Where processes were killed.
    pub(crate) killed: Vec<&'static str>,
}

struct Story {
    world: Arc<Mutex<World>>,
    /// Where every process dies in which things go wrong.
    dies_at: Option<&'static str>,
    flow: Arc<Flow>,
    processes: usize,
}

/// Tells the story of a seed; the same one every time.
pub(crate) fn tell(seed: u64, traces: bool) -> Told {
    tell_dying(seed, None, traces)
}

/// The same with processes that die when they come to a point, where things go wrong.
pub(crate) fn tell_dying(seed: u64, dies_at: Option<&'static str>, traces: bool) -> Told {
    // Waits are jittered by these numbers.
    fastrand::seed(seed);
    let mut numbers = Numbers::of(seed);
    let shape = Shape::of(&mut numbers);
    let flow = shape.flow();
    assert_eq!(flow.name, FLOW);
    let store = MemoryStore::new(MasterKey::from_text(KEY).unwrap());
    let world = world::enter(World::of(shape, numbers, store, traces));
    let mut story = Story { world, dies_at, flow, processes: 0 };
    let end = story.play();
    let mut world = lock(&story.world);
    if let Err(what) = end {
        world.breaks(|| what);
    }
    let shape = format!("{:?}", world.shape);
    if let Some(trace) = &mut world.trace {
        trace.insert(0, shape);
    }
    Told {
        broken: world.broken.take(),
        digest: world.digest,
        trace: world.trace.take().unwrap_or_default(),
        processes: story.processes,
        sent: world.sent,
        killed: std::mem::take(&mut world.killed),
    }
}

impl Story {
    fn play(&mut self) -> Result<(), String> {
        let episodes = lock(&self.world).numbers.one_of(&[1, 1, 1, 2]);
        for _ in 0..episodes {
            let troubles = lock(&self.world).numbers.below(4);
            for _ in 0..troubles {
                self.trouble()?;
            }
            self.calm_down()?;
        }
        Ok(())
    }

    fn run(
        &mut self,
        act: Option<Act>,
        times: usize,
        ends: Ends,
    ) -> Result<Option<Report>, String> {
        self.processes += 1;
        let report = process::run(&self.world, &self.flow, act, times, ends);
        match lock(&self.world).broken.clone() {
            Some(broken) => Err(broken),
            None => Ok(report),
        }
    }

    /// A process in which things go wrong.
    fn trouble(&mut self) -> Result<(), String> {
        let mut world = lock(&self.world);
        let changes = world.numbers.below(6);
        world.move_on(changes);
        self.pass(&mut world);
        let numbers = &mut world.numbers;
        let faults = Faults {
            polls: numbers.one_of(&[0, 0, 30, 200]),
            sends: numbers.one_of(&[0, 30, 100, 300]),
            changes: numbers.one_of(&[0, 20, 100]),
            jumps: numbers.one_of(&[0, 0, 0, 20]),
        };
        let mut ends = Ends::default();
        let at = 1 + numbers.below(60);
        let mut fails_after = usize::MAX;
        match numbers.below(5) {
            0 => {}
            1 if at.is_multiple_of(2) => ends.kill = Some(at),
            1 => ends.kill_at = Some(numbers.one_of(engine::POINTS).0),
            2 => ends.stop = Some(at),
            kind => {
                fails_after = numbers.below(40);
                ends.with_store = kind == 3;
                ends.heal = Some(at);
            }
        }
        if let Some(point) = self.dies_at {
            (ends, fails_after) = (Ends { kill_at: Some(point), ..Ends::default() }, usize::MAX);
        }
        let times = 1 + numbers.below(2);
        let seconds = numbers.one_of(&[0, 2, 70, 10_000]);
        let act = match numbers.below(12) {
            0..3 => Some(Act::Replay),
            3 => Some(Act::Rewind(seconds)),
            4 | 5 => Some(Act::Backfill(seconds)),
            6 => Some(Act::StopBackfill),
            _ => None,
        };
        if matches!(act, Some(Act::Replay)) && numbers.below(2) == 0 {
            // What was refused is taken from now on.
            world.shape.refuses = 0;
        }
        world.faults = faults;
        world.fails_after = fails_after;
        drop(world);
        self.run(act, times, ends)?;
        Ok(())
    }

    /// Time passes between two processes.
    fn pass(&self, world: &mut World) {
        let seconds = world.numbers.one_of(&[0, 1, 5, 70, 4_000]);
        world.base += seconds * 1000;
    }

    /// Nothing goes wrong any more: soon everything has arrived, and then nothing is sent.
    fn calm_down(&mut self) -> Result<(), String> {
        let hours = i64::try_from(2 * SWEEP.as_millis()).unwrap();
        {
            let mut world = lock(&self.world);
            let changes = world.numbers.below(4);
            world.move_on(changes);
            world.faults = Faults::default();
            world.fails_after = usize::MAX;
        }
        // After a clock that was wrong, a sweep may be due only next time; what is gone is told once
        // two of them missed it.
        let enough = if lock(&self.world).shape.deletes { 3 } else { 2 };
        let (mut said, mut clean) = (vec![], 0);
        for _ in 0..CALM_WITHIN {
            lock(&self.world).base += hours;
            let report = self.run(None, 1, Ends::default())?.ok_or("a calm process died")?;
            said = report.errors;
            clean = if said.is_empty() { clean + 1 } else { 0 };
            if clean == enough && lock(&self.world).model.parked.is_empty() {
                break;
            }
        }
        if !said.is_empty() {
            return Err(format!("it does not come to rest: {said:?}"));
        }
        if let Some((value, step)) = lock(&self.world).model.parked.values().next() {
            return Err(format!("{value} waits at step {step} for ever"));
        }
        self.arrived()?;
        let sent = {
            let mut world = lock(&self.world);
            world.base += hours;
            world.sent
        };
        self.run(None, 1, Ends::default())?;
        if lock(&self.world).sent != sent {
            return Err("something is sent although nothing changed".to_owned());
        }
        Ok(())
    }

    /// Everything that is there was settled, and the last value of each record arrived last.
    fn arrived(&self) -> Result<(), String> {
        let world = lock(&self.world);
        for (place, held) in world.wanted() {
            let value = held.value;
            if !world.is_settled(value, &world.model) {
                return Err(format!("{value} of {place:?} is lost"));
            }
            if !world.model.knows(world.prints[&value])
                && world.shape.changes != connector::Changes::Timestamps
            {
                return Err(format!("{value} of {place:?} is not remembered"));
            }
            if let Some(done) = world.asked.due.get(&value) {
                for step in world.shape.first() {
                    let target = &world.targets[*step];
                    let again = target.done.get(&value).is_some_and(|times| *times > done[*step]);
                    let elsewhere = world.shape.is_filtered(*step, value)
                        || world.shape.is_parked(*step, value)
                        || world.model.has_letter(value);
                    if !again && !elsewhere && world.held.len() == 1 {
                        return Err(format!(
                            "{value} of {place:?} was asked for and not sent again"
                        ));
                    }
                }
            }
            for (step, target) in world.targets.iter().enumerate() {
                let last = target.last.get(&place).copied();
                let in_order = !world.shape.is_behind_a_park(step);
                if in_order && target.done.contains_key(&value) && last != Some(value) {
                    return Err(format!("{place:?} is {last:?} at step {step} instead of {value}"));
                }
            }
        }
        let is_gone = |print: &Print| {
            let value = world.values.get(print);
            value.is_some_and(|value| !world.is_there(world.changes[value]))
        };
        let left = world.model.prints().filter(|_| world.shape.deletes).find(is_gone);
        left.map_or(Ok(()), |print| {
            Err(format!("nobody was told that {:?} is gone", world.places[&print.key]))
        })
    }
}
