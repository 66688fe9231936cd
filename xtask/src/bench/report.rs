//! Medians, ratios and the budgets beside them, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use super::contender::Contender;
use super::measured::Measured;

/// Budgets at first; see `benches/main-job/README.md`.
const TIMES_BY_HAND: f64 = 15.0;
const TIMES_NODE: f64 = 0.25;
pub(super) const DURABILITY: f64 = 0.05;
const NOTHING_NEW: f64 = 0.020;
pub(super) const MEMORY: f64 = 64e6;
pub(super) const MEMORY_GROWTH: f64 = 0.10;
/// What a full scan, which the first run is, may remember of each record besides, in bytes.
pub(super) const ENTRY: f64 = 40.0;

/// What was measured for one number of receivers.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) receivers: usize,
    pub(crate) runs: BTreeMap<Contender, Vec<Measured>>,
    /// The runs right after the job, which found nothing to do: the database reads all that the job
    /// wrote to its log, once.
    pub(crate) reopened: Vec<Measured>,
    /// Those after them.
    pub(crate) nothing_new: Vec<Measured>,
}

/// What was measured in all.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) rounds: usize,
    pub(crate) jobs: Vec<Figures>,
}

/// A figure with a budget: `None` is not measured.
struct Budget {
    key: &'static str,
    what: String,
    value: Option<f64>,
    most: f64,
    /// How a value is shown: its factor and its unit.
    shown: (f64, &'static str),
}

impl Figures {
    fn median(&self, contender: Contender) -> Option<Measured> {
        self.runs.get(&contender).and_then(|runs| median(runs))
    }

    fn budgets(&self) -> Vec<Budget> {
        let towpath = self.median(Contender::Towpath);
        let times = |other: Contender| Some(towpath?.cpu / self.median(other)?.cpu);
        let durability = || {
            let not_durable = self.median(Contender::TowpathNotDurable)?;
            Some((towpath?.wall - not_durable.wall) / towpath?.wall)
        };
        let budget = |key, what: &str, value, most, shown| Budget {
            key,
            what: what.to_owned(),
            value,
            most,
            shown,
        };
        vec![
            budget(
                "cpuTimesByHand",
                "CPU, against the Rust program by hand",
                times(Contender::ByHand),
                TIMES_BY_HAND,
                (1.0, " x"),
            ),
            budget(
                "cpuTimesNode",
                "CPU, against the Node script",
                times(Contender::Node),
                TIMES_NODE,
                (1.0, " x"),
            ),
            budget(
                "durabilityShareOfWall",
                "durability, share of wall",
                durability(),
                DURABILITY,
                (100.0, " %"),
            ),
            budget(
                "peakMemory",
                "peak memory",
                towpath.map(|towpath| bytes(towpath.memory)),
                MEMORY,
                (1e-6, " MB"),
            ),
            budget(
                "reopenedCpu",
                "the first poll after it, CPU of the process",
                median(&self.reopened).map(|measured| measured.cpu),
                NOTHING_NEW,
                (1000.0, " ms"),
            ),
            budget(
                "nothingNewCpu",
                "a poll that finds nothing, CPU of the process",
                median(&self.nothing_new).map(|measured| measured.cpu),
                NOTHING_NEW,
                (1000.0, " ms"),
            ),
        ]
    }
}

impl Report {
    /// How much more memory the largest job takes than the smallest, besides what it remembers of
    /// each record.
    fn memory_growth(&self) -> Option<Budget> {
        let smallest = self.jobs.iter().min_by_key(|job| job.receivers)?;
        let largest = self.jobs.iter().max_by_key(|job| job.receivers)?;
        let memory = |job: &Figures| Some(bytes(job.median(Contender::Towpath)?.memory));
        let remembered = ENTRY * count(largest.receivers - smallest.receivers);
        let growth = (memory(largest)? - remembered) / memory(smallest)? - 1.0;
        (smallest.receivers < largest.receivers).then(|| Budget {
            key: "peakMemoryGrowth",
            what: format!(
                "peak memory, {} against {} receivers, less {ENTRY} bytes each",
                largest.receivers, smallest.receivers
            ),
            value: Some(growth),
            most: MEMORY_GROWTH,
            shown: (100.0, " %"),
        })
    }

