//! The default mappings on sample data: of Open Integration Hub's connector and of its successor, and
//! messages as flows have them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod mapped;

use connector::prelude::*;
use mapped::Mappings;

/// A receiver that bounced: it is not active, though nobody took back the consent.
fn stefan() -> Value {
    json!({
        "id": "279", "email": "a@b.de", "imported": 1598960975, "bounced": 1627283954,
        "group_id": "1123825", "activated": 1598960975, "registered": 1598960975, "deactivated": 0,
        "last_ip": "", "last_location": "", "last_changed": 1598960975, "last_client": "",
        "points": 0, "stars": 0, "tags": ["Customer"], "source": "User Import",
        "attributes": { "firstname": "Stefan", "name": "Meyer", "salutation": "Herr",
            "serial_salutation": "Sehr geehrter Herr Meyer" },
        "global_attributes": { "serienbriefanrede": "", "firstname": "Stefan", "lastname": "",
            "name": "Meyer", "phone": "123456" },
        "active": false, "conversion_rate": 0, "open_rate": 0, "click_rate": 0,
    })
}

#[test]
fn receivers_become_contacts() {
    let mappings = Mappings::new();
    let expected = json!({
        "salutation": "Herr", "firstName": "Stefan", "lastName": "Meyer", "consent": "given",
        "contactData": [
            { "type": "email", "value": "a@b.de" }, { "type": "phone", "value": "123456" },
        ],
        "categories": [{ "name": "Customer", "label": "Customer" }],
    });
    assert_eq!(mappings.contact(&stefan()), expected);

    let jane = json!({
        "id": "1", "email": "jane@doecorp.com", "group_id": "570909", "activated": 1704208219,
        "registered": 1704208219, "deactivated": 0, "source": "Backend", "attributes": {},
        "global_attributes": { "vorname": "Jane", "nachname": "Doe" }, "active": true,
        "events": [{ "stamp": 1704291299, "type": "log" }], "orders": [], "tags": ["business", "IT"],
    });
    let expected = json!({
        "firstName": "Jane", "lastName": "Doe", "consent": "given",
        "contactData": [{ "type": "email", "value": "jane@doecorp.com" }],
        "categories": [
            { "name": "business", "label": "business" }, { "name": "IT", "label": "IT" },
        ],
    });
    assert_eq!(mappings.contact(&jane), expected);
}

#[test]
fn the_times_tell_the_consent() {
    let mappings = Mappings::new();
    for (activated, deactivated, consent) in [
        (json!(1), json!(0), json!("given")),
        (json!("1"), json!("0"), json!("given")),
        (json!(0), json!(0), json!("pending")),
        (json!("0"), json!(""), json!("pending")),
        (json!(1), json!(2), json!("withdrawn")),
        (json!(0), json!("2"), json!("withdrawn")),
        (json!(null), json!(0), json!(null)),
        (json!(null), json!(null), json!(null)),
    ] {
        let receiver = json!({ "activated": activated, "deactivated": deactivated });
        let contact = mappings.contact(&receiver);
        assert_eq!(contact.get("consent").unwrap_or(&Value::Null), &consent, "{receiver}");
    }
}

#[test]
fn a_person_becomes_a_receiver() {
    let person = json!({
        "metadata": { "recordUid": "25mop1jxq2ss3x" },
        "data": {
            "_id": "5d1f429dbbe76eeb57af028e", "isUser": false, "firstName": "Mark",
            "lastName": "Smith", "photo": "https://example.com/mark.png", "gender": "male",
            "jobTitle": "", "nickname": "", "displayName": "", "middleName": "", "salutation": "Mr",
            "title": "", "birthday": "", "lastUpdate": "1562409837891",
            "addresses": [{ "street": "Main Str.", "streetNumber": "123", "city": "Hamburg" }],
            "contactData": [
                { "type": "email", "value": "info@smith.com", "description": "public" },
                { "type": "phone", "value": "123456", "description": "private" },
            ],
            "categories": ["Customer", "Just the best"], "relations": [], "lastUpdateBy": null,
        },
    });
    let expected = json!({
        "email": "info@smith.com",
        "attributes": {
            "firstname": "Mark", "vorname": "Mark", "lastname": "Smith", "name": "Smith",
            "nachname": "Smith", "salutation": "Mr", "anrede": "Mr", "gender": "male",
            "geschlecht": "male", "street": "Main Str. 123", "strasse": "Main Str. 123",
            "city": "Hamburg", "stadt": "Hamburg", "ort": "Hamburg", "phone": "123456",
            "telefon": "123456",
        },
        // A space cannot be in a tag.
        "tags": ["Customer", "Just_the_best"],
    });
    let mappings = Mappings::new();
    let input = |fields| mappings.input("upsertReceiver", &person, fields);
    assert_eq!(input(json!({ "groupId": 1 })), expected);
    let by_consent = input(json!({ "groupId": 1, "activation": "consent" }));
    assert_eq!(by_consent.get("consent"), None);
}

