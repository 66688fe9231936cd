//! What came of each record, for a person or a machine.

use std::io::IsTerminal;

use flow::Flow;
use flow::message::Unmappable;
use flow::trial::{self, Located, Text, Trial, Tried};
use serde_json::{Value, json};

use super::Record;
use crate::progress::{print, print_json};
use crate::scaffold;

/// So much of a record is shown to a person.
const SHORT: usize = 160;

/// Shows trials of one flow.
pub(crate) struct Show<'a> {
    pub(crate) flow: &'a Flow,
    /// The flow's own file.
    pub(crate) file: Text<'a>,
    /// The expression that is tried in the place of the flow's, and where: at the step called so.
    pub(crate) replaced: Option<Text<'a>>,
    pub(crate) step: Option<&'a str>,
    /// Whether the records are messages already.
    pub(crate) messages: bool,
    pub(crate) json: bool,
}

impl Show<'_> {
    /// Shows one; says whether a mapping failed.
    pub(crate) fn one(&self, record: &Record, trial: &Trial) -> bool {
        let steps = self.flow.steps.iter().zip(&trial.steps);
        let steps = steps.filter(|(step, _)| self.step.is_none_or(|only| only == step.id));
        let steps: Vec<_> = steps.map(|(step, tried)| (step.id.as_str(), tried)).collect();
        let failed = trial.message.is_err()
            || steps.iter().any(|(_, tried)| matches!(tried, Tried::Failed(_)));
        if self.json {
            let steps = steps.iter().map(|(id, tried)| self.step_json(id, tried));
            let mut line = json!({
                "record": record.name,
                "raw": if self.messages { Value::Null } else { parsed(&record.text) },
                "message": trial.message.as_ref().map_or(Value::Null, |text| parsed(text)),
                "steps": steps.collect::<Vec<_>>(),
            });
            if let Err(problem) = &trial.message {
                line["error"] = self.problem_json(None, problem);
            }
            print_json(&line);
            return failed;
        }
        print(&format!("── {}", record.name));
        if !self.messages {
            print(&format!("record: {}", shortened(&record.text)));
        }
        match &trial.message {
            Ok(message) => print(&format!("message:\n{}", lines(&parsed(message)))),
            Err(problem) => {
                print("message: the trigger's mapping fails");
                self.problem(None, problem);
            }
        }
        for (id, tried) in steps {
            match tried {
                Tried::Input(input) => print(&format!("{id} would send:\n{}", lines(input))),
                Tried::Filtered => print(&format!("{id}: `when` filters it out")),
                Tried::Behind => print(&format!("{id}: it does not come here")),
                Tried::WaitsFor(others) => {
                    let others = others.join(", ");
                    print(&format!(
                        "{id}: reads what {others} would return; not known without sending"
                    ));
                }
                Tried::Failed(problem) => {
                    print(&format!(
                        "{id}: {} fails",
                        if problem.in_when { "`when`" } else { "its mapping" }
                    ));
                    self.problem(Some(id), problem);
                }
            }
        }
        print("");
        failed
    }

    fn step_json(&self, id: &str, tried: &Tried) -> Value {
        match tried {
            Tried::Input(input) => json!({ "step": id, "input": input }),
            Tried::Filtered => json!({ "step": id, "filtered": true }),
            Tried::Behind => json!({ "step": id, "reached": false }),
            Tried::WaitsFor(steps) => json!({ "step": id, "waitsFor": steps }),
            Tried::Failed(problem) => {
                json!({ "step": id, "error": self.problem_json(Some(id), problem) })
            }
        }
    }

    fn located(&self, step: Option<&str>, problem: &Unmappable) -> Located {
        let replaced = self.replaced.filter(|_| self.step == step);
        trial::locate(self.flow, step, problem, self.file, replaced)
    }

    fn problem_json(&self, step: Option<&str>, problem: &Unmappable) -> Value {
        let Located { finding, .. } = self.located(step, problem);
        json!({
            "code": problem.code, "message": finding.message, "hint": finding.hint,
            "file": finding.place.file, "line": finding.place.line, "column": finding.place.column,
        })
    }

    fn problem(&self, step: Option<&str>, problem: &Unmappable) {
        let Located { finding, text } = self.located(step, problem);
        let shown = flow::render(&[finding], &text, std::io::stdout().is_terminal());
        print(shown.trim_end());
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn lines(value: &Value) -> String {
    scaffold::block(value, 2).trim_end().to_owned()
}

/// A record in one line.
fn shortened(text: &str) -> String {
    let line = parsed(text).to_string();
    if line.chars().count() <= SHORT {
        return line;
    }
    format!("{}… (all of it with --json)", line.chars().take(SHORT).collect::<String>())
}
