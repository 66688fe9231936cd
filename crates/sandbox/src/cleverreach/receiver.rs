//! A receiver: as callers hand it over, as it is stored, and as its JSON is written.

use std::borrow::Cow;
use std::io::Write;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::touch::Stamp;

/// The account-wide attributes that are defined; every receiver shows all of them.
pub(super) const GLOBAL_ATTRIBUTES: [&str; 13] = [
    "salutation",
    "title",
    "firstname",
    "lastname",
    "street",
    "zip",
    "city",
    "company",
    "country",
    "birthday",
    "phone",
    "language",
    "newsletter",
];

/// A receiver as it is added and read back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Receiver {
    /// Its number as a string; empty takes the next free one. A known one is replaced.
    pub id: String,
    /// The e-mail address.
    pub email: String,
    /// Epoch seconds of the registration.
    pub registered: i64,
    /// Epoch seconds of the activation; 0 = never.
    pub activated: i64,
    /// Epoch seconds of the unsubscription; 0 = never.
    pub deactivated: i64,
    /// Epoch seconds of the last bounce; 0 = never.
    pub bounced: i64,
    /// Where it came from.
    pub source: String,
    /// The attributes of its groups.
    pub attributes: Map<String, Value>,
    /// The account-wide attributes; those that are defined and missing are filled with "".
    pub global_attributes: Map<String, Value>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The ids of the groups that it is in.
    pub groups: Vec<String>,
    /// How often it opened or clicked; moves address, place and program of the last time, points
    /// and the rates, and adds events.
    pub opens: u32,
    /// The vendor's own rating of it, 0 to 5.
    pub stars: u32,
    /// What it ordered, item by item.
    pub orders: Vec<Value>,
}

/// The four times.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stamps {
    pub(super) registered: i64,
    pub(super) activated: i64,
    pub(super) deactivated: i64,
    pub(super) bounced: i64,
}

impl Stamps {
    pub(super) fn is_active(&self) -> bool {
        self.activated > 0 && self.deactivated == 0
    }

    pub(super) fn set(&mut self, field: Stamp, at: i64) {
        *match field {
            Stamp::Registered => &mut self.registered,
            Stamp::Activated => &mut self.activated,
            Stamp::Deactivated => &mut self.deactivated,
            Stamp::Bounced => &mut self.bounced,
        } = at;
    }
}

/// A stored receiver: what lists sort and filter by, and its JSON but for id and group.
///
/// Holding the text instead of a tree of attributes is what lets a page of a thousand be copied
/// together in well under a millisecond.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) email: Box<str>,
    pub(super) stamps: Stamps,
    pub(super) tags: Box<[Box<str>]>,
    pub(super) groups: Box<[u64]>,
    opens: u32,
    stars: u32,
    orders: Box<[Value]>,
    /// `"email":…,"bounced":0,`: what stands before the group.
    head: Box<[u8]>,
    /// `"activated":…,"click_rate":0`: what stands behind it.
    tail: Box<[u8]>,
}

#[derive(Serialize)]
struct Head<'a> {
    email: &'a str,
    imported: i64,
    bounced: i64,
}

#[derive(Serialize, Deserialize)]
struct Tail<'a, A> {
    activated: i64,
    registered: i64,
    deactivated: i64,
    last_ip: Cow<'a, str>,
    last_location: Cow<'a, str>,
    last_client: Cow<'a, str>,
    points: u32,
    stars: u32,
    source: Cow<'a, str>,
    attributes: A,
    global_attributes: A,
    active: bool,
    conversion_rate: u32,
    open_rate: u32,
    click_rate: u32,
}

/// What a stored receiver is made from; `A` is anything that is written as a JSON object.
pub(super) struct Draft<'a, A> {
    pub(super) id: u64,
    pub(super) email: &'a str,
    pub(super) stamps: Stamps,
    pub(super) source: &'a str,
    pub(super) stars: u32,
    pub(super) opens: u32,
    pub(super) attributes: A,
    pub(super) global_attributes: A,
    pub(super) tags: Box<[Box<str>]>,
    pub(super) groups: Box<[u64]>,
}

/// How much of a receiver an answer shows: the bits of `detail`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detail(pub(super) u32);

impl Detail {
    pub(super) const ALL: Self = Self(7);
}

impl Entry {
    pub(super) fn new<A: Serialize>(draft: Draft<'_, A>) -> Self {
        let Draft { id, email, stamps, source, stars, opens, .. } = draft;
        let (last_ip, last_location, last_client) = last_seen(opens);
        let head = Head { email, imported: stamps.registered, bounced: stamps.bounced };
        let tail = Tail {
            activated: stamps.activated,
            registered: stamps.registered,
            deactivated: stamps.deactivated,
            last_ip,
            last_location,
            last_client,
            points: stars * 100 + opens * 5,
            stars,
            source: Cow::Borrowed(source),
            attributes: draft.attributes,
            global_attributes: draft.global_attributes,
            active: stamps.is_active(),
            conversion_rate: opens,
            open_rate: stars * 10 + opens,
            click_rate: stars * 2 + opens,
        };
        Self {
            id,
            email: email.into(),
            stamps,
            tags: draft.tags,
            groups: draft.groups,
            opens,
            stars,
            orders: Box::default(),
            head: members(&head, 96),
            tail: members(&tail, 640),
        }
    }

