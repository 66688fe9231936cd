//! The default mapping from a receiver to the contact model, as a table.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use connector::contact::Contact;
use connector::prelude::*;
use mapping::{Limits, Mapping, Moment, Variables};

fn contact(receiver: Value) -> Value {
    let connector = towpath_cleverreach::connector();
    let trigger = connector.find_trigger("getReceiversPolling").unwrap();
    let mapping = Mapping::compile(trigger.mapping).unwrap();
    let input = json!({ "metadata": { "recordUid": "279" }, "data": receiver });
    let variables = Variables::new().with("fields", json!({}));
    let at = Moment { now_ms: 1_763_700_000_000, seed: 1 };
    let result =
        mapping.evaluate(&input.to_string(), &variables, &at, &Limits::default()).unwrap().unwrap();
    assert_eq!(empties(&result), 0, "{result}");
    serde_json::from_value::<Contact>(result.clone()).unwrap();
    result
}

/// How many nulls, empty texts, lists and objects there are; a person of whom nothing is known is
/// one.
fn empties(value: &Value) -> usize {
    match value {
        Value::Null => 1,
        Value::String(text) => usize::from(text.is_empty()),
        Value::Array(items) if items.is_empty() => 1,
        Value::Array(items) => items.iter().map(empties).sum(),
        Value::Object(fields) => fields.values().map(empties).sum(),
        _ => 0,
    }
}

fn names(email: &str, attributes: Value, global: Value) -> (Option<String>, Option<String>) {
    let contact =
        contact(json!({ "email": email, "attributes": attributes, "global_attributes": global }));
    let name = |field| contact.get(field).map(|name: &Value| name.as_str().unwrap().to_owned());
    (name("firstName"), name("lastName"))
}

#[test]
fn names_come_from_the_first_attribute_that_has_one() {
    let first = |attributes, global| names("x@example.com", attributes, global).0;
    for (attributes, global, expected) in [
        (json!({ "firstname": "A", "vorname": "B" }), json!({ "firstname": "C" }), "A"),
        (json!({ "firstname": "", "vorname": "B" }), json!({ "firstname": "C" }), "B"),
        (json!({}), json!({ "firstname": "C", "vorname": "D" }), "C"),
        (json!({ "firstname": null }), json!({ "firstname": "", "vorname": " Dörte " }), "Dörte"),
    ] {
        assert_eq!(first(attributes, global).as_deref(), Some(expected));
    }
    let last = |attributes, global| names("x@example.com", attributes, global).1;
    for (attributes, global, expected) in [
        (json!({ "lastname": "A", "name": "B", "nachname": "C" }), json!({ "lastname": "D" }), "A"),
        (json!({ "name": "B", "nachname": "C" }), json!({ "lastname": "D" }), "B"),
        (json!({ "nachname": "Übel" }), json!({ "lastname": "D" }), "Übel"),
        (json!({}), json!({ "lastname": "D", "name": "E" }), "D"),
        (json!({}), json!({ "lastname": "", "name": "E", "nachname": "F" }), "E"),
        (json!({}), json!({ "nachname": "F" }), "F"),
    ] {
        assert_eq!(last(attributes, global).as_deref(), Some(expected));
    }
}

#[test]
fn without_a_family_name_the_address_tells() {
    let none = json!({});
    for (email, first, last) in [
        ("max.mustermann@example.com", Some("max"), Some("mustermann")),
        ("max_mustermann+news@example.com", Some("max"), Some("mustermann")),
        ("Anna-Maria_Muster@example.com", Some("Anna Maria"), Some("Muster")),
        ("max..mustermann.@example.com", Some("max"), Some("mustermann")),
        ("jörg.müller@example.com", Some("jörg"), Some("müller")),
        ("info@example.com", None, Some("info")),
        ("...@example.com", None, None),
        ("", None, None),
    ] {
        let expected = (first.map(str::to_owned), last.map(str::to_owned));
        assert_eq!(names(email, none.clone(), none.clone()), expected, "{email}");
    }
    let ada = json!({ "firstname": "Ada" });
    let expected = (Some("Ada".to_owned()), Some("lovelace".to_owned()));
    assert_eq!(names("a.lovelace@example.com", ada, none.clone()), expected);
    // A family name alone is not mixed with a first name out of the address.
    let lovelace = json!({ "lastname": "Lovelace" });
    let expected = (None, Some("Lovelace".to_owned()));
    assert_eq!(names("a.lovelace@example.com", lovelace, none), expected);
}

#[test]
fn a_whole_receiver_becomes_a_contact() {
    let contact = contact(json!({
        "id": "279", "email": " ada@example.com ", "group_id": "1123825", "registered": 1598960975,
        "attributes": {
            "vorname": "Ada", "nachname": "Lovelace", "anrede": "Frau", "handy": "+4915112345678",
            "plz": 26122, "firma": "Example GmbH",
        },
        "global_attributes": {
            "firstname": "", "title": "Dr.", "strasse": "Hauptstraße 12", "stadt": "Oldenburg",
            "land": "DE", "geburtsdatum": "1815-12-10", "phone": " +494411234 ", "language": "de",
            "gender": "W",
        },
        "tags": ["vip", "origin.tag"],
    }));
    let expected = json!({
        "title": "Dr.",
        "salutation": "Frau",
        "firstName": "Ada",
        "lastName": "Lovelace",
        "gender": "female",
        "birthday": "1815-12-10",
        "language": "de",
        "addresses": [{
            "street": "Hauptstraße 12", "zipCode": "26122", "city": "Oldenburg", "country": "DE",
        }],
        "contactData": [
            { "type": "email", "value": "ada@example.com" },
            { "type": "phone", "value": "+494411234" },
            { "type": "mobile", "value": "+4915112345678" },
        ],
        "categories": [
            { "name": "vip", "label": "vip" },
            { "name": "origin.tag", "label": "origin.tag" },
        ],
    });
    assert_eq!(contact, expected);
}

#[test]
fn what_is_empty_or_uncertain_is_left_out() {
    assert_eq!(contact(json!({ "id": "1" })), json!({}));
    assert_eq!(contact(json!({ "id": "1", "email": null, "attributes": null })), json!({}));
    let sparse = contact(json!({
        "id": "1", "email": "ada@example.com", "tags": [], "attributes": [],
        "global_attributes": {
            "title": "", "salutation": "", "firstname": "", "lastname": "Lovelace", "street": "",
            "zip": "", "city": "", "country": "", "birthday": "0000-00-00", "phone": " ",
            "language": null, "gender": "divers",
        },
    }));
    let expected = json!({
        "lastName": "Lovelace", "contactData": [{ "type": "email", "value": "ada@example.com" }],
    });
    assert_eq!(sparse, expected);
    for (word, gender) in [("m", "male"), (" Männlich", "male"), ("f", "female"), ("F", "female")]
    {
        let contact = contact(json!({ "attributes": { "gender": word } }));
        assert_eq!(contact, json!({ "gender": gender }));
    }
}
