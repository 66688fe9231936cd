//! The ledger: what must have arrived, what did, and what the binary reports instead.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::Receiver;
use serde_json::{Map, Value};

use crate::story::{InDoubt, MEMBERS, Story};

/// What is due since the story began.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) profiles: u64,
    pub(crate) members: u64,
    /// Each event that has to be raised, in a text of its own.
    pub(crate) events: BTreeSet<String>,
    /// The ids of the receivers that are gone.
    pub(crate) gone: Vec<String>,
}

/// How many profiles and members were sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) profiles: u64,
    pub(crate) members: u64,
}

/// What crashes and faults allow to be sent again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    /// Messages of actions that may be repeated: the batches of pages that were not committed, and
    /// those that were not answered.
    pub(crate) messages: u64,
    /// Calls of an action that must not be repeated of which nobody knows whether they arrived.
    pub(crate) calls: u64,
}

/// What was sent more often than once, and what the binary holds because nobody knows whether it
/// was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Again {
    pub(crate) profiles: u64,
    pub(crate) members: u64,
    /// Events that were sent again because their step says so.
    pub(crate) events: u64,
    /// Events that are reported in doubt.
    pub(crate) in_doubt: u64,
    pub(crate) allowed: Allowed,
}

impl Again {
    /// The sum of both.
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            profiles: self.profiles + other.profiles,
            members: self.members + other.members,
            events: self.events + other.events,
            in_doubt: self.in_doubt + other.in_doubt,
            allowed: Allowed {
                messages: self.allowed.messages + other.allowed.messages,
                calls: self.allowed.calls + other.allowed.calls,
            },
        }
    }
}

/// A dead letter of the binary.
struct Letter {
    step: String,
    code: String,
    record: String,
    /// The event that it holds, if it is one.
    event: String,
}

impl Due {
    /// A receiver is new or differs.
    pub(crate) fn change(&mut self, receiver: &Receiver) {
        self.profiles += 1;
        self.members += 1;
        let name = text(&receiver.attributes, "name");
        self.events.insert(changed(&receiver.id, name, &receiver.tags.join(" ")));
    }

    /// A receiver is gone.
    pub(crate) fn leave(&mut self, id: &str) {
        self.profiles += 1;
        self.events.insert(left(id));
        self.gone.push(id.to_owned());
    }
}

fn changed(id: &str, name: &str, tags: &str) -> String {
    format!("{id} changed: {name}; {tags}")
}

fn left(id: &str) -> String {
    format!("{id} left")
}

impl Story {
    /// How many profiles and members were sent so far.
    pub(crate) fn sent(&self) -> Sent {
        let tap = self.source.stats().clevertap;
        let members = self.target.stats().cleverreach.receivers_upserted;
        Sent { profiles: tap.records_accepted - tap.events_accepted, members }
    }

    /// Compares both sides: everything arrived in its latest version or is a dead letter that can
    /// be seen; no more was sent again than is allowed.
    pub(crate) fn settle(&self, allowed: Allowed) -> Result<Again, String> {
        let letters = self.letters();
        self.compare(&letters)?;
        let (events, in_doubt) = self.weigh_events(&letters, allowed.calls)?;
        let (sent, due) = (self.sent(), &self.due);
        let again = Again {
            // What is refused and kept was not taken.
            profiles: sent.profiles.saturating_sub(due.profiles),
            members: sent.members.saturating_sub(due.members),
            events,
            in_doubt,
            allowed,
        };
        if again.profiles.max(again.members) > allowed.messages {
            return Err(format!("sent again without need: {again:?}"));
        }
        Ok(again)
    }

    /// Looks for every receiver, in its latest version, on the other side.
    fn compare(&self, letters: &[Letter]) -> Result<(), String> {
        let profiles = self.source.profiles();
        let receivers = self.source.receivers();
        let missing = |step: &str, is_there: &dyn Fn(&Receiver) -> bool| {
            let is_kept = |id: &str| letters.iter().any(|it| it.step == step && it.record == id);
            let missing: Vec<&Receiver> =
                receivers.iter().filter(|it| !is_there(it) && !is_kept(&it.id)).collect();
            let Some(one) = missing.first() else { return Ok(()) };
            Err(format!("{} {step} are missing or old: {}", missing.len(), one.id))
        };
        missing("profiles", &|it| profiles.get(&it.id).is_some_and(|found| is_profile(found, it)))?;
        let group = MEMBERS.to_string();
        missing("members", &|it| {
            self.target.member(&group, &it.email).is_some_and(|found| is_member(&found, it))
        })?;
        let is_noted = |id: &&String| {
            profiles.get(*id).is_some_and(|found| text(found, "Newsletter") == "left")
        };
        match self.due.gone.iter().find(|id| !is_noted(id)) {
            Some(id) => Err(format!("nobody was told that {id} is gone")),
            None => Ok(()),
        }
    }

