//! The endpoints that change one thing or a list of things, and forms, of which nothing else is read:
//! which request is meant, and its answer.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::api::{Tally, show_group};
use super::directory::{Directory, Group};
use super::mail::{self, Mail, MailKind};
use super::receiver::{Detail, Entry};
use super::{attributes, status, tags, upsert};
use crate::answer::Answer;
use crate::call::Call;
use crate::options::{DeleteAnswer, GroupSeed, Switches};

/// What a request changes. Groups and receivers are as the path has them; a receiver is an id or an
/// address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write {
    CreateGroup,
    DeleteGroup(String),
    UpsertPlus(String),
    DeleteMember(String, String),
    DeleteReceiver(String),
    DeleteReceivers,
    SetActive(String, String, bool),
    CreateAttribute(Option<String>),
    AddTags(String),
    Orders(String, String),
    Blacklist(Option<String>),
    BlacklistEntry(Option<String>, String),
    Forms(String),
    SendDeactivation(String),
}

/// What a change may touch.
pub(super) struct Place<'a> {
    pub(super) directory: &'a mut Directory,
    pub(super) forms: &'a [u64],
    pub(super) mails: &'a mut Vec<Mail>,
}

impl Write {
    /// Recognises a request by its method, its first segment without `.json`, and the rest.
    pub(super) fn of(method: &Method, first: &str, rest: &[&str]) -> Option<Self> {
        let own = |text: &&str| (*text).to_owned();
        let bare = |text: &&str| text.strip_suffix(".json").unwrap_or(text).to_owned();
        let plain: Vec<String> = rest.iter().map(bare).collect();
        let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
        Some(match (method.as_str(), first, plain.as_slice()) {
            ("POST", "groups", []) => Self::CreateGroup,
            ("DELETE", "groups", [id]) => Self::DeleteGroup(own(id)),
            ("POST", "groups", [id, "receivers", "upsertplus"]) => Self::UpsertPlus(own(id)),
            ("DELETE", "groups", [group, "receivers", who]) => {
                Self::DeleteMember(own(group), own(who))
            }
            ("PUT", "groups", [group, "receivers", who, state @ ("activate" | "deactivate")]) => {
                Self::SetActive(own(group), own(who), *state == "activate")
            }
            ("GET" | "POST", "groups", [group, "receivers", who, "orders"]) => {
                Self::Orders(own(group), own(who))
            }
            ("POST", "groups", [id, "attributes"]) => Self::CreateAttribute(Some(own(id))),
            ("POST", "attributes", []) => Self::CreateAttribute(None),
            ("GET" | "POST" | "PUT", "groups", [id, "blacklist"]) => Self::Blacklist(Some(own(id))),
            ("GET" | "DELETE", "groups", [id, "blacklist", email]) => {
                Self::BlacklistEntry(Some(own(id)), own(email))
            }
            ("GET" | "POST" | "PUT", "blacklist", []) => Self::Blacklist(None),
            ("GET" | "DELETE", "blacklist", [email]) => Self::BlacklistEntry(None, own(email)),
            ("POST", "receivers", ["delete"]) => Self::DeleteReceivers,
            ("DELETE", "receivers", [who]) => Self::DeleteReceiver(own(who)),
            ("POST", "receivers", [who, "tags"]) => Self::AddTags(own(who)),
            ("GET", "groups", [id, "forms"]) => Self::Forms(own(id)),
            ("POST", "forms", [id, "send", "deactivate"]) => Self::SendDeactivation(own(id)),
            _ => return None,
        })
    }

