//! Rounds: a process is killed or not, while the systems misbehave; then all is calm, and both
//! sides are counted.

use std::fmt;
use std::time::Duration;

use sandbox::{Action, Fault, Vendor};

use crate::child;
use crate::plan::{self, Kill, Random};
use crate::story::{ATTEMPTS, Again, Story};

/// About as many points as a run comes to.
const POINTS: u64 = 300;

/// Which of the systems misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The newsletter, asked page by page.
    Newsletter,
    /// CleverTap, which takes profiles.
    Profiles,
    /// The other account of CleverReach, which takes members.
    Members,
}

/// What befalls one process.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) kill: Option<Kill>,
    pub(crate) faults: Vec<(Side, Fault)>,
}

impl fmt::Display for Round {
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

impl Round {
    /// The round of a seed with this number: always the same one.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9) ^ number.rotate_left(32));
        let kill = match random.below(3) {
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
        let faults = (0..random.below(4)).map(|_| fault(&mut random)).collect();
        Self { kill, faults }
    }
}

/// A fault of any kind, short enough that a run outlives it or comes back soon.
fn fault(random: &mut Random) -> (Side, Fault) {
    let side = match random.below(3) {
        0 => Side::Newsletter,
        1 => Side::Profiles,
        _ => Side::Members,
    };
    let (action, times) = match random.below(9) {
        0 => (Action::status(500), 1 + random.below(2)),
        1 => (Action::status(503), 1),
        2 => (Action::TooManyRequests { retry_after: Some(1) }, 1 + random.below(2)),
        3 => (Action::TooManyRequests { retry_after: None }, 1),
        4 => (Action::CutBody { after_bytes: usize::try_from(random.below(40)).unwrap() }, 1),
        5 => (Action::CloseConnection { process: false }, 1 + random.below(2)),
        6 => (Action::CloseConnection { process: true }, 1),
        7 => (Action::Delay { ms: 20 + random.below(200) }, 1 + random.below(4)),
        _ => (Action::ExpireTokens, 1 + random.below(2)),
    };
    let (vendor, path) = match side {
        Side::Newsletter => (Vendor::CleverReach, "receivers"),
        Side::Profiles => (Vendor::CleverTap, "/1/upload"),
        Side::Members => (Vendor::CleverReach, "upsert"),
    };
    (side, Fault::new(vendor, path, action).after(random.below(6)).times(times))
}

impl Story {
    /// Plays a round: edits, one process that it befalls, and others until all is calm. The error
    /// says what is missing, or what was sent again without need.
    pub(crate) fn play_round(&mut self, round: &Round) -> Result<Again, String> {
        let (before, changes) = (self.sent(), self.changes);
        self.touch();
        for (side, fault) in &round.faults {
            self.side(*side).fault(fault.clone());
        }
        let ran = child::run(self.command(), round.kill.as_ref());
        // One that ends with an error leaves pages uncommitted, as a killed one does.
        let mut broke_off = u64::from(ran.code != Some(0));
        if ran.code == Some(0) {
            self.note(&ran)?;
        }
        let unanswered = round.faults.iter().map(|(side, fault)| {
            let hides = matches!(
                fault.action,
                Action::CutBody { .. } | Action::CloseConnection { process: true }
            );
            let applied = self.side(*side).faults().into_iter().filter(|it| it.fault == *fault);
            if hides { applied.map(|it| it.applied).max().unwrap_or(0) } else { 0 }
        });
        // A batch whose answer is lost is sent again, page by page.
        let unanswered: u64 = unanswered.sum();
        self.clear_faults();
        let mut said = vec![];
        for attempt in 0.. {
            if attempt == ATTEMPTS {
                return Err(format!("it does not come to rest: {}", said.join(" / ")));
            }
            let ran = child::run(self.command(), None);
            if ran.code == Some(0) {
                self.note(&ran)?;
                if !self.edits_open {
                    break;
                }
            } else {
                broke_off += 1;
                self.resume_accounts();
            }
            said = ran.said;
        }
        self.compare()?;
        let page = self.size.page as u64;
        let allowed = broke_off * self.size.window as u64 * page + unanswered * page;
        self.again(before, self.changes - changes, allowed)
    }
}
