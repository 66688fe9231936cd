//! A contact that becomes a receiver, and that receiver a contact again, is the same receiver.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod mapped;

use std::sync::LazyLock;

use connector::prelude::*;
use mapped::Mappings;
use proptest::option::of;
use proptest::prelude::*;

static MAPPINGS: LazyLock<Mappings> = LazyLock::new(Mappings::new);

fn word() -> impl Strategy<Value = String> {
    "[A-Za-zäöüß0-9' .,_-]{0,10}"
}

prop_compose! {
    fn address()(
        street in of(word()), number in of(0_u32..200), zip in of("[0-9]{0,5}"), city in of(word()),
        region in of(word()), country in of(word()), code in of("[A-Z]{2}"),
        label in of(prop_oneof!["primary", "work"]),
    ) -> Value {
        json!({
            "street": street, "streetNumber": number, "zipCode": zip, "city": city,
            "region": region, "country": country, "countryCode": code, "label": label,
        })
    }
}

prop_compose! {
    fn contact()(
        names in (of(word()), of(word()), of(word()), of(word())),
        gender in of(prop_oneof!["male", "female", "intersexual", Just(String::new())]),
        birthday in of(prop_oneof!["19[0-9]{2}-0[1-9]-1[0-9]", Just("0000-00-00".to_owned())]),
        more in (of(word()), of(word())),
        consent in of(prop_oneof!["given", "pending", "withdrawn"]),
        addresses in proptest::collection::vec(address(), 0..3),
        email in "[a-z]{1,6}([._-][a-z]{1,6})?@example\\.com",
        reached in proptest::collection::vec((prop_oneof!["phone", "mobile", "fax"], word()), 0..4),
        categories in proptest::collection::vec(
            (word(), word(), any::<bool>()).prop_map(|(name, label, text)| match text {
                true => json!(label),
                false => json!({ "name": name, "label": label }),
            }),
            0..4,
        ),
    ) -> Value {
        let mut ways = vec![json!({ "type": "email", "value": email })];
        ways.extend(reached.iter().map(|(kind, value)| json!({ "type": kind, "value": value })));
        json!({
            "title": names.0, "salutation": names.1, "firstName": names.2, "lastName": names.3,
            "gender": gender, "birthday": birthday, "language": more.0, "company": more.1,
            "consent": consent, "addresses": addresses, "contactData": ways,
            "categories": categories,
        })
    }
}

fn receiver(contact: &Value) -> Value {
    let fields = json!({ "groupId": 1, "activation": "consent" });
    MAPPINGS.input("upsertReceiver", &json!({ "data": contact }), fields)
}

/// The receiver as CleverReach has it once it was written, whichever attributes it has.
fn stored(receiver: &Value, of_account: bool) -> Value {
    let mut stored = receiver.clone();
    let fields = stored.as_object_mut().unwrap();
    let attributes = fields.remove("attributes").unwrap_or_default();
    let scope = if of_account { "global_attributes" } else { "attributes" };
    fields.insert(scope.to_owned(), attributes);
    let (activated, deactivated) = match fields.remove("consent").as_ref().and_then(Value::as_str) {
        Some("given") => (json!(1_763_600_000), json!(0)),
        Some("pending") => (json!(0), json!(0)),
        Some(_) => (json!(0), json!(1_763_600_000)),
        None => (Value::Null, Value::Null),
    };
    fields.extend([("activated".to_owned(), activated), ("deactivated".to_owned(), deactivated)]);
    stored
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_receiver_stays_the_same(contact in contact(), of_account in any::<bool>()) {
        let mut first = receiver(&contact);
        let named = contact.get("lastName").and_then(Value::as_str);
        if named.is_none_or(|name| name.trim().is_empty()) {
            // Without a family name the address gives one, once.
            first = receiver(&MAPPINGS.contact(&stored(&first, of_account)));
        }
        let again = receiver(&MAPPINGS.contact(&stored(&first, of_account)));
        prop_assert_eq!(again, first);
    }
}
