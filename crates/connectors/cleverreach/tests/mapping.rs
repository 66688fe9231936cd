//! The default mappings from a receiver to the contact model and back, as tables.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use connector::contact::Contact;
use connector::prelude::*;
use mapping::{Limits, Mapping, Moment, Variables};

fn mapped(mapping: &str, data: Value, fields: Value) -> Value {
    let mapping = Mapping::compile(mapping).unwrap();
    let input = json!({ "metadata": { "recordUid": "279" }, "data": data });
    let variables = Variables::new().with("fields", fields);
    let at = Moment { now_ms: 1_763_700_000_000, seed: 1 };
    mapping.evaluate(&input.to_string(), &variables, &at, &Limits::default()).unwrap().unwrap()
}

/// The receiver that a contact becomes, as the action shows it.
fn receiver(contact: Value, fields: Value) -> Value {
    let connector = towpath_cleverreach::connector();
    let action = connector.find_action("upsertReceiver").unwrap();
    let input = mapped(action.mapping, contact, fields);
    let action = (action.configure)(json!({ "groupId": 1 })).unwrap();
    action.show(&action.prepare(input).unwrap()).unwrap()
}

fn contact(receiver: Value) -> Value {
    let connector = towpath_cleverreach::connector();
    let trigger = connector.find_trigger("getReceiversByGroupIdPolling").unwrap();
    let result = mapped(trigger.mapping, receiver, json!({}));
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
        "company": "Example GmbH",
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

/// Every name that a value is given under.
const NAMES: [&[&str]; 15] = [
    &["firstname", "vorname"],
    &["lastname", "name", "nachname"],
    &["title", "titel"],
    &["salutation", "anrede"],
    &["gender", "geschlecht"],
    &["birthday", "geburtsdatum"],
    &["language", "sprache"],
    &["company", "firma"],
    &["street", "strasse"],
    &["zip", "postleitzahl", "plz"],
    &["city", "stadt", "ort"],
    &["state", "bundesland"],
    &["country", "land"],
    &["phone", "telefon"],
    &["mobile", "mobil", "handy"],
];

fn named(values: [&str; 15]) -> Value {
    let all = NAMES.iter().zip(values).flat_map(|(names, value)| {
        names.iter().map(move |name| ((*name).to_owned(), json!(value)))
    });
    Value::Object(all.collect())
}

#[test]
fn a_whole_contact_becomes_a_receiver_and_is_read_back_as_it_was() {
    let ada = json!({
        "title": "Dr.", "salutation": "Frau", "firstName": " Ada ", "lastName": "Lovelace",
        "gender": "female", "birthday": "1815-12-10", "language": "de", "jobTitle": "Countess",
        "company": "Analytical Engines Ltd",
        "addresses": [
            { "street": "Nebenweg 1" },
            { "label": "primary", "street": "Hauptstraße", "streetNumber": 12, "zipCode": "26122",
              "city": "Oldenburg", "region": "Niedersachsen", "countryCode": "DE" },
        ],
        "contactData": [
            { "type": "fax", "value": "1" }, { "type": "email", "value": " " },
            { "type": "email" }, { "type": "email", "value": " ada@example.com" },
            { "type": "email", "value": "second@example.com" },
            { "type": "mobile", "value": "+4915112345678" }, { "type": "phone", "value": "+494411" },
        ],
        "categories": [{ "name": "vip", "label": "vip" }, "shop.buyer", { "name": "blog" }],
    });
    let expected = json!({
        "email": "ada@example.com",
        "attributes": named([
            "Ada", "Lovelace", "Dr.", "Frau", "female", "1815-12-10", "de",
            "Analytical Engines Ltd", "Hauptstraße 12", "26122", "Oldenburg", "Niedersachsen", "DE", "+494411", "+4915112345678",
        ]),
        "tags": ["vip", "shop.buyer", "blog"],
    });
    let receiver = receiver(ada, json!({}));
    // Compared as objects: the order of attributes means nothing.
    assert_eq!(receiver, expected);

    let back = contact(receiver);
    for (field, value) in [
        ("firstName", json!("Ada")),
        ("lastName", json!("Lovelace")),
        ("gender", json!("female")),
        ("birthday", json!("1815-12-10")),
        (
            "categories",
            json!(["vip", "shop.buyer", "blog"].map(|it| json!({ "name": it, "label": it }))),
        ),
    ] {
        assert_eq!(back.get(field), Some(&value));
    }
}

#[test]
fn what_a_contact_does_not_have_is_not_written() {
    let sparse = json!({
        "firstName": "", "lastName": "Lovelace", "gender": "", "birthday": null,
        "addresses": [], "contactData": [{ "type": "email", "value": "ada@example.com" },
            { "type": "mobile", "value": "+49151" }, { "type": "phone" }],
        "categories": [],
    });
    let receiver_of = |fields| receiver(sparse.clone(), fields);
    let written = json!({
        "email": "ada@example.com",
        "attributes": {
            "lastname": "Lovelace", "name": "Lovelace", "nachname": "Lovelace",
            "phone": "+49151", "telefon": "+49151",
            "mobile": "+49151", "mobil": "+49151", "handy": "+49151",
        },
    });
    assert_eq!(receiver_of(json!({})), written);
    let phone = "+49151";
    let erasing = named(["", "Lovelace", "", "", "", "", "", "", "", "", "", "", "", phone, phone]);
    let expected = json!({ "email": "ada@example.com", "attributes": erasing });
    assert_eq!(receiver_of(json!({ "eraseEmpty": true })), expected);
    // Without an address nobody is written; the action says so.
    let nobody = receiver(json!({ "firstName": "", "categories": "x" }), json!({}));
    assert_eq!(nobody, json!({ "email": "", "tags": ["x"] }));
}

#[test]
fn categories_become_tags_and_none_takes_one_away() {
    let contact = json!({ "categories": ["-vip", { "label": "shop.*" }, " - ", 7, "B2B", "--"] });
    let receiver = receiver(contact, json!({ "groupFromCategories": true }));
    assert_eq!(receiver.get("tags"), Some(&json!(["vip", "shop._", "7", "B2B"])));
    let categories = json!(["-vip", "shop.*", "-", "7", "B2B", "--"]);
    assert_eq!(receiver.get("categories"), Some(&categories));
}

#[test]
fn what_is_neither_text_nor_number_is_empty() {
    for odd in [json!(null), json!(true), json!(["x"]), json!([["x", "y"]]), json!({ "x": "y" })] {
        let contact = json!({
            "firstName": odd, "lastName": "Lovelace", "birthday": odd,
            "addresses": [{ "label": "primary", "street": odd, "streetNumber": 12, "zipCode": odd,
                "country": odd, "countryCode": "DE" }],
            "contactData": [
                { "type": "email", "value": odd }, { "type": "email", "value": "a@example.com" },
                { "type": "phone", "value": odd }, { "type": "mobile", "value": odd },
            ],
            "categories": [{ "label": odd, "name": "vip" }, { "name": odd }, null, true, ["z"]],
        });
        let expected = json!({
            "email": "a@example.com",
            "attributes": {
                "lastname": "Lovelace", "name": "Lovelace", "nachname": "Lovelace",
                "street": "12", "strasse": "12", "country": "DE", "land": "DE",
            },
            "tags": ["vip"],
            "categories": ["vip"],
        });
        let fields = json!({ "groupFromCategories": true });
        assert_eq!(receiver(contact, fields), expected, "{odd}");
        let nobody = json!({ "contactData": { "type": "email", "value": odd }, "categories": odd });
        assert_eq!(receiver(nobody, json!({})).get("email"), Some(&json!("")), "{odd}");
    }
}
