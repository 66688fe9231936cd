//! The systems: polls and actions are plain functions of the world.

use std::time::Duration;

use connector::prelude::*;

use crate::shape::{self, FILTERED};
use crate::witness::{alive, yield_now};
use crate::world::{Held, Place, World, with};

/// The connector; making it takes a while, so each thread makes it once.
pub(crate) fn connector() -> Connector {
    thread_local! {
        static CONNECTOR: Connector = Connector::new("simulated", "https://simulated.example.com", Auth::None)
            .polling::<Timestamps>("timestamps", "$")
            .polling::<Contents>("contents", "$")
            .polling::<Both>("both", "$")
            .action::<Write>("write", "data");
    }
    CONNECTOR.with(Clone::clone)
}

macro_rules! trigger {
    ($name:ident, $changes:expr) => {
        #[derive(Deserialize, JsonSchema)]
        struct $name {}

        #[async_trait]
        impl PollingTrigger for $name {
            type Cursor = u32;
            const CHANGES: Changes = $changes;

            async fn partitions(&self, _api: &Api) -> Result<Vec<String>> {
                partitions().await
            }

            async fn poll(&self, api: &Api, scan: &Scan<u32>) -> Result<Page<u32>> {
                poll(api, scan).await
            }
        }
    };
}

trigger!(Timestamps, Changes::Timestamps);
trigger!(Contents, Changes::Content);
trigger!(Both, Changes::Both);

async fn partitions() -> Result<Vec<String>> {
    alive().await;
    with(|world| {
        world.point("partitions");
        world.begin_listing();
        fault(world, world.faults.polls)?;
        let listed = (0..world.shape.partitions).filter(|at| world.listed[*at]);
        Ok(listed.map(|at| world.name(at)).collect())
    })
}

async fn poll(api: &Api, scan: &Scan<u32>) -> Result<Page<u32>> {
    alive().await;
    yield_now(with(|world| world.numbers.below(4))).await;
    alive().await;
    let page = with(|world| {
        world.point("poll");
        if world.shape.dates {
            api.note_date(Timestamp::from_secs(world.now() / 1000));
        }
        fault(world, world.faults.polls)?;
        let page = world.page(scan);
        // The answer gets lost on its way.
        fault(world, world.faults.polls)?;
        Ok(page)
    });
    yield_now(with(|world| world.numbers.below(4))).await;
    alive().await;
    page
}

/// An error of any kind, as often as that.
fn fault(world: &mut World, often: usize) -> Result<()> {
    if !world.numbers.in_thousand(often) {
        return Ok(());
    }
    let kind = world.numbers.below(12);
    world.note("fault", kind as i64, 0);
    let after = |seconds| Some(Duration::from_secs(seconds));
    Err(match kind {
        0 => Error::Retry { reason: "busy".to_owned(), after: after(2) },
        1 => Error::Retry { reason: "busy for long".to_owned(), after: after(1_000) },
        2 => Error::Unauthorized { reason: "who are you".to_owned() },
        3 => Error::config("out of order"),
        4 | 5 => Error::Unknown { reason: "no answer".to_owned() },
        6 => Error::TooLarge { reason: "too large".to_owned() },
        _ => Error::retry("down"),
    })
}

impl World {
    /// The page that a scan asks for. Every page shows the last records of the one before again.
    fn page(&mut self, scan: &Scan<u32>) -> Page<u32> {
        let part = scan.partition.as_deref().and_then(|name| name.strip_prefix('p'));
        let part = part.map_or(0, |at| at.parse().unwrap());
        let from = scan.cursor.unwrap_or(0);
        let size = self.shape.page;
        let is_asked = |held: &Held| match scan.want {
            Want::All => true,
            Want::Changed { since } => Timestamp::from_secs(held.version) >= since,
        };
        let asked = self.held[part].range(from..).filter(|(_, held)| is_asked(held));
        let mut asked = asked.map(|(key, held)| (*key, *held));
        let mut shown: Vec<(u32, Held)> = asked.by_ref().take(size + 1).collect();
        let next = asked.next().and(shown.last()).map(|(key, _)| *key);
        // A record that changes while the page is made may be on it twice.
        if !shown.is_empty() && self.numbers.in_thousand(self.faults.changes) {
            let (key, _) = shown[self.numbers.below(shown.len())];
            shown.push((key, self.change((part, key))));
            self.take_stock();
        }
        self.note("page", from.into(), shown.len() as i64);
        let record = |(key, held): (u32, Held)| {
            let version = Timestamp::from_secs(held.version);
            let data = RawValue::from_string(format!("{{\"value\":{}}}", held.value)).unwrap();
            Record { key: key.to_string(), version: Some(version), data }
        };
        Page { records: shown.into_iter().map(record).collect(), next }
    }
}

