//! What a person or a machine sees of a run while it runs.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector::Want;
use engine::{Event, Report, Watch};
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::commands::backfill;
use crate::{hold, left_alone, log};

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Shows a run: a bar on a terminal, plain lines elsewhere, JSON lines for machines.
pub(crate) struct Progress {
    look: Look,
    dead_letters: Mutex<u64>,
    /// A backfill alternates with what is live, whose scans are then no news.
    alternates: AtomicBool,
}

enum Look {
    Bar(ProgressBar),
    Lines,
    Json,
    Nothing,
}

impl Progress {
    /// The look that fits: `json` if asked for, a bar if a person watches.
    pub(crate) fn new(json: bool) -> Self {
        let look = if json {
            Look::Json
        } else if std::io::stderr().is_terminal() {
            Look::Bar(bar())
        } else {
            Look::Lines
        };
        Self { look, dead_letters: Mutex::default(), alternates: AtomicBool::new(false) }
    }

    /// Shows nothing of a run, and comes to its points.
    pub(crate) fn quiet() -> Self {
        Self {
            look: Look::Nothing,
            dead_letters: Mutex::default(),
            alternates: AtomicBool::new(false),
        }
    }

    /// A line for the person who watches; nothing for machines.
    pub(crate) fn say(&self, line: &str) {
        match &self.look {
            Look::Bar(bar) => bar.suspend(|| say(line)),
            Look::Lines => say(line),
            Look::Json | Look::Nothing => {}
        }
    }

    /// Says what became of the run, and ends the display.
    pub(crate) fn finish(&self, flow: &str, report: &Report) {
        self.clear();
        if let Look::Json = &self.look {
            print_json(&json!({
                "event": "finished",
                "flow": flow,
                "outcome": report.outcome(),
                "counts": report.counts,
                "pages": report.pages,
                "seconds": report.took.as_secs_f64(),
                "deletes": report.deletes,
                "unfinished": report.unfinished.messages,
                "nextCheck": report.unfinished.next,
                "backfill": report.backfill.as_ref().map(backfill::value),
                "errors": report.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }));
            return;
        }
        say(&format!("{flow}: {}", summary(report)));
        if let Some(done) = &report.backfill {
            say(&format!("  {}", backfill::sentence(done)));
        }
        for error in &report.errors {
            say(&format!("  error: {error}"));
        }
    }

    /// Ends the display of a run.
    pub(crate) fn clear(&self) {
        if let Look::Bar(bar) = &self.look {
            bar.finish_and_clear();
        }
        *self.so_far() = 0;
        self.alternates.store(false, Ordering::Relaxed);
    }

    /// How many dead letters this run made.
    fn so_far(&self) -> MutexGuard<'_, u64> {
        self.dead_letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn json(&self, value: &Value) {
        if let Look::Json = &self.look {
            print_json(value);
        }
    }
}

/// A run in one line.
pub(crate) fn summary(report: &Report) -> String {
    let counts = report.counts;
    let mut parts = vec![
        format!("{} found", HumanCount(counts.records)),
        format!("{} delivered", HumanCount(counts.delivered)),
    ];
    for (count, what) in [
        (report.deletes, "gone"),
        (counts.unchanged, "unchanged"),
        (counts.filtered, "filtered out"),
        (counts.echoed, "echoed"),
        (counts.overruled, "overruled"),
        (counts.dead_lettered, "refused, kept as dead letters"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", HumanCount(count)));
        }
    }
    if report.unfinished.messages > 0 {
        let waiting = HumanCount(report.unfinished.messages);
        let next = report.unfinished.next.map(|next| format!(", asked after at {next}"));
        parts.push(format!("{waiting} not finished yet{}", next.unwrap_or_default()));
    }
    format!("{} in {}: {}", report.outcome(), seconds(report.took), parts.join(", "))
}

fn seconds(took: Duration) -> String {
    if took < Duration::from_secs(60) {
        format!("{:.2} s", took.as_secs_f64())
    } else {
        HumanDuration(took).to_string()
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{spinner} {human_pos} records, {per_sec:0} [{elapsed}] {wide_msg}",
    );
    let bar = ProgressBar::new_spinner();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TICK);
    bar
}

