//! `towpath serve --plan`: what the flow files as they are now would make of the state that is kept.

use std::collections::BTreeSet;
use std::io::IsTerminal;

use connector::{Changes, Clock, SystemClock, Timestamp};
use engine::{Answer, Request, Snapshot, Waiting};
use flow::Flow;
use serde_json::{Value, json};

use crate::args::Serve;
use crate::commands::check::counted;
use crate::exit::{Exit, Result};
use crate::held::Held;
use crate::progress::{print, print_json, say};
use crate::project::{Checked, Project, Workshop};
use crate::times::ago;
use crate::vault::Vault;

/// What becomes of a flow's state.
enum Fate {
    /// There is none: the first run reads and sends everything.
    New,
    /// The flow goes on from it.
    Kept,
    /// So it does, and its next commit writes it in this version's format.
    Migrated {
        /// The format that it has.
        from: u64,
    },
    /// It is about another source: the flow does not run before somebody decides.
    Refused,
    /// It stays, and no file has a flow of that name.
    Left,
    /// It cannot be read.
    Unreadable(String),
    /// What the flow reads cannot be told.
    Unknown(String),
}

/// What is kept of a flow.
struct Kept {
    /// The number of its format, which this version reads.
    format: u64,
    source: String,
}

/// What is kept, or why it cannot be read.
type Stored = std::result::Result<Kept, String>;

/// A flow, and what becomes of its state.
struct Planned {
    flow: String,
    fate: Fate,
    until: Option<Timestamp>,
    waiting: Waiting,
    /// Whether it can be asked for what changed since a moment, so that a reset is the only way to
    /// have everything sent again.
    sweeps: bool,
}

pub(crate) async fn run(project: &Project, args: &Serve, json: bool) -> Result {
    let folder = args.folder.clone().unwrap_or_else(|| project.folder());
    let mut flows = vec![];
    let mut all = vec![];
    for file in project.flow_files(&[folder])? {
        let (flow, checked) = project.check(&file)?;
        flows.extend(flow);
        all.push(checked);
    }
    let held = project.looked_at().await?;
    let mut planned = vec![];
    let used = project.secrets_used();
    let vault = match &held {
        Some(Held::Here(_, store)) => Vault::open(&**store, used.into_keys()).await?,
        // Secrets make no difference to what a flow reads, and a service tells none.
        Some(Held::There(_)) | None => Vault::unknown(used.into_keys()),
    };
    for flow in &flows {
        planned.push(Planned::of(project, (held.as_ref(), &vault), flow).await?);
    }
    if let Some(held) = &held {
        let names: BTreeSet<&str> = flows.iter().map(|flow| flow.name.as_str()).collect();
        if let Answer::Flows { flows: known } = held.ask(Request::Flows).await? {
            for flow in known.into_iter().filter(|flow| !names.contains(flow.as_str())) {
                let (until, waiting, stored) = state(held, &flow).await;
                let unreadable = stored.and_then(std::result::Result::err);
                let fate = unreadable.map_or(Fate::Left, Fate::Unreadable);
                planned.push(Planned { flow, fate, until, waiting, sweeps: false });
            }
        }
    }
    let now = SystemClock.now();
    for line in &planned {
        if json { print_json(&line.json()) } else { print(&line.words(project, now)) }
    }
    for checked in all.iter().filter(|checked| !checked.findings.is_empty()) {
        say(&checked.render(std::io::stderr().is_terminal()));
    }
    let mistakes: usize = all.iter().map(Checked::errors).sum();
    if mistakes > 0 {
        say(&format!("error: {}", counted(mistakes, "mistake")));
        return Ok(Exit::Findings);
    }
    let stands = |line: &Planned| {
        matches!(line.fate, Fate::Refused | Fate::Unreadable(_) | Fate::Unknown(_))
    };
    Ok(if planned.iter().any(stands) { Exit::Config } else { Exit::Done })
}

/// How far a flow's state reaches, what waits there, and what is kept.
async fn state(held: &Held, flow: &str) -> (Option<Timestamp>, Waiting, Option<Stored>) {
    let (snapshot, waiting) = match held.ask(Request::State { flow: flow.to_owned() }).await {
        Ok(Answer::State { snapshot, waiting, .. }) => (snapshot, waiting),
        Ok(_) => (None, Waiting::default()),
        Err(failed) => {
            return (None, Waiting::default(), Some(Err(format!("{:#}", failed.error))));
        }
    };
    let Some(snapshot) = snapshot else { return (None, waiting, None) };
    let format = snapshot.get("format").and_then(Value::as_u64).unwrap_or_default();
    let read = Snapshot::read(flow, snapshot.to_string().as_bytes());
    let until = read.as_ref().ok().and_then(|snapshot| snapshot.last_updated);
    let kept = read.map(|Snapshot { source, .. }| Kept { format, source });
    (until, waiting, Some(kept.map_err(|error| error.to_string())))
}