#[derive(Deserialize, JsonSchema)]
struct Write {
    at: usize,
    idempotent: bool,
}

/// What a message brings.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
struct Input {
    value: i64,
}

#[async_trait]
impl Action for Write {
    type Input = Input;
    const MAX_BATCH: usize = 1000;

    fn idempotent(&self) -> bool {
        self.idempotent
    }

    async fn run(&self, _api: &Api, batch: &Batch<Input>) -> Result<Outcomes> {
        alive().await;
        let mut call = Call::of(self.at, batch)?;
        let yields = with(|world| world.numbers.below(5));
        yield_now(yields).await;
        alive().await;
        let answer = call.arrive(batch);
        yield_now(yields).await;
        alive().await;
        drop(call);
        answer
    }

    async fn check(&self, _api: &Api, token: &str) -> Result<Outcome> {
        alive().await;
        yield_now(with(|world| world.numbers.below(3))).await;
        alive().await;
        let (step, value) = (self.at, token.parse().unwrap());
        with(|world| {
            world.point("check");
            world.note("asked", step as i64, value);
            fault(world, world.faults.sends)?;
            if world.numbers.in_thousand(world.faults.sends) {
                return Ok(parked(value, 60));
            }
            // However often it is asked, it was carried out once.
            if !world.targets[step].done.contains_key(&value) {
                world.carry_out(step, world.changes[&value], value);
            }
            Ok(Outcome::done(json!(value)))
        })
    }
}

/// Taken, and finished later.
fn parked(value: i64, seconds: u64) -> Outcome {
    let (check_after, deadline) = (Duration::from_secs(seconds), Duration::from_secs(2_592_000));
    Outcome::Parked { token: value.to_string(), check_after, deadline }
}

/// A call under way; one that nobody waits for any more may still be carried out.
struct Call {
    step: usize,
    items: Vec<(Place, i64)>,
    arrived: bool,
}

impl Call {
    fn of(step: usize, batch: &Batch<Input>) -> Result<Self> {
        let begun = with(|world| {
            world.point("send");
            let values = batch.items.iter().map(|item| item.input.value);
            let items: Vec<_> = values.map(|value| (world.place_of(value), value)).collect();
            for (place, value) in &items {
                world.watch_sent(step, *place, *value);
            }
            if items.is_empty() || items.len() > world.shape.batch {
                world.breaks(|| format!("a batch of {}", items.len()));
            }
            let failed = fault(world, world.faults.sends).err();
            if let Some(error) = &failed {
                if let (Error::TooLarge { .. }, [(_, value)]) = (error, &*items) {
                    world.targets[step].refused.insert(*value);
                }
                world.finish(step, &items);
            }
            failed.map_or(Ok((step, items)), Err)
        });
        let (step, items) = begun?;
        Ok(Self { step, items, arrived: false })
    }

