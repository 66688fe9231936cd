//! The default mapping from the contact model to a profile, as a table.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use connector::prelude::*;
use mapping::{Limits, Mapping, Moment, Variables};

fn input(message: &Value, fields: Value) -> Value {
    input_of("uploadProfiles", message, fields)
}

fn input_of(action: &str, message: &Value, fields: Value) -> Value {
    let connector = towpath_clevertap::connector();
    let action = connector.find_action(action).unwrap();
    let mapping = Mapping::compile(action.mapping).unwrap();
    let variables = Variables::new().with("fields", fields.clone());
    let at = Moment { now_ms: 1_763_700_000_000, seed: 1 };
    let result = mapping
        .evaluate(&message.to_string(), &variables, &at, &Limits::default())
        .unwrap()
        .unwrap();
    let action = (action.configure)(fields).unwrap();
    action.show(&action.prepare(result).unwrap()).unwrap()
}

fn profile_data(data: Value) -> Value {
    let message = json!({ "metadata": { "recordUid": "279" }, "data": data });
    let mut input = input(&message, json!({}));
    input.get_mut("profileData").unwrap().take()
}

#[test]
fn a_contact_becomes_a_profile() {
    let message = json!({
        "metadata": { "recordUid": "279" },
        "data": {
            "firstName": "Ada", "lastName": "Lovelace", "gender": "female",
            "birthday": "1975-12-10",
            "contactData": [
                { "type": "phone", "value": "0441 1234" },
                { "type": "email", "value": "" },
                { "type": "email", "value": " ada@example.com" },
                { "type": "email", "value": "second@example.com" },
                { "type": "mobile", "value": "+4915112345678" },
                { "type": "phone", "value": "+494411234567" },
            ],
        },
    });
    let profile = json!({
        "identity": "279", "type": "profile",
        "profileData": {
            "Name": "Ada Lovelace", "Email": "ada@example.com", "Phone": "+4915112345678",
            "Gender": "F", "DOB": "$D_187401600",
        },
    });
    assert_eq!(input(&message, json!({})), profile);
    assert_eq!(input(&message, json!({ "identity": "recordUid" })), profile);
    let by_email = input(&message, json!({ "identity": "email" }));
    assert_eq!(by_email.get("identity").unwrap(), "ada@example.com");
}

#[test]
fn what_is_empty_is_left_out_and_the_record_still_goes() {
    for data in [
        json!({}),
        json!({ "firstName": "", "lastName": null, "contactData": [], "gender": "" }),
        json!({ "contactData": [{ "type": "email", "value": " " }, { "type": "email" }] }),
        json!({ "birthday": "", "gender": "intersexual" }),
    ] {
        assert_eq!(profile_data(data.clone()), json!({}), "{data}");
    }
    assert_eq!(profile_data(json!({ "lastName": "Lovelace" })), json!({ "Name": "Lovelace" }));
    assert_eq!(profile_data(json!({ "gender": "male" })), json!({ "Gender": "M" }));
}

#[test]
fn a_phone_number_is_international_or_left_out() {
    let phone = |value: Value| {
        let contact = json!({ "contactData": [{ "type": "phone", "value": value }] });
        profile_data(contact).get("Phone").cloned()
    };
    for good in ["+1234567", "+123456789012345"] {
        assert_eq!(phone(json!(good)), Some(json!(good)));
    }
    for bad in [
        "+123456",
        "+0441123456",
        "+1234567890123456",
        "4915112345678",
        "+49 151 12345678",
        "+49151x2345",
    ] {
        assert_eq!(phone(json!(bad)), None, "{bad}");
    }
    assert_eq!(phone(json!(4_915_112_345_678_u64)), None);
}

/// The number that is taken for a profile is the one that is subscribed, and taken apart from it.
#[test]
fn the_first_number_that_clevertap_takes_is_everywhere_the_same() {
    let contact = |values: &[&str]| {
        let kinds = ["phone", "mobile"].into_iter().cycle();
        let numbers = kinds.zip(values).map(|(kind, it)| json!({ "type": kind, "value": it }));
        json!({ "metadata": { "recordUid": "279" }, "data": {
            "consent": "withdrawn",
            "contactData": numbers.chain([json!({ "type": "email", "value": "ada@example.com" })])
                .collect::<Vec<_>>(),
        } })
    };
    let good = "+4915112345678";
    for (values, profile, others) in [
        (&[good][..], Some(good), Some(good)),
        (&["0151 12345678", good, "+1234567"], Some(good), Some(good)),
        (&["+0151123456", "+1234567"], Some("+1234567"), Some("+1234567")),
        // CleverTap takes none: the profile goes without, a subscription is refused by its number.
        (&["0151 12345678", "+123456"], None, Some("0151 12345678")),
        (&[""], None, None),
    ] {
        let contact = contact(values);
        let found = input(&contact, json!({}))["profileData"].get("Phone").cloned();
        assert_eq!(found, profile.map(Value::from), "{values:?}");
        for (action, fields) in [
            ("subscribe", json!({ "channel": "phone" })),
            ("subscribe", json!({ "channel": "whatsapp" })),
            ("disassociatePhone", json!({})),
        ] {
            let found = input_of(action, &contact, fields).get("value").cloned();
            let found = found.filter(|it| !it.is_null() && it != "");
            assert_eq!(found, others.map(Value::from), "{action} {values:?}");
        }
        let email = input_of("subscribe", &contact, json!({ "channel": "email" }));
        assert_eq!(email["value"], "ada@example.com");
    }
}

#[test]
fn a_birthday_is_a_day_that_exists() {
    let born = |day: &str| profile_data(json!({ "birthday": day })).get("DOB").cloned();
    for (day, seconds) in [
        ("1970-01-01", "0"),
        ("1969-12-31", "-86400"),
        ("2000-02-29", "951782400"),
        ("1900-03-01", "-2203891200"),
    ] {
        assert_eq!(born(day), Some(json!(format!("$D_{seconds}"))), "{day}");
    }
    for odd in [
        "1900-02-29",
        "2001-02-29",
        "2000-04-31",
        "2000-13-01",
        "2000-00-10",
        "2000-01-00",
        "0000-00-00",
        "10.12.1975",
        "1975-12-10T00:00:00Z",
        "1975-12",
    ] {
        assert_eq!(born(odd), None, "{odd}");
    }
}
