//! What arrived at the sandbox: everything once, and the same from every contender.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::sandbox::Sandbox;

#[derive(Deserialize)]
struct Stats {
    clevertap: Counts,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    uploads: u64,
    records_accepted: u64,
    records_refused: u64,
}

#[derive(Deserialize)]
struct Delivered {
    total: usize,
    records: Vec<Arrived>,
}

#[derive(Deserialize)]
struct Arrived {
    record: Value,
}

/// So many are asked for at once.
const PART: usize = 10_000;

/// Fails unless every receiver arrived exactly once and nothing was refused.
pub(crate) fn check_counts(sandbox: &Sandbox, receivers: usize) -> Result<()> {
    let Counts { records_accepted, records_refused, uploads } =
        sandbox.get::<Stats>("/_sandbox/stats")?.clevertap;
    if records_accepted != receivers as u64 || records_refused != 0 {
        bail!(
            "of {receivers} receivers {records_accepted} were accepted and {records_refused} \
             refused, in {uploads} uploads"
        );
    }
    Ok(())
}

/// The records that arrived by their identity; an identity that arrived twice is an error.
pub(crate) fn fetch(sandbox: &Sandbox) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for offset in (0..).step_by(PART) {
        let path = format!("/_sandbox/delivered?offset={offset}&limit={PART}");
        let part: Delivered = sandbox.get(&path)?;
        for Arrived { record } in part.records {
            let identity = record.get("identity").map(ToString::to_string).unwrap_or_default();
            if all.insert(identity.clone(), record).is_some() {
                bail!("the receiver {identity} arrived twice");
            }
        }
        if offset + PART >= part.total {
            break;
        }
    }
    Ok(all)
}

/// Fails unless two contenders delivered the same.
pub(crate) fn compare(
    one: &BTreeMap<String, Value>,
    other: &BTreeMap<String, Value>,
) -> Result<()> {
    if one.len() != other.len() {
        bail!("{} records arrived, from the other {}", one.len(), other.len());
    }
    for ((_, one), (_, other)) in one.iter().zip(other) {
        if one != other {
            bail!("they do not send the same:\n  {one}\n  {other}");
        }
    }
    Ok(())
}