#[test]
fn a_request_for_deletion_deletes_and_writes_nothing() {
    let mappings = Mappings::new();
    let ada = json!([{ "type": "email", "value": " ada@example.com" }]);
    for (message, by, expected) in [
        (
            json!({ "metadata": { "recordUid": "279" },
                "data": { "deleteRequested": 1_763_600_000_000_i64, "firstName": "Ada",
                    "contactData": ada } }),
            "email",
            json!({ "email": "ada@example.com", "delete": true }),
        ),
        (
            json!({ "metadata": { "recordUid": "ada@example.com" }, "data": { "deleteRequested": true } }),
            "email",
            json!({ "email": "ada@example.com", "delete": true }),
        ),
        (
            json!({ "metadata": { "recordUid": 279 },
                "data": { "deleteRequested": true, "contactData": ada } }),
            "recordUid",
            json!({ "email": "", "delete": true, "id": "279" }),
        ),
        // Another account knows the person by another id: without an address nobody is deleted.
        (
            json!({ "metadata": { "recordUid": "279", "deleted": true }, "data": {} }),
            "email",
            json!({ "email": "", "delete": true }),
        ),
    ] {
        let fields = json!({ "groupId": 1, "deletes": true, "deleteBy": by });
        assert_eq!(mappings.input("upsertReceiver", &message, fields), expected, "{message}");
    }
    let not_asked = json!({ "data": { "deleteRequested": false, "contactData": ada } });
    let input = mappings.input("upsertReceiver", &not_asked, json!({ "groupId": 1 }));
    assert_eq!(input, json!({ "email": "ada@example.com" }));
}

#[test]
fn every_action_finds_its_receiver_in_a_contact() {
    let mappings = Mappings::new();
    let ada = json!({
        "metadata": { "recordUid": "279" },
        "data": {
            "contactData": [{ "type": "phone", "value": 1 }, { "type": "email", "value": "" },
                { "type": "email", "value": null }, { "type": "email", "value": ["x"] },
                { "type": "email" }, { "type": "email", "value": "ada@example.com" }],
            "categories": ["vip", { "name": "b2b" }], "consent": "withdrawn", "notes": "no mail",
            "orders": { "order_id": 7, "product": "Jeans" },
        },
    });
    let gone =
        json!({ "metadata": { "recordUid": "bob@example.com", "deleted": true }, "data": {} });
    let group = |more: Value| {
        let mut fields = json!({ "groupId": 1 });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    for (action, message, fields, expected) in [
        ("deleteReceiver", &ada, group(json!({})), json!({ "email": "ada@example.com" })),
        ("deleteReceiver", &ada, group(json!({ "by": "recordUid" })), json!({ "id": "279" })),
        ("deleteReceiver", &gone, group(json!({})), json!({ "email": "bob@example.com" })),
        (
            "setReceiverStatus",
            &ada,
            group(json!({})),
            json!({ "email": "ada@example.com", "status": "inactive" }),
        ),
        (
            "setReceiverStatus",
            &ada,
            group(json!({ "status": "active", "by": "recordUid" })),
            json!({ "id": "279", "status": "active" }),
        ),
        ("setReceiverStatus", &gone, group(json!({})), json!({ "email": "bob@example.com" })),
        (
            "addTags",
            &ada,
            group(json!({})),
            json!({ "email": "ada@example.com", "tags": ["vip", "b2b"] }),
        ),
        (
            "removeTags",
            &ada,
            group(json!({ "tags": ["shop.*"] })),
            json!({ "email": "ada@example.com", "tags": ["shop.*"] }),
        ),
        (
            "addOrders",
            &ada,
            group(json!({})),
            json!({ "email": "ada@example.com", "orders": [{ "order_id": "7", "product": "Jeans" }] }),
        ),
        ("addOrders", &gone, group(json!({})), json!({ "email": "bob@example.com", "orders": [] })),
        ("blacklist", &ada, json!({}), json!({ "email": "ada@example.com", "comment": "no mail" })),
        (
            "blacklist",
            &ada,
            json!({ "operation": "remove" }),
            json!({ "email": "ada@example.com" }),
        ),
        ("ensureGroup", &ada, json!({}), json!({ "name": "vip" })),
        ("ensureGroup", &gone, json!({ "groupName": "All" }), json!({ "name": "All" })),
        ("ensureGroup", &gone, json!({}), json!({ "name": "" })),
        (
            "ensureAttributes",
            &ada,
            json!({ "attributes": [{ "name": "visits", "type": "number" }] }),
            json!({ "attributes": [{ "name": "visits", "type": "number" }] }),
        ),
        ("ensureAttributes", &ada, json!({}), json!({ "attributes": [] })),
    ] {
        assert_eq!(mappings.input(action, message, fields.clone()), expected, "{action} {fields}");
    }
}