impl Watch for Progress {
    fn at(&self, point: &'static str) {
        hold::at(point);
    }

    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Scanning { flow, partition, want, resumed } => {
                let what = match want {
                    Want::All => "everything".to_owned(),
                    Want::Changed { since } => format!("what changed since {since}"),
                };
                let of =
                    if partition.is_empty() { String::new() } else { format!(" of {partition}") };
                let again = if *resumed { ", going on where it was left" } else { "" };
                if let Look::Bar(bar) = &self.look {
                    if bar.is_finished() {
                        // The next run of a schedule begins.
                        bar.reset();
                        bar.enable_steady_tick(TICK);
                    }
                    if !self.alternates.load(Ordering::Relaxed) {
                        bar.set_message(format!("{what}{of}{again}"));
                    }
                } else if !self.alternates.load(Ordering::Relaxed) {
                    self.say(&format!("{flow}: reading {what}{of}{again}"));
                }
                self.json(&json!({
                    "event": "scanning", "flow": flow, "partition": partition, "resumed": resumed,
                    "since": match want { Want::Changed { since } => json!(since), Want::All => Value::Null },
                }));
            }
            Event::Backfilling { flow, partition, want, records, done, partitions, resumed } => {
                self.alternates.store(true, Ordering::Relaxed);
                let what = match want {
                    Want::All => "everything".to_owned(),
                    Want::Changed { since } => format!("what changed since {since}"),
                };
                let of =
                    if partition.is_empty() { String::new() } else { format!(" of {partition}") };
                let part = format!("partition {} of {partitions}", done + 1);
                let records_so_far = HumanCount(*records);
                if let Look::Bar(bar) = &self.look {
                    bar.set_message(format!(
                        "backfill: {what}{of}, {part}, {records_so_far} records"
                    ));
                } else if *resumed {
                    self.say(&format!(
                        "{flow}: backfill goes on where it was left: {what}{of}, {part}, \
                         {records_so_far} records so far"
                    ));
                } else if *records == 0 {
                    self.say(&format!("{flow}: backfill of {what}{of}"));
                }
                self.json(&json!({
                    "event": "backfilling", "flow": flow, "partition": partition,
                    "records": records, "partitionsDone": done, "partitions": partitions,
                    "resumed": resumed,
                }));
            }
            Event::Committed { flow, counts, .. } => {
                if let Look::Bar(bar) = &self.look {
                    bar.inc(counts.records);
                }
                self.json(&json!({ "event": "committed", "flow": flow, "counts": counts }));
            }
            Event::Retrying { place, tries, wait, reason } => {
                self.say(&format!(
                    "{place}: {reason}; try {} in {:.1} s",
                    tries + 1,
                    wait.as_secs_f64()
                ));
                self.json(&json!({
                    "event": "retrying", "place": place.to_string(), "tries": tries,
                    "waitSeconds": wait.as_secs_f64(), "reason": reason,
                }));
            }
            Event::DeadLetter { place, code } => {
                let mut so_far = self.so_far();
                *so_far += 1;
                // A broken mapping refuses hundreds: the first few say enough.
                if *so_far <= 3 {
                    self.say(&format!("{place}: a message was refused ({code})"));
                }
                self.json(&json!({
                    "event": "deadLetter", "place": place.to_string(), "code": code,
                }));
            }
            Event::Account { account, change } => {
                let (event, mut of, words) = left_alone::event(account, change);
                self.say(&words);
                if let Some(of) = of.as_object_mut() {
                    of.insert("event".to_owned(), event.into());
                }
                self.json(&of);
            }
            // The bar and the lines are about records: a call is one of many ways to them.
            Event::Began { .. } | Event::Called { .. } => {}
            Event::Failed { error } => {
                self.json(&json!({ "event": "failed", "error": error.to_string() }));
            }
        }
    }
}

/// How far a long work on the store has come: a bar on a terminal, nothing elsewhere.
pub(crate) struct Work(Option<ProgressBar>);

impl Work {
    pub(crate) fn new(json: bool) -> Self {
        let watched = !json && std::io::stderr().is_terminal();
        Self(watched.then(ProgressBar::new_spinner))
    }

    /// So many bytes are done, of so many if that is known.
    pub(crate) fn at(&self, done: u64, of: Option<u64>) {
        let Some(bar) = &self.0 else { return };
        if let Some(of) = of
            && bar.length() != Some(of)
        {
            let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_length(of);
        } else if of.is_none() && done == 0 {
            let style = ProgressStyle::with_template("{spinner} {bytes} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        }
        bar.set_position(done);
    }

    /// Ends the display.
    pub(crate) fn done(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A line on standard error, for the person who watches; for a machine, if that reads there.
pub(crate) fn say(line: &str) {
    if log::is_json() {
        return log::said(line);
    }
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// A line on standard output: the result itself.
pub(crate) fn print(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// A JSON value in one line on standard output.
pub(crate) fn print_json(value: &Value) {
    print(&value.to_string());
}
