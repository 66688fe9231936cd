//! Rounds: processes are killed or not, while the systems misbehave; then all is calm, and both
//! sides are counted. Each round is a story of its own, so that any of them replays alone.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use sandbox::{Action, Fault, Vendor};

use crate::child;
use crate::ledger::Again;
use crate::plan::{self, Kill, Phase, Random};
use crate::story::{ATTEMPTS, InDoubt, Size, Story, runs_to_rest};

/// About as many points as a run comes to.
const POINTS: u64 = 300;

/// So many rounds are played at once: most of their time they wait to try again.
const AT_ONCE: u64 = 6;

/// Which of the systems misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The newsletter, asked page by page.
    Newsletter,
    /// CleverTap, which takes profiles and events.
    Uploads,
    /// The other account of CleverReach, which takes members.
    Members,
}

/// What befalls one process.
#[derive(Clone, Debug)]
pub(crate) struct Blow {
    kill: Option<Kill>,
    faults: Vec<(Side, Fault)>,
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kill {
            Some(kill) => write!(f, "killed at {kill}")?,
            None => f.write_str("not killed")?,
        }
        for (side, fault) in &self.faults {
            let (after, times) = (fault.after, fault.times);
            write!(f, "; {side:?} from request {} on, {times:?}: {:?}", after + 1, fault.action)?;
        }
        Ok(())
    }
}

/// What befalls the processes of one story, one after another.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    in_doubt: InDoubt,
    phase: Phase,
    blows: Vec<Blow>,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: ", self.phase, self.in_doubt)?;
        for (at, blow) in self.blows.iter().enumerate() {
            let then = if at == 0 { "" } else { "; then " };
            write!(f, "{then}{blow}")?;
        }
        Ok(())
    }
}

impl Round {
    /// The round of a seed with this number: always the same one.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9) ^ number.rotate_left(32));
        let in_doubt = if random.below(4) == 0 { InDoubt::Resend } else { InDoubt::Hold };
        let phase = if random.below(3) == 0 { Phase::First } else { Phase::Later };
        let blows = (0..=random.below(3)).map(|_| Blow::of(&mut random)).collect();
        Self { in_doubt, phase, blows }
    }

    /// Plays it: what befalls its processes, and others until all is calm. The error says what is
    /// missing, or what was sent again without need.
    pub(crate) fn play(&self, size: Size) -> Result<Again, String> {
        let mut story = Story::new(size, self.in_doubt);
        if self.phase == Phase::Later {
            story.begin();
            story.touch();
        }
        for blow in &self.blows {
            story.befall(self.phase, blow);
        }
        story.calm_down(self.phase)?;
        story.rest()
    }
}

impl Blow {
    fn of(random: &mut Random) -> Self {
        let kill = match random.below(4) {
            0 => None,
            1 => {
                // A run that does not come there as often ends by itself.
                let names: Vec<&str> = plan::names().collect();
                let name = names[usize::try_from(random.below(names.len() as u64)).unwrap()];
                Some(plan::at(name, 1 + random.below(4)))
            }
            _ => {
                let points = 1 + random.below(POINTS);
                Some(Kill::After { points, wait: Duration::from_micros(random.below(20_000)) })
            }
        };
        let faults = (0..random.below(4)).map(|_| fault(random)).collect();
        Self { kill, faults }
    }
}

