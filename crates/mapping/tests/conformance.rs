//! Compares evaluation with the official JSONata test suite, where its cases are at hand.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use towpath_mapping::{Limits, Mapping, Moment, Variables};

#[derive(Deserialize)]
struct Case {
    id: String,
    expr: String,
    #[serde(rename = "hasData")]
    has_data: bool,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    bindings: Map<String, Value>,
    timelimit: Option<u64>,
    depth: Option<usize>,
    exp: Expected,
}

#[derive(Deserialize)]
struct Expected {
    k: String,
    #[serde(default)]
    v: Value,
    code: Option<String>,
}

#[test]
fn official_suite() {
    let folder = std::env::var_os("TOWPATH_JSONATA_SUITE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/jsonata-suite"),
        PathBuf::from,
    );
    let Ok(cases) = std::fs::read_to_string(folder.join("cases.jsonl")) else {
        println!("skipped: no cases.jsonl in {}", folder.display());
        return;
    };
    let (mut passed, mut total) = (0_u32, 0_u32);
    for line in cases.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        total += 1;
        match check(&case) {
            Ok(()) => passed += 1,
            Err(difference) => println!("{}: {difference}", case.id),
        }
    }
    println!("official JSONata suite: {passed} of {total} cases pass");
    assert!(f64::from(passed) >= 0.995 * f64::from(total), "{passed} of {total}");
}

fn check(case: &Case) -> Result<(), String> {
    let limited = case.depth.is_some() || case.timelimit.is_some();
    let limits = Limits {
        time: case.timelimit.map_or(Duration::from_secs(10), Duration::from_millis),
        steps: 100_000_000,
        depth: case.depth.unwrap_or(10_000),
        array: 20_000_000,
        string: 64 << 20,
        result: 64 << 20,
    };
    let variables = case.bindings.iter().fold(Variables::new(), |variables, (name, value)| {
        variables.with(String::leak(name.clone()), value.clone())
    });
    let moment = Moment { now_ms: 1_700_000_000_000, seed: 7 };
    let result = Mapping::compile(&case.expr).and_then(|mapping| {
        if !case.has_data {
            return mapping.evaluate_alone(&variables, &moment, &limits);
        }
        mapping.evaluate(&case.data.to_string(), &variables, &moment, &limits)
    });
    match (case.exp.k.as_str(), result) {
        ("undef", Ok(None)) => Ok(()),
        ("val", Ok(Some(value))) if same(&value, &case.exp.v) => Ok(()),
        ("err", Err(error)) => {
            let code = if limited && matches!(error.code.as_str(), "D1011" | "D1012" | "U1006") {
                "U1001"
            } else {
                &error.code
            };
            match case.exp.code.as_deref() {
                Some(expected) if expected != code => Err(format!("{error}, not {expected}")),
                _ => Ok(()),
            }
        }
        (kind, result) => Err(format!("{result:?}, not {kind} {:?}", case.exp.v)),
    }
}

/// Deep equality in which `1` is `1.0`.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, l)| right.get(key).is_some_and(|r| same(l, r)))
        }
        _ => left == right,
    }
}
