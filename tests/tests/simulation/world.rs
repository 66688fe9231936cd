//! The world of one seed: what the system holds, what arrived, what goes wrong, and the first
//! thing that is not as it must be.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::Stopper;
use store::{MemoryStore, Store};
use tokio::sync::Notify;

use crate::model::Model;
use crate::numbers::Numbers;
use crate::presence::Presence;
use crate::shape::{self, Shape};

/// A record's partition and key.
pub(crate) type Place = (usize, u32);

/// A record as the system holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// In seconds.
    pub(crate) version: i64,
    /// Every change has a value of its own, and later ones have higher values.
    pub(crate) value: i64,
    /// Whether its version tells of the change.
    pub(crate) shown: bool,
}

/// What the engine's store knows a change by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Print {
    pub(crate) key: [u8; 16],
    pub(crate) content: [u8; 8],
}

/// What a step's system was sent.
#[derive(Debug, Default)]
pub(crate) struct Target {
    /// How often each value was carried out.
    pub(crate) done: HashMap<i64, u32>,
    /// What was refused for good.
    pub(crate) refused: HashSet<i64>,
    /// The newest value of each record that was carried out or taken.
    pub(crate) last: BTreeMap<Place, i64>,
    /// The records of calls under way.
    pub(crate) under_way: HashSet<Place>,
}

impl Target {
    /// Takes a value over.
    pub(crate) fn take(&mut self, place: Place, value: i64) {
        let last = self.last.entry(place).or_insert(value);
        *last = value.max(*last);
    }
}

/// What operators asked for again.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// From which version on, in seconds, each time that what was settled was to be sent again.
    pub(crate) from: Vec<i64>,
    /// What has to be carried out more often than so many times by the first steps.
    pub(crate) due: HashMap<i64, [u32; 2]>,
    /// How often what was in doubt was sent by a replay, by value and step.
    pub(crate) replayed: HashMap<(i64, usize), u32>,
    /// Whether a replay is under way.
    pub(crate) replays: bool,
}

/// How often in a thousand what goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) polls: usize,
    pub(crate) sends: usize,
    /// Changes while a run goes on.
    pub(crate) changes: usize,
    /// Jumps of the engine's clock.
    pub(crate) jumps: usize,
}

/// What a process is stopped by.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// How many points it may come to before it is killed.
    pub(crate) kill: Option<usize>,
    /// The point that it is killed at when it comes there.
    pub(crate) kill_at: Option<&'static str>,
    /// How many points it may come to before it is told to stop.
    pub(crate) stop: Option<usize>,
    /// Whether a store that fails ends it.
    pub(crate) with_store: bool,
    /// After so many points a store that fails is well again.
    pub(crate) heal: Option<usize>,
    pub(crate) stopper: Option<Stopper>,
}

pub(crate) struct World {
    pub(crate) shape: Shape,
    pub(crate) numbers: Numbers,
    /// What the system holds, by partition; one that is not listed keeps its records.
    pub(crate) held: Vec<BTreeMap<u32, Held>>,
    pub(crate) listed: Vec<bool>,
    /// Which record each value belongs to.
    pub(crate) changes: HashMap<i64, Place>,
    pub(crate) prints: HashMap<i64, Print>,
    pub(crate) values: HashMap<Print, i64>,
    /// In seconds.
    pub(crate) versions: HashMap<i64, i64>,
    /// What the store knows records by.
    pub(crate) places: HashMap<[u8; 16], Place>,
    /// Which records are there, and since when.
    pub(crate) presence: Presence,
    pub(crate) targets: Vec<Target>,
    /// What operators asked for again.
    pub(crate) asked: Asked,
    /// What was sent and is not committed.
    pub(crate) open: HashSet<i64>,
    pub(crate) faults: Faults,
    /// After so many writes the store fails.
    pub(crate) fails_after: usize,
    pub(crate) ends: Ends,
    /// How many points the process came to.
    pub(crate) points: usize,
    pub(crate) dead: bool,
    /// Where processes were killed.
    pub(crate) killed: Vec<&'static str>,
    pub(crate) death: Arc<Notify>,
    pub(crate) store: MemoryStore,
    pub(crate) model: Model,
    /// What will be committed if the commit under way holds, and from which version on it asks for
    /// what was settled.
    pub(crate) pending: Option<(Model, Option<i64>)>,
    /// The system's clock when the process began, in milliseconds.
    pub(crate) base: i64,
    /// When the process began.
    pub(crate) started: Option<tokio::time::Instant>,
    /// How far the engine's clock is ahead of the system's.
    pub(crate) ahead: i64,
    pub(crate) sent: usize,
    pub(crate) broken: Option<String>,
    /// What happened, as a number and, where it is asked for, as text.
    pub(crate) digest: u64,
    pub(crate) trace: Option<Vec<String>>,
}

