//! CleverReach: the receivers of an e-mail marketing account, read and written by REST API v3.
//!
//! Start with [`connector`]; each trigger and action has its file, `receivers.rs` holds how groups
//! are read, `whole.rs` how a receiver gets all its groups, `upsert/` how one call writes receivers,
//! `plus.rs` how those that are there get tags and orders, `members.rs` how they are looked up.
//! Credentials, roles, limits and what goes wrong are in `about.md`, for whoever uses it.
//!
//! Limits: the vendor documents none and answers 429 when it has enough; four requests at once.
//! A deletion between two pages of a scan can hide one receiver until a later sweep; a change of
//! attributes or tags alone moves no stamp and waits for the sweep too.
//!
//! Must not know: engine, stores, flows, mappings' evaluation. It holds no state between calls.

mod account;
mod add_orders;
mod add_tags;
mod blacklist;
mod delete_receiver;
mod deletion;
mod ensure_attributes;
mod ensure_group;
mod get_receivers_by_group_id_polling;
mod get_receivers_polling;
mod group;
mod in_group;
mod look;
mod members;
mod one_group;
mod order;
mod plus;
mod raw_receiver;
mod receiver_events;
mod receivers;
mod rejections;
mod remove_tags;
mod set_receiver_status;
mod stamps;
mod tag;
mod taken;
mod told;
mod upsert;
mod upsert_receiver;
mod who;
mod whole;

use connector::Failure;
use connector::contact::Contact;
use connector::prelude::*;

use add_orders::AddOrders;
use add_tags::AddTags;
use blacklist::Blacklist;
use delete_receiver::DeleteReceiver;
use ensure_attributes::EnsureAttributes;
use ensure_group::EnsureGroup;
use get_receivers_by_group_id_polling::GetReceiversByGroupIdPolling;
use get_receivers_polling::GetReceiversPolling;
use raw_receiver::RawReceiver;
use receiver_events::ReceiverEvents;
use remove_tags::RemoveTags;
use set_receiver_status::SetReceiverStatus;
use upsert_receiver::UpsertReceiver;

/// From a receiver as the API gives it to the contact model.
const RECEIVER_TO_CONTACT: &str = include_str!("receiver-to-contact.jsonata");

/// The same of a receiver with all its groups: `metadata.groups` has id and name of each.
const RECEIVER_WITH_GROUPS: &str = concat!(
    r#"{
  "metadata": data.groups ? { "groups": [data.groups.{ "id": id, "name": name }] } : {},
  "data": "#,
    include_str!("receiver-to-contact.jsonata"),
    "}"
);

/// From the contact model to what [`UpsertReceiver`] takes.
const CONTACT_TO_RECEIVER: &str = include_str!("contact-to-receiver.jsonata");

/// From the contact model to a receiver by its address or id: what [`DeleteReceiver`] takes.
const CONTACT_TO_ADDRESS: &str = include_str!("contact-to-address.jsonata");

/// From the contact model to what [`SetReceiverStatus`] takes.
const CONTACT_TO_STATUS: &str = include_str!("contact-to-status.jsonata");

/// From the contact model to what [`AddTags`] and [`RemoveTags`] take.
const CONTACT_TO_TAGS: &str = include_str!("contact-to-tags.jsonata");

/// From a contact with orders to what [`AddOrders`] takes.
const CONTACT_TO_ORDERS: &str = include_str!("contact-to-orders.jsonata");

/// From the contact model to what [`Blacklist`] takes.
const CONTACT_TO_BLACKLIST: &str = include_str!("contact-to-blacklist.jsonata");

/// From the contact model to what [`EnsureGroup`] takes.
const CONTACT_TO_GROUP: &str = include_str!("contact-to-group.jsonata");

/// What [`EnsureAttributes`] takes, from its fields alone.
const FIELDS_TO_ATTRIBUTES: &str = "{ \"attributes\": $fields.attributes }";

/// No error envelope is larger; pages of receivers are, and are not searched.
const LARGEST_ENVELOPE: usize = 64 * 1024;

/// CleverReach's triggers and action, and how to reach its REST API v3.
pub fn connector() -> Connector {
    let auth = Auth::client_credentials("/oauth/token.php").or_login(account::LOGIN);
    Connector::new("cleverreach", "https://rest.cleverreach.com/v3", auth)
        .about("E-mail marketing: groups of receivers.")
        .page(include_str!("about.md"))
        .privacy(Handling::ByHand, Handling::Synchronous)
        .limit("default", 4)
        .failure_inside_200(failure)
        .test(|api| Box::pin(account::test(api)))
        .polling::<GetReceiversPolling>("getReceiversPolling", RECEIVER_WITH_GROUPS)
        .alias("getReceivers")
        .record::<RawReceiver>()
        .message::<Contact>()
        .polling::<GetReceiversByGroupIdPolling>(
            "getReceiversByGroupIdPolling",
            RECEIVER_TO_CONTACT,
        )
        .alias("getReceiversByGroup")
        .record::<RawReceiver>()
        .message::<Contact>()
        .heard::<ReceiverEvents>("receiverEvents", RECEIVER_TO_CONTACT)
        .record::<RawReceiver>()
        .message::<Contact>()
        .action::<UpsertReceiver>("upsertReceiver", CONTACT_TO_RECEIVER)
        .action::<SetReceiverStatus>("setReceiverStatus", CONTACT_TO_STATUS)
        .action::<DeleteReceiver>("deleteReceiver", CONTACT_TO_ADDRESS)
        .action::<AddTags>("addTags", CONTACT_TO_TAGS)
        .action::<RemoveTags>("removeTags", CONTACT_TO_TAGS)
        .action::<AddOrders>("addOrders", CONTACT_TO_ORDERS)
        .action::<Blacklist>("blacklist", CONTACT_TO_BLACKLIST)
        .action::<EnsureGroup>("ensureGroup", CONTACT_TO_GROUP)
        .action::<EnsureAttributes>("ensureAttributes", FIELDS_TO_ATTRIBUTES)
}

/// Finds `{"error":{"code":401,"message":"Unauthorized"}}`, which may come with a 200; so may a bare text
/// in its place.
fn failure(body: &[u8]) -> Option<Failure> {
    if body.len() > LARGEST_ENVELOPE || !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    #[derive(Deserialize)]
    struct Envelope {
        error: Said,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Envelope { code: Option<Value>, message: Option<String> },
        Text(String),
    }
    let (code, message) = match serde_json::from_slice(body).ok()? {
        Envelope { error: Said::Envelope { code, message } } => (code, message),
        Envelope { error: Said::Text(text) } => (None, Some(text)),
    };
    let code = code.and_then(|code| match code {
        Value::String(text) => text.parse().ok(),
        code => code.as_u64(),
    });
    let status = code.and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
    Some(Failure { status, message: message.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_envelope_is_a_failure_whatever_the_status() {
        let found = |body: &str| failure(body.as_bytes()).map(|f| (f.status, f.message));
        assert_eq!(
            found(r#"{"error":{"code":401,"message":"Unauthorized"}}"#),
            Some((401, "Unauthorized".to_owned()))
        );
        assert_eq!(found(r#" {"error":{"code":"404"}}"#), Some((404, String::new())));
        assert_eq!(found(r#"{"error":{"message":"odd"}}"#), Some((0, "odd".to_owned())));
        assert_eq!(found(r#"{"error":"odd"}"#), Some((0, "odd".to_owned())));
        for fine in ["", "[]", "true", r#"{"id":"1","name":"error"}"#, r#"[{"error":{"code":1}}]"#]
        {
            assert_eq!(found(fine), None, "{fine}");
        }
    }
}