    /// The system carries the call out, wholly, in part or not at all, and answers, or does not.
    fn arrive(&mut self, batch: &Batch<Input>) -> Result<Outcomes> {
        self.arrived = true;
        with(|world| {
            world.point("arrive");
            let often = world.faults.sends;
            let refuses_whole = world.shape.refuses == 11;
            if refuses_whole && self.items.iter().any(|(_, value)| world.shape.is_refused(*value)) {
                if let [(_, value)] = &*self.items {
                    world.targets[self.step].refused.insert(*value);
                }
                return Err(Error::Reject { code: "no".to_owned(), reason: "no".to_owned() });
            }
            let mut outcomes = batch.outcomes();
            for (at, (place, value)) in self.items.iter().enumerate() {
                if world.shape.is_refused(*value) {
                    world.targets[self.step].refused.insert(*value);
                    outcomes.set(at, Outcome::rejected("no", "not this one"));
                    continue;
                }
                if world.shape.is_parked(self.step, *value) {
                    world.targets[self.step].take(*place, *value);
                    outcomes.set(at, parked(*value, 3_600));
                    continue;
                }
                if world.numbers.in_thousand(often) {
                    // Carried out or not: nobody says.
                    if world.numbers.below(2) == 0 {
                        world.carry_out(self.step, *place, *value);
                    }
                    continue;
                }
                if world.numbers.in_thousand(often) {
                    let reason = "not now".to_owned();
                    outcomes.set(at, Outcome::Retry { after: None, reason });
                    continue;
                }
                world.carry_out(self.step, *place, *value);
                outcomes.set(at, Outcome::done(json!(value)));
            }
            if world.numbers.in_thousand(often) {
                world.note("cut", 0, 0);
                return Err(Error::Unknown { reason: "the answer was cut".to_owned() });
            }
            Ok(outcomes)
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        with(|world| {
            if !self.arrived && world.numbers.below(2) == 0 {
                for (place, value) in &self.items {
                    if !world.shape.is_refused(*value) {
                        world.carry_out(self.step, *place, *value);
                    }
                }
            }
            world.finish(self.step, &self.items);
        });
    }
}

impl World {
    /// A message is sent: is it its turn, and was it not settled before?
    fn watch_sent(&mut self, step: usize, place: Place, value: i64) {
        self.note("sent", step as i64, value);
        self.sent += 1;
        if !self.targets[step].under_way.insert(place) {
            self.breaks(|| format!("{place:?} is sent to step {step} while it is under way"));
        }
        let last = self.targets[step].last.get(&place).copied();
        // What its system finishes later goes on when that is done: in no order.
        let in_order = !self.shape.goes_on_later(step, value);
        // A replay does not know what was sent and is not committed, and what is in doubt itself is
        // sent behind what is older.
        let overtakes = |last: i64| last > value && (!self.asked.replays || self.knows_of(last));
        if in_order && last.is_some_and(overtakes) {
            self.breaks(|| format!("{value} of {place:?} is sent behind {last:?}"));
        }
        if self.shape.is_filtered(step, value) {
            self.breaks(|| format!("{value} does not pass the condition, a {FILTERED}th"));
        }
        let resends = self.shape.once[step] && self.shape.resends;
        if let Some(key) = shape::gone_key(value) {
            // What was in doubt when its key was gone is sent again whenever that is found out.
            if !resends && !self.asked.replays {
                self.watch_gone(key);
            }
            return;
        }
        let is_letter = (self.asked.replays || resends) && self.model.has_letter(value);
        if is_letter {
            if self.model.is_in_doubt(value, step) {
                *self.asked.replayed.entry((value, step)).or_default() += 1;
            }
            return;
        }
        let behind = self.shape.is_behind_a_park(step) && step > 0;
        if !behind && self.model.ever.contains(&value) {
            self.breaks(|| format!("{value} of {place:?} is sent although it was committed"));
        }
        // What goes on behind a park belongs to no page any more.
        if !behind {
            self.open.insert(value);
        }
        let pages = self.shape.window * (self.shape.page + 2);
        if self.open.len() > pages {
            let open = self.open.len();
            self.breaks(|| format!("{open} messages are sent and not committed"));
        }
    }

    /// Whether a commit settled a value, and nothing of it is left to be decided.
    fn knows_of(&self, value: i64) -> bool {
        self.model.ever.contains(&value) && !self.model.has_letter(value)
    }

    fn carry_out(&mut self, step: usize, place: Place, value: i64) {
        self.note("done", step as i64, value);
        let allowed = self.allowed(step, value);
        let target = &mut self.targets[step];
        let times = target.done.entry(value).or_default();
        *times += 1;
        let times = *times;
        target.take(place, value);
        if times > allowed && self.shape.is_strict(step) {
            self.breaks(|| {
                format!("{value} of {place:?} was carried out {times} times by step {step}")
            });
        }
    }

    /// How often a value may be carried out by a step that must not be given it twice unasked.
    fn allowed(&self, step: usize, value: i64) -> u32 {
        let replayed = self.asked.replayed.get(&(value, step)).copied().unwrap_or(0);
        let sent = match shape::gone_key(value) {
            Some(key) => self.went(key),
            None => {
                let version = self.versions[&value];
                let asked = self.asked.from.iter().filter(|from| version >= **from);
                let buried = self.presence.buried.get(&self.changes[&value]);
                1 + u32::try_from(asked.count()).unwrap() + buried.copied().unwrap_or(0)
            }
        };
        sent + replayed
    }

    fn finish(&mut self, step: usize, items: &[(Place, i64)]) {
        for (place, _) in items {
            self.targets[step].under_way.remove(place);
        }
    }
}