impl Fate {
    /// What becomes of what is kept when a flow reads this source.
    fn of(stored: Option<Stored>, source: impl FnOnce() -> Result<String>) -> Self {
        let kept = match stored {
            None => return Self::New,
            Some(Ok(kept)) => kept,
            Some(Err(unreadable)) => return Self::Unreadable(unreadable),
        };
        match source() {
            Err(failed) => Self::Unknown(format!("{:#}", failed.error)),
            Ok(source) if source != kept.source => Self::Refused,
            Ok(_) if kept.format < u64::from(Snapshot::FORMAT) => {
                Self::Migrated { from: kept.format }
            }
            Ok(_) => Self::Kept,
        }
    }
}

impl Planned {
    async fn of(
        project: &Project,
        (held, vault): (Option<&Held>, &Vault),
        flow: &Flow,
    ) -> Result<Self> {
        let changes = flow.trigger.trigger.changes();
        let sweeps = matches!(changes, Changes::Both | Changes::Content);
        let name = flow.name.clone();
        let (until, waiting, stored) = match held {
            Some(held) => state(held, &name).await,
            None => (None, Waiting::default(), None),
        };
        let fate = Fate::of(stored, || source(project, vault, flow));
        Ok(Self { flow: name, fate, until, waiting, sweeps })
    }

    fn word(&self) -> &'static str {
        match self.fate {
            Fate::New => "new",
            Fate::Kept => "kept",
            Fate::Migrated { .. } => "migrated",
            Fate::Refused => "refused",
            Fate::Left => "left",
            Fate::Unreadable(_) | Fate::Unknown(_) => "unknown",
        }
    }

    /// How many records a reset would send again; `None` where nothing would be.
    fn sent_again(&self) -> Option<u64> {
        matches!(self.fate, Fate::Refused).then_some(self.waiting.seen)
    }

    fn words(&self, project: &Project, now: Timestamp) -> String {
        let Self { flow, waiting, .. } = self;
        let reach = self.until.map_or_else(
            || "which has no time yet".to_owned(),
            |until| format!("of {until} ({})", ago(until, now)),
        );
        let mut words = match &self.fate {
            Fate::New => format!("{flow}: new: its first run reads and sends everything"),
            Fate::Kept => format!("{flow}: kept: goes on from its state {reach}"),
            Fate::Migrated { from } => format!(
                "{flow}: migrated: goes on from its state {reach}, which its next commit writes in \
                 format {} instead of {from}; nothing is sent again, and an older towpath cannot \
                 read it then",
                Snapshot::FORMAT
            ),
            Fate::Refused => {
                let keep = project.command(&format!("state keep {flow}"));
                let reset = project.command(&format!("state reset {flow}"));
                let again = counted(waiting.seen, "record");
                let sweep =
                    if self.sweeps { ", and the next full scan sends what differs" } else { "" };
                format!(
                    "{flow}: refused: reads another source than its state {reach} is about; it does \
                     not run before somebody decides:\n  {keep}   goes on from there{sweep}\n  \
                     {reset}   reads everything, and sends up to {again} again, as far as the new \
                     source has them"
                )
            }
            Fate::Left => format!("{flow}: left: no file has it; its state {reach} stays"),
            Fate::Unreadable(why) => format!("{flow}: unknown: {why}"),
            Fate::Unknown(why) => {
                format!("{flow}: unknown: whether it reads what its state {reach} is about: {why}")
            }
        };
        let waits = [
            (waiting.dead_letters, "open dead letter"),
            (waiting.parked, "unfinished message"),
            (waiting.journal, "unsettled call"),
            (waiting.inbox, "waiting webhook"),
        ];
        let waits = waits.into_iter().filter(|(count, _)| *count > 0);
        let waits: Vec<_> = waits.map(|(count, what)| counted(count, what)).collect();
        if !waits.is_empty() {
            words.push_str(&format!("\n  with it stay {}", waits.join(", ")));
        }
        words
    }

    fn json(&self) -> Value {
        let why = match &self.fate {
            Fate::Unreadable(why) | Fate::Unknown(why) => Some(why),
            _ => None,
        };
        json!({
            "flow": self.flow, "state": self.word(), "lastUpdated": self.until,
            "waiting": self.waiting, "sentAgain": self.sent_again(), "problem": why,
        })
    }
}

/// What a flow reads, by its file and its accounts as they are now.
fn source(project: &Project, vault: &Vault, flow: &Flow) -> Result<String> {
    let accounts = project.accounts([flow], Some(vault))?;
    let workshop = Workshop::in_memory(project, accounts.ready);
    workshop.engine.source(flow).map_err(crate::exit::Failed::config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_a_state_depends_on_its_source_and_its_format() {
        let stored = |format, source: &str| Some(Ok(Kept { format, source: source.to_owned() }));
        let now = u64::from(Snapshot::FORMAT);
        for (stored, expected) in [
            (None, "new"),
            (stored(now, "s"), "kept"),
            (stored(1, "s"), "migrated"),
            (stored(1, "other"), "refused"),
            (stored(now, "other"), "refused"),
            (Some(Err("it is torn".to_owned())), "unknown"),
        ] {
            let fate = Fate::of(stored, || Ok("s".to_owned()));
            let (flow, waiting) = ("f".to_owned(), Waiting::default());
            let planned = Planned { flow, fate, until: None, waiting, sweeps: false };
            assert_eq!(planned.word(), expected);
        }
    }
}
