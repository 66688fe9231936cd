//! What a service says: one line a run, and one for whatever changes.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;

use connector::Timestamp;
use engine::AccountChange;
use engine::service::Ran;
use serde_json::{Value, json};

use crate::commands::backfill;
use crate::commands::check::counted;
use crate::left_alone;
use crate::log::{self, Weight};
use crate::progress::{print, print_json, say, summary};
use crate::project::Checked;

/// Prints lines for a person, or JSON, one value a line; or writes them to a log for machines.
pub(crate) struct Lines {
    json: bool,
    /// People read the log of standard error instead.
    logs: bool,
}

/// Changes that somebody should look at.
const GRAVE: [&str; 7] = [
    "accountHeld",
    "accountPaused",
    "breakerOpened",
    "loginNeeded",
    "refused",
    "restartNeeded",
    "unreadable",
];

/// What a service begins with.
pub(crate) struct Begin<'a> {
    pub(crate) flows: usize,
    /// Files that have no flow to run.
    pub(crate) left_out: usize,
    /// Flows that run only when asked to.
    pub(crate) unscheduled: usize,
    pub(crate) warnings: usize,
    pub(crate) folder: &'a Path,
    pub(crate) next: Option<(Timestamp, &'a str)>,
}

impl Lines {
    pub(crate) const fn new(json: bool, logs: bool) -> Self {
        Self { json, logs }
    }

    /// Prints or logs an event for machines; says whether a person is to read it instead.
    fn machines(&self, is_warning: bool, value: &Value) -> bool {
        self.weighed(if is_warning { Weight::Warning } else { Weight::Info }, value)
    }

    fn weighed(&self, weight: Weight, value: &Value) -> bool {
        if self.json {
            print_json(value);
        }
        if self.logs {
            let event = value.get("event").and_then(Value::as_str).unwrap_or_default();
            log::event(weight, event, value);
        }
        !self.json && !self.logs
    }

    pub(crate) fn begin(&self, now: Timestamp, begin: &Begin<'_>) {
        let Begin { flows, left_out, unscheduled, warnings, folder, next } = begin;
        let value = json!({
            "event": "serving", "at": now, "flows": flows, "leftOut": left_out,
            "unscheduled": unscheduled, "warnings": warnings, "folder": folder.display().to_string(),
            "next": next.map(|(at, flow)| json!({ "at": at, "flow": flow })),
        });
        if !self.machines(*left_out > 0, &value) {
            return;
        }
        let mut line = format!("serving {} of {}", counted(*flows, "flow"), folder.display());
        for (count, what) in
            [(*left_out, " left out because of mistakes"), (*unscheduled, " without a schedule")]
        {
            if count > 0 {
                line.push_str(&format!(", {count}{what}"));
            }
        }
        if *warnings > 0 {
            let warnings = counted(*warnings, "warning");
            line.push_str(&format!(", {warnings} (`towpath check` shows them)"));
        }
        if let Some((at, flow)) = next {
            line.push_str(&format!("; next {flow} at {}", whole(*at)));
        }
        self.line(now, &line);
    }

    /// Says that no flow runs by itself yet, and how that changes: API, accounts and pages need none.
    pub(crate) fn nothing_to_run(&self, now: Timestamp, folder: &Path, flows: usize, new: &str) {
        let shown = folder.display();
        let words = match flows {
            0 => format!(
                "nothing to run yet: `{new}` makes a flow file in {shown}; it is taken up as it comes"
            ),
            _ => format!(
                "nothing runs by itself: no flow in {shown} has a schedule or is called; \
                 `towpath flow run NAME` runs one, and `every` or `cron` of its trigger schedules it"
            ),
        };
        self.change(
            now,
            "nothingToRun",
            &json!({ "folder": shown.to_string(), "flows": flows }),
            &words,
        );
    }

    /// Where the API is, and where what is public alone.
    pub(crate) fn listening(
        &self,
        now: Timestamp,
        own: Option<SocketAddr>,
        public: Option<SocketAddr>,
    ) {
        let Some(own) = own else { return };
        let value = json!({
            "event": "listening", "at": now, "address": own.to_string(),
            "public": public.map(|public| public.to_string()),
        });
        if !self.machines(false, &value) {
            return;
        }
        let public = public.map(|public| format!(", webhooks alone at http://{public}"));
        let public = public.unwrap_or_default();
        say(&format!("listening at http://{own}{public} (`towpath open` signs a browser in)"));
    }

    pub(crate) fn ran(&self, now: Timestamp, ran: &Ran<'_>, run: Option<&str>) {
        let Ran { flow, due, started, report, next } = ran;
        if self.json || self.logs {
            let value = json!({
                "event": "ran", "flow": flow, "run": run, "due": due, "started": started,
                "lateSeconds": started.since(*due).as_secs_f64(),
                "outcome": report.outcome(), "counts": report.counts, "pages": report.pages,
                "seconds": report.took.as_secs_f64(), "needsChange": report.needs_change,
                "backfill": report.backfill.as_ref().map(backfill::value),
                "errors": report.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "next": next,
            });
            self.machines(!report.errors.is_empty(), &value);
            return;
        }
        let mut line = format!("{flow}: {}", summary(report));
        if let Some(done) = &report.backfill {
            line.push_str(&format!("; {}", backfill::sentence(done)));
        }
        if let Some((first, others)) = report.errors.split_first() {
            line.push_str(&format!("; error: {first}"));
            if !others.is_empty() {
                line.push_str(&format!(" (and {} more)", others.len()));
            }
        }
        if let Some(next) = next {
            line.push_str(&format!("; next at {}", whole(*next)));
        }
        self.line(now, &line);
    }

    /// A change of what is run: an event for machines, with a flow or a file, and words for people.
    pub(crate) fn change(&self, now: Timestamp, event: &str, of: &Value, words: &str) {
        let mut value = json!({ "event": event, "at": now });
        if let (Some(value), Some(of)) = (value.as_object_mut(), of.as_object()) {
            value.extend(of.clone());
        }
        let weight = match event {
            "outage" => Weight::Error,
            _ if GRAVE.contains(&event) => Weight::Warning,
            _ => Weight::Info,
        };
        if self.weighed(weight, &value) {
            self.line(now, words);
        }
    }

    /// An account that is left alone from now on, or used again.
    pub(crate) fn account(&self, now: Timestamp, account: &str, change: &AccountChange<'_>) {
        let (event, of, words) = left_alone::event(account, change);
        self.change(now, event, &of, &words);
    }

    /// The findings about a file.
    pub(crate) fn findings(&self, checked: &Checked) {
        if self.json || self.logs {
            for finding in &checked.findings {
                let value = json!({ "event": "finding", "finding": finding });
                self.machines(true, &value);
            }
        } else if !checked.findings.is_empty() {
            say(&checked.render(std::io::stderr().is_terminal()));
        }
    }

    fn line(&self, now: Timestamp, text: &str) {
        // An error may come in several lines, a run has one.
        print(&format!("{} {}", whole(now), text.replace('\n', " ")));
    }
}

/// A moment to the second: nobody reads the rest in a log.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_secs(at.secs())
}
