//! What the parts of a flow expect of each other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use connector::prelude::*;
use flow::Context;

use crate::crm;

/// A contact as the system gives it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Row {
    id: u64,
    name: Option<String>,
    /// Free.
    custom: serde_json::Map<String, Value>,
    phones: Vec<Phone>,
    any: Value,
}

/// A number.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Phone {
    number: String,
    of: Of,
    row: Option<Box<Row>>,
}

/// What a number is of.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
enum Of {
    Work,
    Home,
}

/// The data of a message.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Person {
    first_name: String,
    name: Option<String>,
    phones: Option<Vec<Phone>>,
}

/// The findings of a flow whose trigger and step have these fields, as `message (hint)`.
fn found(trigger: &Value, step: &Value, when: &str) -> Vec<String> {
    let crm = crm::connectors().swap_remove(0).record::<Row>().message::<Person>();
    let connectors = [crm];
    let mut fields = json!({ "list": "a" });
    fields.as_object_mut().unwrap().extend(trigger.as_object().unwrap().clone());
    let text = json!({
        "flow": "a",
        "trigger": { "use": "example-crm.contactChanged", "account": "a", "fields": fields },
        "steps": [{
            "id": "b", "use": "example-crm.upsertContact", "account": "b", "when": when,
            "fields": step,
        }],
    });
    let text = text.to_string();
    let context = Context { connectors: &connectors, config: None };
    let (flow, findings) = flow::check("a.yaml", &text, &context);
    assert!(flow.is_some(), "{findings:#?}");
    let shown = findings.into_iter().map(|it| {
        let written = text.get(it.place.span).unwrap().replace("\\\"", "\"");
        let hint = it.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{} {written}: {}{hint}", it.code, it.message)
    });
    shown.collect()
}

fn when(when: &str) -> Vec<String> {
    found(&json!({}), &json!({}), when)
}

fn step(mapping: &str) -> Vec<String> {
    found(&json!({}), &json!({ "customMapping": mapping }), "true")
}

fn after(trigger: &str, step_when: &str) -> Vec<String> {
    found(&json!({ "customMapping": trigger }), &json!({}), step_when)
}

#[test]
fn fields_that_no_message_has() {
    assert_eq!(
        when("data.frstName and data.phones[of = \"work\"].numbr"),
        [
            "TP0145 frstName: `data` has no `frstName` (did you mean `firstName`?)",
            "TP0145 numbr: `data.phones` has no `numbr` (did you mean `number`?)",
        ]
    );
    assert_eq!(
        when("firstName & $trigger.firstname & metadata.recordUID & dta.x"),
        [
            "TP0145 firstName: there is no `firstName`: an expression sees `metadata` and `data` \
             (did you mean `data.firstName`?)",
            "TP0145 firstname: there is no `$trigger.firstname`: an expression sees \
             `$trigger.metadata` and `$trigger.data` (did you mean `$trigger.data.firstName`?)",
            "TP0145 recordUID: `metadata` has no `recordUID` (did you mean `recordUid`?)",
            "TP0145 dta: there is no `dta`: an expression sees `metadata` and `data` (did you mean \
             `data`?)",
        ]
    );
    assert_eq!(
        when("data.name.first or data.phones.of.x or $fields.maill or $flow.var.x"),
        [
            "TP0145 first: `data.name` is text and has no `first`",
            "TP0145 x: `data.phones.of` is text and has no `x`",
            "TP0145 maill: `$fields` has no `maill` (did you mean `mail`?)",
            "TP0145 var: `$flow` has no `var` (did you mean `vars`?)",
        ]
    );
    assert_eq!(
        when("$map(data.phones, function($p) { $p.numbr })"),
        ["TP0145 numbr: `data.phones` has no `numbr` (did you mean `number`?)"]
    );
    for fine in [
        "data.phones[0].row.custom.x.y & data.phones.row.phones.row.any.z",
        "$flow.vars.x & $flow.name & $fields.mail",
        "data.phones.{ \"n\": number }.x",
        "$lookup(data, \"x\").y & data.*.z & $map(data.phones, function($p) { $p.number })",
        "($p := data.phones; $p.number)",
        "data.phones.(number & $$.data.name & $.of)",
    ] {
        assert_eq!(when(fine), [""; 0], "{fine}");
    }
}

