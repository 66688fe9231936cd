//! Runs flows: asks a trigger what changed, maps, delivers, and commits page by page.
//!
//! Start with [`Engine::run`]; the life of a page is `run` (fetch, keep order) → `detect` (what
//! is new) → `deliver` (map, batch, send) → `settle` (one atomic commit).
//!
//! This crate names no connector and knows no terminal. Nobody else writes state: a snapshot
//! moves in `settle` alone, after the last message of its page is settled.

mod accounts;
mod age;
mod alternate;
mod backfill;
mod batch;
mod beat;
mod beside;
pub mod builtin;
mod called;
mod calls;
mod canonical;
mod change;
mod complete;
mod context;
mod deletes;
mod deliver;
mod detect;
mod document;
mod dry_run;
mod due;
mod echo;
mod engine;
mod error;
mod exhausted;
mod exported;
mod fetch;
mod forgotten;
mod gone;
mod handle;
mod held;
mod history;
pub mod hooks;
mod horizon;
mod identity;
mod import;
mod inbox;
mod journal;
mod learned;
mod left;
mod letters;
mod limits;
mod narrowing;
mod overtaken;
mod page;
mod parked;
mod points;
mod recall;
mod replay;
mod report;
mod resolve;
mod resume;
mod retry;
mod rewind;
mod run;
mod schedule;
mod seen;
pub mod service;
mod settle;
mod settled;
mod snapshot;
mod step;
mod stop;
mod tables;
mod task;
mod tokens;
mod trail;
mod watch;
mod way;
mod why;
mod workers;

pub use accounts::{AccountState, Held, Open, Outage, Rest};
pub use backfill::{Backfill, Backfilled, UnderWay};
pub use beat::{Beat, jitter};
pub use change::Changed;
pub use dry_run::{DryRun, Found};
pub use echo::Flows;
pub use engine::{Account, Engine, Options};
pub use error::{Error, Place, Result};
pub use exported::{Exported, Imported, SeenLine, SeenLines};
pub use forgotten::Forgotten;
pub use handle::{
    Answer, DeadLetter, DeadLetterLine, Entry, Failing, FlowHealth, Handle, InboxHealth, Request,
    StateChange, Waiting,
};
pub use import::Taken;
pub use inbox::{Called, Door, Entrance, Turned};
pub use journal::{Intent, IntentAnswer};
pub use letters::{LetterFilter, TRIGGER};
pub use parked::Unfinished;
pub use points::POINTS;
pub use replay::{Fate, Outcome};
pub use report::Report;
pub use rewind::{RewindTo, Rewound};
pub use schedule::Schedule;
pub use snapshot::{Partition, ScanState, Snapshot};
pub use stop::{Stop, Stopper};
pub use tokens::tokens;
pub use watch::{AccountChange, Event, Silent, Watch};
pub use why::{Awaited, Happened, Happening, Known, Letter, Timeline};