    /// Makes an entry from what a caller handed over, with the defined attributes filled in.
    pub(super) fn from_receiver(receiver: &Receiver, id: u64) -> Self {
        let mut global_attributes = receiver.global_attributes.clone();
        for name in GLOBAL_ATTRIBUTES {
            global_attributes.entry(name).or_insert_with(|| Value::String(String::new()));
        }
        let entry = Self::new(Draft {
            id,
            email: &receiver.email,
            stamps: Stamps {
                registered: receiver.registered,
                activated: receiver.activated,
                deactivated: receiver.deactivated,
                bounced: receiver.bounced,
            },
            source: &receiver.source,
            stars: receiver.stars,
            opens: receiver.opens,
            attributes: receiver.attributes.clone(),
            global_attributes,
            tags: receiver.tags.iter().map(|tag| tag.as_str().into()).collect(),
            groups: receiver.groups.iter().filter_map(|group| group.parse().ok()).collect(),
        });
        Self { orders: receiver.orders.clone().into(), ..entry }
    }

    /// Reads the receiver back.
    pub(super) fn to_receiver(&self) -> Receiver {
        let mut text = Vec::with_capacity(self.tail.len() + 2);
        text.push(b'{');
        text.extend_from_slice(&self.tail);
        text.push(b'}');
        let tail: Option<Tail<'_, Map<String, Value>>> = serde_json::from_slice(&text).ok();
        let (source, attributes, global_attributes) = tail.map_or_else(Default::default, |tail| {
            (tail.source.into_owned(), tail.attributes, tail.global_attributes)
        });
        Receiver {
            id: self.id.to_string(),
            email: self.email.to_string(),
            registered: self.stamps.registered,
            activated: self.stamps.activated,
            deactivated: self.stamps.deactivated,
            bounced: self.stamps.bounced,
            source,
            attributes,
            global_attributes,
            tags: self.tags.iter().map(ToString::to_string).collect(),
            groups: self.groups.iter().map(ToString::to_string).collect(),
            opens: self.opens,
            stars: self.stars,
            orders: self.orders.to_vec(),
        }
    }

    /// Appends the receiver's JSON as `group` shows it.
    pub(super) fn write(&self, out: &mut Vec<u8>, group: u64, detail: Detail, integer_ids: bool) {
        out.extend_from_slice(b"{\"id\":");
        write_id(out, self.id, integer_ids);
        out.push(b',');
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b",\"group_id\":");
        write_id(out, group, integer_ids);
        out.push(b',');
        out.extend_from_slice(&self.tail);
        if detail.0 & 4 != 0 {
            out.extend_from_slice(b",\"tags\":");
            extend_json(out, &self.tags);
        }
        if detail.0 & 1 != 0 {
            let event = |kind: &str, kind_id: &str, value: &str| {
                serde_json::json!({
                    "stamp": self.stamps.registered, "type": kind, "type_id": kind_id,
                    "value": value, "mailing_id": "0", "groups_id": group.to_string(),
                })
            };
            let opened = (1..=self.opens).map(|nth| event("log", "", &format!("opening {nth}")));
            let inserted = event("api", "REST insert", "127.0.0.1");
            let events: Vec<Value> = std::iter::once(inserted).chain(opened).collect();
            out.extend_from_slice(b",\"events\":");
            extend_json(out, &events);
        }
        if detail.0 & 2 != 0 {
            out.extend_from_slice(b",\"orders\":");
            extend_json(out, &self.orders);
        }
        out.push(b'}');
    }

    /// Estimates how long the JSON will be.
    pub(super) fn size(&self) -> usize {
        self.head.len() + self.tail.len() + 64
    }
}

/// From where and with what a receiver opened a mailing last: address, place, program.
fn last_seen(opens: u32) -> (Cow<'static, str>, Cow<'static, str>, Cow<'static, str>) {
    if opens == 0 {
        return ("".into(), "".into(), "".into());
    }
    let place = if opens.is_multiple_of(2) { "DE" } else { "AT" };
    (
        format!("198.51.100.{}", opens % 256).into(),
        place.into(),
        format!("Example Mail {opens}").into(),
    )
}

/// Writes a number as the API shows ids.
fn write_id(out: &mut Vec<u8>, id: u64, integer_ids: bool) {
    let written = if integer_ids { write!(out, "{id}") } else { write!(out, "\"{id}\"") };
    debug_assert!(written.is_ok(), "writing to memory does not fail");
}

fn extend_json(out: &mut Vec<u8>, value: &impl Serialize) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "writing to memory does not fail");
}

/// Writes a struct as JSON without its braces.
fn members(value: &impl Serialize, size: usize) -> Box<[u8]> {
    let mut text = Vec::with_capacity(size);
    extend_json(&mut text, value);
    text.pop();
    text.drain(..1);
    text.into_boxed_slice()
}