#[test]
fn fields_that_no_record_has() {
    assert_eq!(
        after("{ \"n\": data.firstName, \"c\": data.custom.x, \"m\": metadata.oihUid }", "true"),
        [
            "TP0145 firstName: `data` has no `firstName`: `data` is the raw record (known: `any`, \
             `custom`, `id`, `name`, `phones`)",
            "TP0145 oihUid: `metadata` has no `oihUid` (known: `recordUid`)",
        ]
    );
    let raw = found(&json!({ "skipTransformation": true }), &json!({}), "data.firstName");
    assert_eq!(raw.len(), 1, "{raw:?}");
}

#[test]
fn fields_that_the_triggers_mapping_does_not_write() {
    let missing = |trigger: &str, read: &str| !after(trigger, read).is_empty();
    for (trigger, read, is_missing) in [
        (r#"{ "mail": data.name }"#, "data.email", true),
        (r#"{ "mail": data.name }"#, "data.mail.x", false),
        (r#"{ "data": { "mail": 1 } }"#, "data.data", true),
        (r#"{ "data": { "mail": 1 } }"#, "data.mail", false),
        (r#"{ "data": 1, "x": 2 }"#, "data.data", false),
        (r#"{ "metadata": { "x": 1 }, "data": data }"#, "metadata.x", false),
        (r#"{ "metadata": { "x": 1 }, "data": data }"#, "metadata.y", true),
        (r#"{ "metadata": metadata, "data": data }"#, "metadata.y", false),
        (r#"{ "metadata": metadata, "data": data }"#, "data.y", false),
        (r#"data.id ? { "a": 1 } : { "b": [{ "c": 2 }] }"#, "data.b.c", false),
        (r#"data.id ? { "a": 1 } : { "b": [{ "c": 2 }] }"#, "data.b.d", true),
        (r#"$merge([{ "a": 1 }, data.custom])"#, "data.b", false),
        (r#"$merge([{ "a": 1 }, data.id ? { "b": 1 }])"#, "data.c", true),
        (r#"{ "a": 1, data.name: 2 }"#, "data.b", false),
        ("data.custom", "data.b", false),
        (r#"($x := { "a": 1 }; $x)"#, "data.b", true),
        // Inside of what is a field of the model, the model's own fields may be read.
        (r#"{ "phones": [{ "number": data.name }] }"#, "data.phones.of", false),
        (r#"{ "phones": [{ "number": data.name }] }"#, "data.phones.off", true),
        (r#"{ "phones": [{ "number": data.name }] }"#, "data.firstName", true),
    ] {
        assert_eq!(missing(trigger, read), is_missing, "{trigger} read by {read}");
    }
}

#[test]
fn keys_that_the_action_does_not_take() {
    assert_eq!(
        step(r#"{ "identty": metadata.recordUid, "name": { "first": data.name } }"#),
        [
            "TP0146 \"identty\": `example-crm.upsertContact` takes no `identty` (did you mean \
             `identity`?)",
            "TP0146 \"first\": `name` takes no `first` (`name` is text)",
        ]
    );
    assert_eq!(
        step(r#"data.name ? { "name": data.name } : { "identity": "x" }"#),
        ["TP0147 {: `example-crm.upsertContact` needs `identity`, and this leaves it out"]
    );
    assert_eq!(
        step(r#"$merge([{ "identity": "x" }, data.name ? { "nmae": data.name }])"#),
        ["TP0146 \"nmae\": `example-crm.upsertContact` takes no `nmae` (did you mean `name`?)"]
    );
    for fine in [
        r#"{ "identity": "x", "type": "y", "name": $merge([data]) }"#,
        r#"$merge([{ "name": data.name }, data])"#,
        r#"data.name ? { "identity": data.name }"#,
        "data",
        r#"{ "identity": "x" } ~> |$|{ "nmae": 1 }|"#,
    ] {
        assert_eq!(step(fine), [""; 0], "{fine}");
    }
}
