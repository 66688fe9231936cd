//! `towpath test`: the examples in flow files, without a network.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::again;
use crate::args::Test;
use crate::exit::{Exit, Result};
use crate::progress::{print, print_json};
use crate::project::Project;

pub(crate) async fn run(config: Option<&Path>, args: &Test, json: bool) -> Result {
    let flows = &args.files.flows;
    if args.watch {
        again::whenever_changed(config, flows, || test(config, flows, json)).await
    } else {
        test(config, flows, json)
    }
}

fn test(config: Option<&Path>, flows: &[PathBuf], json: bool) -> Result {
    let project = Project::read(config)?;
    let (mut passed, mut failed, mut broken) = (0, 0, false);
    for file in project.flow_files(flows)? {
        let (flow, checked) = project.check(&file)?;
        broken |= checked.report().is_err();
        let Some(flow) = flow else { continue };
        for result in flow.run_tests() {
            let name = result.name.clone().unwrap_or_else(|| format!("line {}", result.place.line));
            if result.passed() {
                passed += 1;
            } else {
                failed += 1;
            }
            if json {
                let failures = result.failures.iter().map(
                    |it| json!({ "step": it.step, "message": it.message, "line": it.place.line }),
                );
                print_json(&json!({
                    "flow": flow.name, "test": name, "passed": result.passed(),
                    "failures": failures.collect::<Vec<_>>(),
                }));
                continue;
            }
            let verdict = if result.passed() { "ok" } else { "FAILED" };
            print(&format!("{}: {name} ... {verdict}", flow.name));
            for failure in &result.failures {
                let step = failure.step.as_deref().unwrap_or("trigger");
                let place = &failure.place;
                print(&format!("  {}:{}:{}: {step}", place.file, place.line, place.column));
                failure.message.lines().for_each(|line| print(&format!("    {line}")));
            }
        }
    }
    if !json {
        print(&format!("{passed} passed, {failed} failed"));
    }
    Ok(match (broken, failed) {
        (true, _) => Exit::Findings,
        (false, 0) => Exit::Done,
        (false, _) => Exit::Tests,
    })
}
