//! What a receiver looks like, for those who write mappings.

use connector::prelude::*;
use serde_json::Map;

use crate::group::Id;

/// A receiver as CleverReach gives it, in one of its groups.
///
/// Only its schema is used: records stay the text that the API sent.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct RawReceiver {
    /// The receiver's id.
    id: Id,
    /// The e-mail address.
    email: String,
    /// A number that tells of its import.
    imported: u64,
    /// When mail to it last bounced, in epoch seconds; 0 is never.
    bounced: u64,
    /// The id of the group.
    group_id: Id,
    /// When it was activated, in epoch seconds; 0 is never.
    activated: u64,
    /// When it was registered, in epoch seconds.
    registered: u64,
    /// When it was deactivated (unsubscribed), in epoch seconds; 0 is never.
    deactivated: u64,
    /// The address of the person's computer when it was last seen.
    last_ip: String,
    /// Where the person was then.
    last_location: String,
    /// The program that the person used then.
    last_client: String,
    /// Points for opens and clicks.
    points: u64,
    /// CleverReach's own rating.
    stars: u64,
    /// Where the receiver comes from.
    source: String,
    /// The values of the group's attributes, by their names.
    attributes: Map<String, Value>,
    /// The values of the account's attributes, by their names: every one that is defined, "" where
    /// nothing is known.
    global_attributes: Map<String, Value>,
    /// Whether the receiver gets mail.
    active: bool,
    /// The rate of orders.
    conversion_rate: f64,
    /// The rate of mails opened.
    open_rate: f64,
    /// The rate of links clicked.
    click_rate: f64,
    /// Its tags, unless `detail` leaves them out.
    tags: Vec<String>,
    /// What happened to its mails, where `detail` asks for it.
    events: Option<Vec<Map<String, Value>>>,
    /// Its orders, where `detail` asks for them.
    orders: Option<Vec<Map<String, Value>>>,
    /// All its groups, where `messages` is `perReceiver`. The rest of the record is as the first of
    /// them has it.
    groups: Option<Vec<RawGroup>>,
}

/// A group that a receiver is in, with what is the group's own about it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct RawGroup {
    /// The id of the group.
    id: String,
    /// Its name.
    name: String,
    /// Whether the receiver gets mail as one of this group.
    active: bool,
    /// When it was registered there, in epoch seconds.
    registered: u64,
    /// When it was activated there; 0 is never.
    activated: u64,
    /// When it was deactivated there; 0 is never.
    deactivated: u64,
    /// When mail to it last bounced; 0 is never.
    bounced: u64,
    /// The values of the group's attributes, by their names.
    attributes: Map<String, Value>,
}