    /// The part of the API that a token's scope may leave out, by its switch.
    pub(super) const fn scope(&self) -> &'static str {
        match self {
            Self::CreateGroup | Self::DeleteGroup(_) | Self::CreateAttribute(_) => "groups",
            Self::Forms(_) | Self::SendDeactivation(_) => "forms",
            _ => "receivers",
        }
    }

    /// Names the endpoint as the counters show it.
    pub(super) const fn template(&self) -> &'static str {
        match self {
            Self::CreateGroup => "POST /v3/groups",
            Self::DeleteGroup(_) => "DELETE /v3/groups/{id}",
            Self::UpsertPlus(_) => "POST /v3/groups/{id}/receivers/upsertplus",
            Self::DeleteMember(..) => "DELETE /v3/groups/{id}/receivers/{id}",
            Self::DeleteReceiver(_) => "DELETE /v3/receivers/{id}",
            Self::DeleteReceivers => "POST /v3/receivers/delete",
            Self::SetActive(_, _, true) => "PUT /v3/groups/{id}/receivers/{id}/activate",
            Self::SetActive(_, _, false) => "PUT /v3/groups/{id}/receivers/{id}/deactivate",
            Self::CreateAttribute(Some(_)) => "POST /v3/groups/{id}/attributes",
            Self::CreateAttribute(None) => "POST /v3/attributes",
            Self::AddTags(_) => "POST /v3/receivers/{id}/tags",
            Self::Orders(..) => "ANY /v3/groups/{id}/receivers/{id}/orders",
            Self::Blacklist(None) => "ANY /v3/blacklist",
            Self::Blacklist(Some(_)) => "ANY /v3/groups/{id}/blacklist",
            Self::BlacklistEntry(None, _) => "ANY /v3/blacklist/{email}",
            Self::BlacklistEntry(Some(_), _) => "ANY /v3/groups/{id}/blacklist/{email}",
            Self::Forms(_) => "GET /v3/groups/{id}/forms",
            Self::SendDeactivation(_) => "POST /v3/forms/{id}/send/deactivate",
        }
    }

    pub(super) fn answer(
        &self,
        place: Place<'_>,
        call: &Call,
        body: &[u8],
        at: (&Switches, i64),
        tally: &mut Tally,
    ) -> Answer {
        let (directory, switches) = (place.directory, at.0);
        match self {
            Self::CreateGroup => create_group(directory, body, at),
            Self::DeleteGroup(id) => gone(directory.drop_group(id), switches),
            Self::UpsertPlus(group) => {
                let how = upsert::How::Plus;
                let (answer, count) = upsert::answer(directory, group, body, how, at);
                tally.receivers_upserted = count.taken;
                tally.receivers_refused = count.refused;
                answer
            }
            Self::DeleteMember(group, who) => {
                gone(group.parse().is_ok_and(|group| directory.leave(who, group)), switches)
            }
            Self::DeleteReceiver(who) => {
                let group = call.parameter("group_id").and_then(|id| id.parse().ok());
                let left = match group {
                    Some(group) => directory.leave(who, group),
                    None => directory.leave_all(who),
                };
                gone(left, switches)
            }
            Self::DeleteReceivers => delete(directory, body, switches),
            Self::SetActive(group, who, active) => {
                status::set(directory, (group, who), *active, at)
            }
            Self::CreateAttribute(group) => {
                attributes::create(group.as_deref(), body, directory, switches)
            }
            Self::AddTags(who) => add_tags(directory, who, body, switches),
            Self::Orders(group, who) => orders(directory, (group, who), call, body, at),
            Self::Blacklist(group) => match number(directory, group.as_deref()) {
                Some(group) => {
                    directory.blacklist.answer(&call.method, (group, None), body, switches)
                }
                None => Answer::error(404, "Not Found"),
            },
            Self::BlacklistEntry(group, email) => match number(directory, group.as_deref()) {
                Some(group) => {
                    let which = (group, Some(email.as_str()));
                    directory.blacklist.answer(&call.method, which, body, switches)
                }
                None => Answer::error(404, "Not Found"),
            },
            Self::Forms(group) => match number(directory, Some(group)) {
                Some(_) => Answer::json(200, &mail::forms(place.forms)),
                None => Answer::error(404, "Not Found"),
            },
            Self::SendDeactivation(form) => {
                let form = (form.as_str(), MailKind::Deactivate);
                match mail::send(directory, place.forms, form, body, switches) {
                    Ok(sent) => {
                        tally.mails_sent = 1;
                        place.mails.push(sent);
                        Answer::json(200, &true)
                    }
                    Err(refused) => refused,
                }
            }
        }
    }
}

