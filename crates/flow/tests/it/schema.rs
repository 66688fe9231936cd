//! The schemas for editors.

use serde_json::Value;

use crate::crm::connectors;

#[test]
fn each_use_brings_its_fields() {
    let schema = flow::schema::flow(&connectors());
    let text = |pointer: &str| schema.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    assert_eq!(
        text("/properties/trigger/properties/use/oneOf/0/const").as_deref(),
        Some("example-crm.contactChanged")
    );
    assert_eq!(
        text("/properties/trigger/allOf/0/then/properties/fields/$ref").as_deref(),
        Some("#/$defs/example-crm.contactChanged")
    );
    assert_eq!(
        schema.pointer("/properties/trigger/allOf/0/then/required/0"),
        Some(&"fields".into())
    );
    let fields = schema.pointer("/$defs/example-crm.contactChanged").unwrap();
    assert!(
        fields
            .pointer("/properties/customMapping/description")
            .unwrap()
            .as_str()
            .unwrap()
            .contains("recordUid")
    );
    assert_eq!(fields.pointer("/properties/pageSize/default"), Some(&100.into()));
    // Editors show a line's end as the end of a paragraph; code keeps its lines.
    let about = text("/properties/trigger/properties/every/description").unwrap();
    assert!(about.len() > 100 && !about.contains('\n'), "{about}");
    let mapping = fields.pointer("/properties/customMapping/description").unwrap();
    assert!(mapping.as_str().unwrap().contains("```jsonata\n"), "{mapping}");
    assert_eq!(fields.get("additionalProperties"), Some(&false.into()));
    // Every reference leads somewhere.
    let mut open = vec![&schema];
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(schema.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        match value {
            Value::Object(fields) => open.extend(fields.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

#[test]
fn accounts_are_described_by_connector() {
    let schema = flow::schema::config(&connectors());
    let account = schema.pointer("/properties/accounts/additionalProperties/allOf/0/then").unwrap();
    assert_eq!(account.pointer("/required"), Some(&serde_json::json!(["apiKey", "project"])));
    assert_eq!(account.pointer("/properties/apiKey/anyOf").unwrap().as_array().unwrap().len(), 3);
    assert_eq!(account.pointer("/properties/project/anyOf").unwrap().as_array().unwrap().len(), 4);
}
