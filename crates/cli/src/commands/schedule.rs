//! `towpath schedule`: when flows run next.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use comfy_table::{Table, presets};
use connector::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};

use crate::args;
use crate::commands::check::counted;
use crate::exit::{Exit, Result};
use crate::progress::{print, print_json, say};
use crate::project::{Checked, Project};

/// A flow and its next ticks; a flow without a schedule has none.
struct Line {
    flow: String,
    schedule: Option<flow::Schedule>,
    ticks: Vec<Timestamp>,
}

pub(crate) fn run(config: Option<&Path>, args: &args::Schedule, json: bool) -> Result {
    let (project, checked) = Project::load(config)?;
    let named = |path: &PathBuf| {
        let file = (!path.exists()).then(|| project.flow_file(&path.to_string_lossy())).flatten();
        file.unwrap_or_else(|| path.clone())
    };
    let files = match project.flow_files(&args.flows.iter().map(named).collect::<Vec<_>>()) {
        Err(failed) => {
            checked.report()?;
            return Err(failed);
        }
        Ok(files) => files,
    };
    let from = args.from.unwrap_or_else(|| Timestamp::from_secs(SystemClock.now().secs()));
    let mut all = vec![checked];
    let mut lines = vec![];
    for file in &files {
        let (flow, checked) = project.check(file)?;
        lines.extend(flow.map(|flow| Line::of(flow, from, args.next.into())));
        all.push(checked);
    }
    // Flows without a schedule come last, those with the same tick stay in the order of files.
    lines.sort_by_key(|line| (line.ticks.is_empty(), line.ticks.first().copied()));
    if json {
        for line in &lines {
            print_json(&line.json());
        }
    } else {
        table(&lines);
    }
    // What is wrong with one file does not keep the others from being shown.
    let errors: usize = all.iter().map(Checked::errors).sum();
    for checked in all.iter().filter(|checked| !checked.findings.is_empty()) {
        say(&checked.render(std::io::stderr().is_terminal()));
    }
    if errors == 0 {
        return Ok(Exit::Done);
    }
    say(&format!("error: {}", counted(errors, "mistake")));
    Ok(Exit::Findings)
}

impl Line {
    fn of(flow: flow::Flow, from: Timestamp, count: usize) -> Self {
        let schedule = flow.trigger.schedule;
        let ticks = schedule.iter().flat_map(|schedule| schedule.ticks(from).take(count)).collect();
        Self { flow: flow.name, ticks, schedule }
    }

    /// How long after a tick the run begins; that of an interval's first one begins at once.
    fn jitter(&self, schedule: &flow::Schedule, tick: Timestamp) -> f64 {
        let every = matches!(schedule, flow::Schedule::Every(_));
        if every && self.ticks.first() == Some(&tick) {
            return 0.0;
        }
        engine::jitter(&self.flow, schedule, tick).as_secs_f64()
    }

    fn json(&self) -> Value {
        let next = |schedule: &flow::Schedule| {
            let tick = |tick: &Timestamp| {
                let jitter = self.jitter(schedule, *tick);
                json!({ "at": tick, "local": schedule.local(*tick), "jitterSeconds": jitter })
            };
            self.ticks.iter().map(tick).collect::<Vec<_>>()
        };
        json!({
            "flow": self.flow,
            "schedule": self.schedule.as_ref().map(ToString::to_string),
            "timezone": self.schedule.as_ref().map(flow::Schedule::timezone),
            "next": self.schedule.as_ref().map(next).unwrap_or_default(),
        })
    }

    fn row(&self) -> [String; 6] {
        let Some(schedule) = &self.schedule else {
            return [
                self.flow.clone(),
                "none: runs by `towpath run --once`".to_owned(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ];
        };
        let column = |show: &dyn Fn(Timestamp) -> String| {
            self.ticks.iter().map(|tick| show(*tick)).collect::<Vec<_>>().join("\n")
        };
        [
            self.flow.clone(),
            schedule.to_string(),
            schedule.timezone().to_owned(),
            column(&|tick| schedule.local(tick)),
            column(&|tick| tick.to_string()),
            column(&|tick| format!("+{:.1} s", self.jitter(schedule, tick))),
        ]
    }
}

fn table(lines: &[Line]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["flow", "schedule", "zone", "next", "in UTC", "jitter"]);
    table.add_rows(lines.iter().map(Line::row));
    print(&table.to_string());
    let every = |line: &Line| matches!(line.schedule, Some(flow::Schedule::Every(_)));
    if lines.iter().any(every) {
        print("`every` counts from the first run: shown as if it began at the first moment.");
    }
}