/// The number of a group that is there; 0 for the account.
fn number(directory: &Directory, group: Option<&str>) -> Option<u64> {
    let Some(id) = group else { return Some(0) };
    directory.groups.iter().find(|group| group.id.to_string() == id).map(|group| group.id)
}

/// The answer to a deletion: `true`, or that there was nothing.
fn gone(there: bool, switches: &Switches) -> Answer {
    match (there, switches.missing_is_false) {
        (true, _) => Answer::json(200, &true),
        (false, true) => Answer::json(200, &false),
        (false, false) => Answer::error(404, "Not Found"),
    }
}

fn create_group(
    directory: &mut Directory,
    body: &[u8],
    (switches, now): (&Switches, i64),
) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        name: String,
    }
    let name = serde_json::from_slice(body).map(|Body { name }| name.trim().to_owned());
    let Some(name) = name.ok().filter(|name| !name.is_empty()) else {
        return Answer::error(400, "Bad Request: name is missing");
    };
    let highest = directory.groups.iter().map(|group| group.id).max().unwrap_or(1_123_824);
    let id = highest.saturating_add(1);
    directory.add_group(GroupSeed::new(id, name.clone(), 0), now);
    Answer::json(200, &show_group(&Group { id, name, stamp: now }, switches))
}

fn delete(directory: &mut Directory, body: &[u8], switches: &Switches) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        receivers: Vec<String>,
    }
    let Ok(Body { receivers }) = serde_json::from_slice(body) else {
        return Answer::error(400, "Bad Request: receivers is missing");
    };
    if receivers.len() > switches.upsert_rows {
        return Answer::error(413, "Request Entity Too Large");
    }
    let left: Vec<bool> = receivers.iter().map(|who| directory.leave_all(who.trim())).collect();
    match switches.delete_answer {
        DeleteAnswer::True => Answer::json(200, &true),
        DeleteAnswer::List => Answer::json(200, &left),
    }
}

fn add_tags(directory: &mut Directory, who: &str, body: &[u8], switches: &Switches) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        tags: Vec<String>,
    }
    let Ok(Body { tags: given }) = serde_json::from_slice(body) else {
        return Answer::error(400, "Bad Request: tags is missing");
    };
    let entry = match who.parse() {
        Ok(id) => directory.get(id),
        Err(_) => directory.get_by_email(who),
    };
    let Some(entry) = entry else { return Answer::error(404, "Not Found") };
    let (id, mut receiver) = (entry.id, entry.to_receiver());
    tags::change(&mut receiver.tags, &given, switches.upsert_tags);
    directory.put(Entry::from_receiver(&receiver, id));
    Answer::json(200, &receiver.tags)
}

fn orders(
    directory: &mut Directory,
    (group, who): (&str, &str),
    call: &Call,
    body: &[u8],
    (switches, now): (&Switches, i64),
) -> Answer {
    let group: Option<u64> = group.parse().ok();
    let slot = group.and_then(|group| directory.find_member(who, group));
    let Some((slot, entry)) = slot.and_then(|slot| Some((slot, directory.stored(slot)?))) else {
        return Answer::error(404, "Not Found");
    };
    let (id, mut receiver) = (entry.id, entry.to_receiver());
    if call.method == Method::GET {
        return Answer::json(200, &receiver.orders);
    }
    let item: Value = serde_json::from_slice(body).unwrap_or_default();
    if !super::orders::is_one(&item) {
        return Answer::error(400, "Bad Request: order_id or product is missing");
    }
    super::orders::add(&mut receiver.orders, &[item], now, switches.order_again);
    directory.replace(slot, Entry::from_receiver(&receiver, id));
    let mut out = vec![];
    if let Some(entry) = directory.stored(slot) {
        entry.write(&mut out, group.unwrap_or(0), Detail::ALL, switches.integer_ids);
    }
    Answer::text(200, out)
}