    /// The same for machines: seconds, bytes, ratios.
    pub(crate) fn to_json(&self) -> Value {
        let budget = |budget: &Budget| json!({ "value": budget.value, "budget": budget.most });
        let jobs: Vec<_> = self
            .jobs
            .iter()
            .map(|job| {
                let contenders: serde_json::Map<_, _> = job
                    .runs
                    .keys()
                    .filter_map(|contender| Some((*contender, job.median(*contender)?)))
                    .map(|(contender, measured)| {
                        let figures = json!({
                            "cpuSeconds": measured.cpu,
                            "wallSeconds": measured.wall,
                            "peakMemoryBytes": measured.memory,
                            "recordsPerSecond": count(job.receivers) / measured.wall,
                        });
                        (key(contender), figures)
                    })
                    .collect();
                let budgets: serde_json::Map<_, _> =
                    job.budgets().iter().map(|b| (b.key.to_owned(), budget(b))).collect();
                json!({ "receivers": job.receivers, "contenders": contenders, "ratios": budgets })
            })
            .collect();
        json!({
            "rounds": self.rounds,
            "jobs": jobs,
            "peakMemoryGrowth": self.memory_growth().as_ref().map(budget),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for job in &self.jobs {
            writeln!(f, "\nmain job, {} receivers, median of {}", job.receivers, self.rounds)?;
            writeln!(
                f,
                "  {:<22}{:>10}{:>10}{:>12}{:>14}{:>12}",
                "", "CPU s", "wall s", "memory MB", "records/s", "CPU µs each"
            )?;
            for contender in job.runs.keys() {
                let Some(measured) = job.median(*contender) else { continue };
                writeln!(
                    f,
                    "  {:<22}{:>10.3}{:>10.3}{:>12.1}{:>14.0}{:>12.1}",
                    contender.name(),
                    measured.cpu,
                    measured.wall,
                    bytes(measured.memory) / 1e6,
                    count(job.receivers) / measured.wall,
                    measured.cpu / count(job.receivers) * 1e6,
                )?;
            }
            for budget in job.budgets() {
                writeln!(f, "  {budget}")?;
            }
        }
        match self.memory_growth() {
            Some(growth) => writeln!(f, "\n  {growth}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (factor, unit) = self.shown;
        let most = self.most * factor;
        match self.value {
            Some(value) => {
                let verdict = if value <= self.most { "kept" } else { "MISSED" };
                let value = value * factor;
                write!(f, "{}: {value:.2}{unit} (budget {most}{unit}: {verdict})", self.what)
            }
            None => write!(f, "{}: not measured (budget {most}{unit})", self.what),
        }
    }
}

fn key(contender: Contender) -> String {
    serde_json::to_value(contender)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// The median of each figure by itself.
pub(super) fn median(runs: &[Measured]) -> Option<Measured> {
    let middle = |figure: &dyn Fn(&Measured) -> f64| {
        let mut figures: Vec<_> = runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let upper = figures.get(figures.len() / 2)?;
        let lower = figures.get((figures.len() - 1) / 2)?;
        Some(f64::midpoint(*lower, *upper))
    };
    let mut memory: Vec<_> = runs.iter().map(|run| run.memory).collect();
    memory.sort_unstable();
    Some(Measured {
        cpu: middle(&|run| run.cpu)?,
        wall: middle(&|run| run.wall)?,
        memory: *memory.get(memory.len() / 2)?,
    })
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn bytes(bytes: u64) -> f64 {
    bytes as f64
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn count(receivers: usize) -> f64 {
    receivers as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(cpu: &[f64], wall: f64) -> Vec<Measured> {
        cpu.iter().map(|&cpu| Measured { cpu, wall, memory: 32_000_000 }).collect()
    }

    #[test]
    fn budgets_stand_beside_the_medians() {
        let mut job = Figures { receivers: 1000, ..Figures::default() };
        job.runs.insert(Contender::Towpath, runs(&[9.0, 1.0, 2.0], 4.0));
        job.runs.insert(Contender::TowpathNotDurable, runs(&[2.0], 3.0));
        job.runs.insert(Contender::ByHand, runs(&[0.1, 0.3], 1.0));
        let report = Report { rounds: 3, jobs: vec![job] };

        let text = report.to_string();
        for line in [
            "main job, 1000 receivers, median of 3",
            "CPU, against the Rust program by hand: 10.00 x (budget 15 x: kept)",
            "CPU, against the Node script: not measured (budget 0.25 x)",
            "durability, share of wall: 25.00 % (budget 5 %: MISSED)",
            "peak memory: 32.00 MB (budget 64 MB: kept)",
            "a poll that finds nothing, CPU of the process: not measured (budget 20 ms)",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }

        let json = report.to_json();
        assert_eq!(json["jobs"][0]["contenders"]["towpathNotDurable"]["wallSeconds"], 3.0);
        assert_eq!(json["jobs"][0]["ratios"]["cpuTimesByHand"]["value"], 10.0);
        assert_eq!(json["peakMemoryGrowth"], Value::Null);
    }
}