/// A fault of any kind, or a storm of them, that a run outlives or comes back from soon.
fn fault(random: &mut Random) -> (Side, Fault) {
    let side = match random.below(3) {
        0 => Side::Newsletter,
        1 => Side::Uploads,
        _ => Side::Members,
    };
    let (action, times) = match random.below(11) {
        0 => (Action::status(500), 1 + random.below(2)),
        1 => (Action::status(503), 1),
        2 => (Action::TooManyRequests { retry_after: Some(1) }, 1 + random.below(2)),
        3 => (Action::TooManyRequests { retry_after: None }, 1),
        4 => (Action::CutBody { after_bytes: usize::try_from(random.below(40)).unwrap() }, 1),
        5 => (Action::CloseConnection { process: false }, 1 + random.below(2)),
        6 => (Action::CloseConnection { process: true }, 1 + random.below(3)),
        7 => (Action::Delay { ms: 20 + random.below(200) }, 1 + random.below(4)),
        8 => (Action::status(500), 4 + random.below(8)),
        9 => (Action::TooManyRequests { retry_after: None }, 4 + random.below(8)),
        _ => (Action::ExpireTokens, 1 + random.below(2)),
    };
    let (vendor, path) = match side {
        Side::Newsletter => (Vendor::CleverReach, "receivers"),
        Side::Uploads => (Vendor::CleverTap, "/1/upload"),
        Side::Members => (Vendor::CleverReach, "upsert"),
    };
    (side, Fault::new(vendor, path, action).after(random.below(6)).times(times))
}

/// Whether what was carried out has no answer.
fn hides(fault: &Fault) -> bool {
    matches!(fault.action, Action::CutBody { .. } | Action::CloseConnection { process: true })
}

/// Whether it may leave a request without an answer that says whether it arrived.
fn leaves_in_doubt(fault: &Fault) -> bool {
    matches!(
        fault.action,
        Action::CutBody { .. } | Action::CloseConnection { .. } | Action::Status { .. }
    )
}

impl Story {
    /// One process that something befalls.
    fn befall(&mut self, phase: Phase, blow: &Blow) {
        for (side, fault) in &blow.faults {
            self.side(*side).fault(fault.clone());
        }
        let kill = blow.kill.as_ref();
        let ran = match kill {
            Some(_) => child::run(self.command(phase), kill),
            None => child::count(self.command(phase)),
        };
        if ran.code != Some(0) {
            self.allow_broken(&ran);
        }
        let hidden = self.applied(Side::Uploads, hides) + self.applied(Side::Members, hides);
        self.allow_unanswered(hidden, self.applied(Side::Uploads, leaves_in_doubt));
        self.clear_faults();
    }

    /// How often faults of a kind were applied to a side.
    fn applied(&self, side: Side, of_kind: fn(&Fault) -> bool) -> u64 {
        let own = if side == Side::Uploads { Vendor::CleverTap } else { Vendor::CleverReach };
        let faults = self.side(side).faults().into_iter();
        let faults = faults.filter(|it| it.fault.vendor == own && of_kind(&it.fault));
        faults.map(|it| it.applied).sum()
    }

    /// Runs the command, as an operator would, until it ends well.
    fn calm_down(&mut self, phase: Phase) -> Result<(), String> {
        let mut said = vec![];
        let mut well = 0;
        for _ in 0..ATTEMPTS {
            let ran = child::count(self.command(phase));
            if ran.code == Some(0) {
                well += 1;
                if well == runs_to_rest(phase) {
                    return Ok(());
                }
                continue;
            }
            well = 0;
            self.allow_broken(&ran);
            self.resume_accounts();
            said = ran.said;
        }
        Err(format!("it does not come to rest: {}", said.join(" / ")))
    }
}

/// A round that was played.
pub(crate) struct Played {
    pub(crate) number: u64,
    pub(crate) round: Round,
    pub(crate) end: Result<Again, String>,
}

/// Plays rounds of a seed, some at once, and shows each when it is over.
pub(crate) fn play(
    seed: u64,
    numbers: std::ops::Range<u64>,
    size: Size,
    mut show: impl FnMut(Played),
) {
    let next = AtomicU64::new(numbers.start);
    let (say, played) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (say, next, numbers) = (say.clone(), &next, &numbers);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if !numbers.contains(&number) {
                        return;
                    }
                    let round = Round::of(seed, number);
                    let end = round.play(size);
                    drop(say.send(Played { number, round, end }));
                }
            });
        }
        drop(say);
        played.iter().for_each(&mut show);
    });
}