thread_local! {
    static WORLD: RefCell<Option<Arc<Mutex<World>>>> = const { RefCell::new(None) };
}

/// Makes a world this thread's.
pub(crate) fn enter(world: World) -> Arc<Mutex<World>> {
    let world = Arc::new(Mutex::new(world));
    WORLD.set(Some(world.clone()));
    world
}

/// The world of this thread.
pub(crate) fn world() -> Arc<Mutex<World>> {
    WORLD.with_borrow(|world| world.clone().unwrap())
}

pub(crate) fn lock(world: &Arc<Mutex<World>>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something with this thread's world.
pub(crate) fn with<T>(does: impl FnOnce(&mut World) -> T) -> T {
    does(&mut lock(&world()))
}

impl World {
    pub(crate) fn of(shape: Shape, numbers: Numbers, store: MemoryStore, traces: bool) -> Self {
        let partitions = shape.partitions.max(1);
        let targets = (0..shape.once.len()).map(|_| Target::default()).collect();
        let mut world = Self {
            shape,
            numbers,
            held: vec![BTreeMap::new(); partitions],
            listed: vec![true; partitions],
            changes: HashMap::new(),
            prints: HashMap::new(),
            values: HashMap::new(),
            versions: HashMap::new(),
            places: HashMap::new(),
            presence: Presence::default(),
            targets,
            asked: Asked::default(),
            open: HashSet::new(),
            faults: Faults::default(),
            fails_after: usize::MAX,
            ends: Ends::default(),
            points: 0,
            dead: false,
            killed: vec![],
            death: Arc::default(),
            store,
            model: Model::default(),
            pending: None,
            base: 1_000_000_000,
            started: None,
            ahead: 0,
            sent: 0,
            broken: None,
            digest: 0,
            trace: traces.then(Vec::new),
        };
        for partition in 0..partitions {
            for key in 0..world.shape.keys {
                world.change((partition, key));
            }
        }
        world.take_stock();
        world
    }

    /// The system's clock.
    pub(crate) fn now(&self) -> i64 {
        let passed = self.started.map_or(0, |started| started.elapsed().as_millis());
        self.base + i64::try_from(passed).unwrap()
    }

    pub(crate) fn name(&self, partition: usize) -> String {
        if self.shape.partitions == 0 { String::new() } else { format!("p{partition}") }
    }

    /// Gives a record a new value, now and then one that no timestamp shows.
    pub(crate) fn change(&mut self, place: Place) -> Held {
        let value = i64::try_from(self.changes.len()).unwrap() + 1;
        let now = self.now() / 1000;
        let before = self.held[place.0].get(&place.1).copied();
        let hides = self.shape.changes != connector::Changes::Timestamps;
        let held = match before {
            Some(before) if hides && self.numbers.below(3) == 0 => {
                Held { version: before.version, value, shown: false }
            }
            // Clients may date a record into the future, where the system tells its own time.
            _ if self.shape.dates && self.numbers.below(20) == 0 => {
                Held { version: now + 1_800, value, shown: true }
            }
            _ => Held { version: now, value, shown: true },
        };
        self.held[place.0].insert(place.1, held);
        self.changes.insert(value, place);
        self.versions.insert(value, held.version);
        let hash = |domain: &str, parts: &[&[u8]]| self.store.keyed_hash(domain, parts);
        let partition = self.name(place.0);
        let key = hash("seen.key", &[partition.as_bytes(), place.1.to_string().as_bytes()]);
        // As the engine compares contents: every field ends with a comma.
        let content = hash("seen.content", &[format!("{{\"value\":{value},}}").as_bytes()]);
        let print =
            Print { key: key[..16].try_into().unwrap(), content: content[..8].try_into().unwrap() };
        self.places.insert(print.key, place);
        self.prints.insert(value, print);
        self.values.insert(print, value);
        self.note("change", place.1.into(), value);
        held
    }

    /// A few changes, deletions, partitions that go and come.
    pub(crate) fn move_on(&mut self, changes: usize) {
        for _ in 0..changes {
            let place = (self.numbers.below(self.held.len()), self.any_key());
            match self.numbers.below(12) {
                0 => {
                    self.held[place.0].remove(&place.1);
                    self.note("delete", place.0 as i64, place.1.into());
                }
                // A trigger that lists none is one without partitions.
                1 if self.listed.iter().enumerate().any(|(at, it)| *it && at != place.0) => {
                    self.listed[place.0] = !self.listed[place.0];
                    self.note("list", place.0 as i64, i64::from(self.listed[place.0]));
                }
                _ => {
                    self.change(place);
                }
            }
            self.take_stock();
        }
    }

    /// The place of what a value is about; what is gone has none in a partition.
    pub(crate) fn place_of(&self, value: i64) -> Place {
        shape::gone_key(value).map_or_else(|| self.changes[&value], |key| (usize::MAX, key))
    }

    fn any_key(&mut self) -> u32 {
        u32::try_from(self.numbers.below(self.shape.keys as usize)).unwrap()
    }

    /// The records that have to arrive, each with its place.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (Place, Held)> + '_ {
        let listed = self.held.iter().enumerate().filter(|(at, _)| self.listed[*at]);
        listed.flat_map(|(at, held)| held.iter().map(move |(key, held)| ((at, *key), *held)))
    }

    /// Whether nothing more has to be done about a value, with these dead letters committed.
    pub(crate) fn is_settled(&self, value: i64, model: &Model) -> bool {
        self.shape.first().iter().all(|step| self.is_settled_from(*step, value, model))
    }

    fn is_settled_from(&self, step: usize, value: i64, model: &Model) -> bool {
        if self.shape.is_filtered(step, value) || model.holds(value, step) {
            return true;
        }
        if model.parked.values().any(|it| *it == (value, step)) {
            return true;
        }
        let mut behind = self.shape.behind(step).iter();
        self.targets[step].done.contains_key(&value)
            && behind.all(|step| self.is_settled_from(*step, value, model))
    }

    /// Something happened.
    pub(crate) fn note(&mut self, what: &'static str, first: i64, second: i64) {
        let mut add = |number: u64| {
            self.digest = (self.digest ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        };
        what.bytes().for_each(|byte| add(byte.into()));
        add(first.cast_unsigned());
        add(second.cast_unsigned());
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>8} {what} {first} {second}", self.points));
        }
    }

    /// Something is not as it must be; the first such thing counts.
    pub(crate) fn breaks(&mut self, what: impl FnOnce() -> String) {
        self.note("BROKEN", 0, 0);
        if self.broken.is_none() {
            let what = what();
            if let Some(trace) = &mut self.trace {
                trace.push(format!("         {what}"));
            }
            self.broken = Some(what);
        }
        self.die();
    }

    /// The process ends here and now.
    pub(crate) fn die(&mut self) {
        self.note("dies", 0, 0);
        self.dead = true;
        self.store.crash_after(0);
        self.death.notify_one();
    }

    /// The process has come to a point.
    pub(crate) fn point(&mut self, name: &'static str) {
        self.points += 1;
        self.note(name, 0, 0);
        if self.dead {
            return;
        }
        let is_last = self.ends.kill.is_some_and(|at| self.points >= at);
        if is_last || self.ends.kill_at == Some(name) {
            self.killed.push(name);
            return self.die();
        }
        if self.ends.stop.is_some_and(|at| self.points == at)
            && let Some(stopper) = &self.ends.stopper
        {
            stopper.stop();
            self.note("stop", 0, 0);
        }
        if self.ends.heal.is_some_and(|at| self.points == at) {
            self.store.crash_after(usize::MAX);
            self.note("heal", 0, 0);
        }
        if self.numbers.in_thousand(self.faults.changes) {
            self.move_on(1);
        }
        if self.numbers.in_thousand(self.faults.jumps) {
            let hour = 3_600_000;
            let ahead = [0, -5_000, -hour, -24 * 365 * hour, 5_000, hour, 24 * 365 * hour];
            // Without the system's own time, a clock ahead of it may hide changes.
            let known = if self.shape.dates { ahead.len() } else { 4 };
            self.ahead = self.numbers.one_of(&ahead[..known]);
            self.note("clock", self.ahead, 0);
        }
    }
}
