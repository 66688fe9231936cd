//! Why the connectors' default mappings are always evaluated by the default engine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mapping::{Engine, Limits, Mapping, Moment, Variables};
use serde_json::{Value, json};

fn run(engine: Engine, source: &str, message: &Value) -> Result<Value, String> {
    let variables = Variables::new().with("fields", json!({ "identity": "recordUid" }));
    let at = Moment { now_ms: 1_763_700_000_000, seed: 1 };
    let mapping = Mapping::compile_with(engine, source).map_err(|error| error.code)?;
    let result = mapping.evaluate(&message.to_string(), &variables, &at, &Limits::default());
    result.map(Option::unwrap_or_default).map_err(|error| error.code)
}

#[test]
fn jsonata_rs_cannot_read_the_default_mappings() {
    let cleverreach = cleverreach::connector();
    let clevertap = clevertap::connector();
    let by_group = cleverreach.find_trigger("getReceiversByGroupIdPolling").unwrap();
    let mappings = [
        ("getReceiversByGroupIdPolling", by_group.mapping),
        ("upsertReceiver", cleverreach.find_action("upsertReceiver").unwrap().mapping),
        ("uploadProfiles", clevertap.find_action("uploadProfiles").unwrap().mapping),
    ];
    let message = json!({
        "metadata": { "recordUid": "279" },
        "data": {
            "firstName": "Ada", "lastName": "Lovelace", "gender": "female",
            "birthday": "1975-12-10", "email": "ada@example.com",
            "attributes": { "firstname": "Ada", "lastname": "Lovelace" },
            "contactData": [{ "type": "email", "value": "ada@example.com" }],
            "categories": [{ "name": "vip" }], "tags": ["vip"],
        },
    });
    let found = mappings.map(|(name, source)| {
        assert!(run(Engine::Jlens, source, &message).unwrap().is_object(), "{name}");
        (name, run(Engine::JsonataRs, source, &message).unwrap_err())
    });
    // Alternatives (`?:`) cannot be read, and `$type` is missing.
    let expected = [
        ("getReceiversByGroupIdPolling", "S0211"),
        ("upsertReceiver", "T1006"),
        ("uploadProfiles", "S0211"),
    ];
    assert_eq!(found, expected.map(|(name, code)| (name, code.to_owned())));
}
