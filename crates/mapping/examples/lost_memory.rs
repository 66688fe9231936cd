//! Measures what evaluations cost: `lost_memory ENGINE COUNT` prints time and peak memory.
#![allow(clippy::print_stdout, reason = "its figures are its purpose")]

use std::time::Instant;

use serde_json::json;
use towpath_mapping::{Engine, Limits, Mapping, Moment, Variables};

/// An everyday mapping of a contact.
const MAPPING: &str = r#"(
  $clean := function($value) { $trim($string($value)) };
  $reached := function($kind) { data.contactData[type = $kind].value };
  $email := $reached("email");
  $phone := $reached("phone");
  $name := $clean(data.firstName) & " " & $clean(data.lastName);
  {
    "identity": metadata.recordUid,
    "profileData": $merge([
      {
        "Name": $name,
        "Email": $email,
        "City": data.addresses[0].city,
        "Tags": data.categories.name,
        "Vip": "vip" in data.categories.name
      },
      $phone ? { "Phone": $phone }
    ])
  }
)"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let engine = arguments.next().and_then(|name| Engine::named(&name)).ok_or("ENGINE?")?;
    let count: u32 = arguments.next().ok_or("COUNT?")?.parse()?;
    let mapping = Mapping::compile_with(engine, MAPPING)?;
    let note = "a note that fills the record to about a kilobyte, as records have them. ".repeat(7);
    let message = json!({
        "metadata": { "recordUid": "279" },
        "data": {
            "firstName": "Ada", "lastName": " Lovelace", "gender": "female", "note": note,
            "contactData": [
                { "type": "email", "value": "ada@example.com" },
                { "type": "phone", "value": "+494411234567" },
            ],
            "addresses": [{ "street": "Hauptstra\u{df}e 12", "zipCode": "26122", "city": "Oldenburg" }],
            "categories": [{ "name": "vip" }, { "name": "blog" }],
        },
    })
    .to_string();
    let started = Instant::now();
    for seed in 0..count {
        let at = Moment { now_ms: 1_763_700_000_000, seed: seed.into() };
        mapping.evaluate(&message, &Variables::new(), &at, &Limits::default())?;
    }
    let each = started.elapsed().as_secs_f64() * 1e6 / f64::from(count.max(1));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!(
        "{} x {count}, {} bytes each: {each:.1} \u{b5}s, {peak}",
        engine.name(),
        message.len()
    );
    Ok(())
}