    /// Looks for every event: it was raised exactly once, or is a dead letter. Gives how many were
    /// raised again because their step says so, and how many are held in doubt.
    ///
    /// Only what was part of so many calls may have been raised twice, or be in doubt.
    fn weigh_events(&self, letters: &[Letter], calls: u64) -> Result<(u64, u64), String> {
        let mut uploads: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for delivered in self.source.delivered() {
            if let Some(event) = event_of(&delivered.record()) {
                uploads.entry(event).or_default().push(delivered.upload);
            }
        }
        if let Some(event) = uploads.keys().find(|event| !self.due.events.contains(*event)) {
            return Err(format!("an event was raised that nothing gave rise to: {event}"));
        }
        let mut held: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for letter in letters.iter().filter(|it| ["events", "left"].contains(&&*it.step)) {
            held.entry(&letter.event).or_default().push(&letter.code);
        }
        let (mut again, mut in_doubt) = (0, 0);
        let mut repeated: BTreeSet<u64> = BTreeSet::new();
        for event in &self.due.events {
            let raised = uploads.get(event).map_or(&[][..], Vec::as_slice);
            let codes = held.get(&**event).map_or(&[][..], Vec::as_slice);
            match (raised, codes) {
                ([], []) => return Err(format!("an event is lost: {event}")),
                ([] | [_], ["inDoubt"]) if self.in_doubt == InDoubt::Hold => in_doubt += 1,
                ([], [_]) | ([_], []) => {}
                ([before @ .., _], []) if self.in_doubt == InDoubt::Resend => {
                    again += before.len() as u64;
                    repeated.extend(before);
                }
                _ => return Err(format!("{event}: raised by {raised:?}, held as {codes:?}")),
            }
        }
        if repeated.len() as u64 > calls || in_doubt > calls * self.size.page as u64 {
            return Err(format!(
                "{calls} calls were in doubt, but uploads {repeated:?} were made again, and \
                 {in_doubt} events are held"
            ));
        }
        Ok((again, in_doubt))
    }

    /// The dead letters that the binary reports.
    fn letters(&self) -> Vec<Letter> {
        let ids = self.reported();
        if ids.is_empty() {
            return vec![];
        }
        let letters = self.kept(&ids);
        let letters = letters.into_iter().map(|letter| {
            let payload: Value = serde_json::from_slice(&letter.payload).unwrap();
            let message = &payload["message"];
            let record = message["metadata"]["recordUid"].as_str().unwrap_or_default();
            let data = &message["data"];
            let event = if message["metadata"]["deleted"] == true {
                left(record)
            } else {
                let tags = data["categories"].as_array().into_iter().flatten();
                let tags: Vec<&str> = tags.filter_map(|tag| tag["name"].as_str()).collect();
                changed(record, data["lastName"].as_str().unwrap_or_default(), &tags.join(" "))
            };
            let step = letter.step.unwrap_or_default();
            Letter { step, code: letter.code, record: record.to_owned(), event }
        });
        letters.collect()
    }
}

/// What an event that was raised is called here; `None` if it is none.
fn event_of(record: &Value) -> Option<String> {
    let identity = record["identity"].as_str()?;
    let data = |name: &str| record["evtData"][name].as_str().unwrap_or_default();
    match record["evtName"].as_str()? {
        "Newsletter left" => Some(left(identity)),
        _ => Some(changed(identity, data("Name"), data("Tags"))),
    }
}

fn text<'a>(attributes: &'a Map<String, Value>, name: &str) -> &'a str {
    attributes.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn is_profile(profile: &Map<String, Value>, of: &Receiver) -> bool {
    let name = format!("{} {}", text(&of.attributes, "firstname"), text(&of.attributes, "name"));
    let tags = Value::from(of.tags.clone());
    text(profile, "Name") == name
        && text(profile, "Email") == of.email
        && (of.tags.is_empty() || profile.get("Tags") == Some(&tags))
}

fn is_member(member: &Receiver, of: &Receiver) -> bool {
    ["firstname", "name"].iter().all(|it| text(&member.attributes, it) == text(&of.attributes, it))
        && member.tags == of.tags
}
