//! What the service with many flows used, beside the budgets.

use std::fmt;

use serde_json::{Value, json};

/// Budgets; see `benches/idle-flows/README.md`.
const START: f64 = 3.0;
const MEMORY: f64 = 150e6;
const CPU: f64 = 0.01;
const LATE: f64 = 0.1;

/// One start of the service, and a window in which nothing was due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// Seconds from the start of the process until it serves.
    pub(crate) start: f64,
    /// Seconds of all cores until then.
    pub(crate) start_cpu: f64,
    /// Bytes that are resident at the end of the window.
    pub(crate) memory: u64,
    /// The most bytes that were.
    pub(crate) peak: u64,
    /// The share of a core that the window took.
    pub(crate) cpu: f64,
}

/// How late runs began, in seconds after the moment that their schedule and jitter name.
#[derive(Debug)]
pub(crate) struct Punctual {
    runs: usize,
    middle: Option<f64>,
    late: Option<f64>,
    latest: Option<f64>,
}

impl Punctual {
    pub(crate) fn of(mut late: Vec<f64>) -> Self {
        late.sort_by(f64::total_cmp);
        let rank = |hundredths: usize| late.get(late.len().saturating_sub(1) * hundredths / 100);
        Self {
            runs: late.len(),
            middle: rank(50).copied(),
            late: rank(99).copied(),
            latest: late.last().copied(),
        }
    }
}

/// What was measured in all.
pub(crate) struct Report {
    pub(crate) flows: usize,
    pub(crate) idle: Vec<Idle>,
    pub(crate) punctual: Punctual,
}

struct Figure {
    key: &'static str,
    what: &'static str,
    value: Option<f64>,
    budget: Option<f64>,
    /// How a value is shown: its factor and its unit.
    shown: (f64, &'static str),
}

impl Report {
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    fn figures(&self) -> Vec<Figure> {
        let median = |of: &dyn Fn(&Idle) -> f64| {
            let mut values: Vec<f64> = self.idle.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        let figure = |key, what, value, budget, shown| Figure { key, what, value, budget, shown };
        let (seconds, bytes, share) = ((1.0, " s"), (1e-6, " MB"), (100.0, " %"));
        let thousandths = (1000.0, " ms");
        let late = &self.punctual;
        vec![
            figure("start", "start until it serves", median(&|it| it.start), Some(START), seconds),
            figure("startCpu", "CPU of the start", median(&|it| it.start_cpu), None, seconds),
            figure(
                "memory",
                "memory, nothing due",
                median(&|it| it.memory as f64),
                Some(MEMORY),
                bytes,
            ),
            figure("peak", "peak memory", median(&|it| it.peak as f64), Some(MEMORY), bytes),
            figure("cpu", "CPU of a core, nothing due", median(&|it| it.cpu), Some(CPU), share),
            figure("lateMedian", "lateness after jitter, p50", late.middle, None, thousandths),
            figure("late", "lateness after jitter, p99", late.late, Some(LATE), thousandths),
            figure("latest", "the latest run", late.latest, None, thousandths),
        ]
    }

    pub(crate) fn to_json(&self) -> Value {
        let figures = self.figures().into_iter().map(|figure| {
            let Figure { key, value, budget, .. } = figure;
            (key.to_owned(), json!({ "value": value, "budget": budget }))
        });
        let figures: serde_json::Map<_, _> = figures.collect();
        json!({ "flows": self.flows, "runs": self.punctual.runs, "figures": figures })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} flows, {} runs | | budget |", self.flows, self.punctual.runs)?;
        writeln!(f, "|---|---|---|")?;
        for Figure { what, value, budget, shown: (factor, unit), .. } in self.figures() {
            let Some(value) = value else {
                writeln!(f, "| {what} | not measured | |")?;
                continue;
            };
            write!(f, "| {what} | {:.2}{unit} | ", value * factor)?;
            match budget {
                Some(budget) => {
                    let kept = if value < budget { "kept" } else { "**missed**" };
                    writeln!(f, "< {}{unit}: {kept} |", budget * factor)?;
                }
                None => writeln!(f, "|")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ninety_ninth_of_a_hundred_is_the_late_one() {
        let late = Punctual::of((1..=101).rev().map(f64::from).collect());
        assert_eq!((late.middle, late.late, late.latest), (Some(51.0), Some(100.0), Some(101.0)));
        assert_eq!(Punctual::of(vec![]).late, None);
    }
}
