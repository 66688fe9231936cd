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
    /// It is about another source: the flow does not run before somebody decides.
    Refused,
    /// It stays, and no file has a flow of that name.
    Left,
    /// It cannot be told.
    Unknown(String),
}

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
    let held = project.held().await?;
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
                let (until, waiting, _) = state(held, &flow).await?;
                planned.push(Planned { flow, fate: Fate::Left, until, waiting, sweeps: false });
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
    let stands = |line: &Planned| matches!(line.fate, Fate::Refused | Fate::Unknown(_));
    Ok(if planned.iter().any(stands) { Exit::Config } else { Exit::Done })
}

/// How far a flow's state reaches, what waits there, and what it is about.
async fn state(
    held: &Held,
    flow: &str,
) -> Result<(Option<Timestamp>, Waiting, Option<Option<String>>)> {
    let answer = held.ask(Request::State { flow: flow.to_owned() }).await?;
    let Answer::State { snapshot, waiting, .. } = answer else {
        return Ok((None, Waiting::default(), None));
    };
    let Some(snapshot) = snapshot else { return Ok((None, waiting, None)) };
    // One that cannot be read is about nothing that a file could say.
    let read = Snapshot::read(flow, snapshot.to_string().as_bytes()).ok();
    let until = read.as_ref().and_then(|snapshot| snapshot.last_updated);
    Ok((until, waiting, Some(read.map(|snapshot| snapshot.source))))
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
            Some(held) => state(held, &name).await?,
            None => (None, Waiting::default(), None),
        };
        let fate = match stored {
            None => Fate::New,
            Some(stored) => match source(project, vault, flow) {
                Ok(source) if stored.as_ref() == Some(&source) => Fate::Kept,
                Ok(_) => Fate::Refused,
                Err(failed) => Fate::Unknown(format!("{:#}", failed.error)),
            },
        };
        Ok(Self { flow: name, fate, until, waiting, sweeps })
    }

    fn word(&self) -> &'static str {
        match self.fate {
            Fate::New => "new",
            Fate::Kept => "kept",
            Fate::Refused => "refused",
            Fate::Left => "left",
            Fate::Unknown(_) => "unknown",
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
            Fate::Unknown(why) => {
                format!("{flow}: unknown: whether it reads what its state {reach} is about: {why}")
            }
        };
        let waits = [
            (waiting.dead_letters, "open dead letter"),
            (waiting.parked, "message that a system has yet to finish"),
            (waiting.journal, "unsettled call"),
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
            Fate::Unknown(why) => Some(why),
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
