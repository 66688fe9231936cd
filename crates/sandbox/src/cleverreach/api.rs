//! The endpoints of CleverReach: which request is meant, and its answer.

use std::sync::Mutex;

use http::Method;
use serde_json::{Map, Value, json};

use super::blacklist::Blacklisted;
use super::directory::{Directory, Group};
use super::hooks::Hooks;
use super::listing::Listing;
use super::mail::{self, Mail, MailKind};
use super::memberships;
use super::oauth::Tokens;
use super::receiver::{Detail, Entry, Receiver};
use super::touch::Touch;
use super::write::{Place, Write};
use super::{attributes, upsert};
use crate::answer::Answer;
use crate::call::Call;
use crate::lock::lock;
use crate::options::{Credentials, GroupSeed, Options, Switches};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Authorize,
    Token,
    /// At the path of the PHP SDK, or at that of the plug-in for WooCommerce.
    Revoke {
        under_v3: bool,
    },
    RegisterHook,
    Hooks,
    Hook(String),
    Groups,
    Group(String),
    GroupReceivers(String),
    GroupReceiver(String, String),
    Receiver(String),
    ReceiverGroups(String),
    Filter,
    Upsert(String),
    Attributes,
    GroupAttributes(String),
    SendActivation(String),
    WhoAmI,
    Ping,
    Ttl,
    Write(Write),
    Validate,
    Unknown,
}

impl Endpoint {
    /// Recognises a request; `.json` may stand behind the first segment and fixed names.
    pub(crate) fn of(call: &Call) -> Self {
        let get = call.method == Method::GET;
        let post = call.method == Method::POST;
        let path = call.path();
        let bare = |name: &'_ str| name.strip_suffix(".json").unwrap_or(name).to_owned();
        let Some((&root, rest)) = path.split_first() else { return Self::Unknown };
        if root == "oauth" {
            return match rest {
                ["token.php"] if post => Self::Token,
                ["authorize.php"] if get => Self::Authorize,
                ["token"] if call.method == Method::DELETE => Self::Revoke { under_v3: false },
                _ => Self::Unknown,
            };
        }
        if root == "hooks" {
            return match rest {
                ["eventhook"] if post => Self::RegisterHook,
                ["eventhook"] if get => Self::Hooks,
                ["eventhook", event] if call.method == Method::DELETE => {
                    Self::Hook((*event).to_owned())
                }
                _ => Self::Unknown,
            };
        }
        let (Some((first, rest)), "v3") = (rest.split_first(), root) else {
            return Self::Unknown;
        };
        match (bare(first).as_str(), rest) {
            ("oauth", ["token" | "token.json"]) if call.method == Method::DELETE => {
                Self::Revoke { under_v3: true }
            }
            ("groups", []) if get => Self::Groups,
            ("groups", [id]) if get => Self::Group((*id).to_owned()),
            ("groups", [id, "receivers"]) if get => Self::GroupReceivers((*id).to_owned()),
            ("groups", [group, "receivers", id]) if get => {
                Self::GroupReceiver((*group).to_owned(), (*id).to_owned())
            }
            ("groups", [id, "receivers", "upsert" | "upsert.json"]) if post => {
                Self::Upsert((*id).to_owned())
            }
            ("groups", [id, "attributes"]) if get => Self::GroupAttributes((*id).to_owned()),
            ("attributes", []) if get => Self::Attributes,
            ("forms", [id, "send", "activate"]) if post => Self::SendActivation((*id).to_owned()),
            ("receivers", ["filter" | "filter.json"]) if post => Self::Filter,
            ("receivers", [id]) if get => Self::Receiver((*id).to_owned()),
            ("receivers", [id, "groups"]) if get => Self::ReceiverGroups((*id).to_owned()),
            ("debug", [name]) if get => match bare(name).as_str() {
                "whoami" => Self::WhoAmI,
                "ping" => Self::Ping,
                "ttl" => Self::Ttl,
                "validate" => Self::Validate,
                _ => Self::Unknown,
            },
            (first, rest) => {
                Write::of(&call.method, first, rest).map_or(Self::Unknown, Self::Write)
            }
        }
    }

    /// The part of the API that a token's scope may leave out, by its switch.
    fn scope(&self) -> Option<&'static str> {
        match self {
            Self::Groups | Self::Group(_) => Some("groups"),
            Self::GroupReceivers(_)
            | Self::GroupReceiver(..)
            | Self::Receiver(_)
            | Self::ReceiverGroups(_)
            | Self::Filter
            | Self::Upsert(_) => Some("receivers"),
            Self::SendActivation(_) => Some("forms"),
            Self::Write(write) => Some(write.scope()),
            _ => None,
        }
    }

    /// Names the endpoint as the counters show it.
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::Authorize => "GET /oauth/authorize.php",
            Self::Token => "POST /oauth/token.php",
            Self::Revoke { under_v3: false } => "DELETE /oauth/token",
            Self::Revoke { under_v3: true } => "DELETE /v3/oauth/token",
            Self::RegisterHook => "POST /hooks/eventhook",
            Self::Hooks => "GET /hooks/eventhook",
            Self::Hook(_) => "DELETE /hooks/eventhook/{event}",
            Self::Groups => "GET /v3/groups",
            Self::Group(_) => "GET /v3/groups/{id}",
            Self::GroupReceivers(_) => "GET /v3/groups/{id}/receivers",
            Self::GroupReceiver(..) => "GET /v3/groups/{id}/receivers/{id}",
            Self::Receiver(_) => "GET /v3/receivers/{id}",
            Self::ReceiverGroups(_) => "GET /v3/receivers/{id}/groups",
            Self::Filter => "POST /v3/receivers/filter",
            Self::Upsert(_) => "POST /v3/groups/{id}/receivers/upsert",
            Self::Attributes => "GET /v3/attributes",
            Self::GroupAttributes(_) => "GET /v3/groups/{id}/attributes",
            Self::SendActivation(_) => "POST /v3/forms/{id}/send/activate",
            Self::WhoAmI => "GET /v3/debug/whoami",
            Self::Ping => "GET /v3/debug/ping",
            Self::Ttl => "GET /v3/debug/ttl",
            Self::Write(write) => write.template(),
            Self::Validate => "GET /v3/debug/validate",
            Self::Unknown => "*",
        }
    }
}

/// What an answer counts towards.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) tokens_issued: u64,
    pub(crate) receivers_listed: u64,
    pub(crate) receivers_upserted: u64,
    pub(crate) receivers_refused: u64,
    pub(crate) mails_sent: u64,
}

/// The account and its data.
#[derive(Debug)]
pub(crate) struct CleverReach {
    directory: Mutex<Directory>,
    tokens: Mutex<Tokens>,
    forms: Vec<u64>,
    mails: Mutex<Vec<Mail>>,
    pub(crate) hooks: Hooks,
    lifetime: i64,
}

impl CleverReach {
    pub(crate) fn new(options: &Options, now: i64) -> Self {
        let mut directory = Directory::new(options.seed, options.groups.clone(), now);
        directory.seed(options.receivers, now);
        Self {
            directory: Mutex::new(directory),
            tokens: Mutex::new(Tokens::new(options.seed)),
            forms: options.forms.clone(),
            mails: Mutex::default(),
            hooks: Hooks::new(options.seed),
            lifetime: options.expires_in,
        }
    }

    /// Whether a request bears a token that is alive.
    pub(crate) fn lets_in(&self, call: &Call, now: i64) -> bool {
        lock(&self.tokens).remaining(call, now).is_some()
    }

    /// Puts what happened to receivers on its way to those who want to know.
    fn tell(&self) {
        let happened = lock(&self.directory).happened();
        self.hooks.tell(happened);
    }

    /// Answers a request; `step_back` gives the page before the one that is asked for.
    pub(crate) fn answer(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        body: &[u8],
        context: (&Credentials, &Switches, i64),
        step_back: bool,
    ) -> (Answer, Tally) {
        let answered = self.answer_untold(endpoint, call, body, context, step_back);
        self.tell();
        answered
    }

    fn answer_untold(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        body: &[u8],
        (credentials, switches, now): (&Credentials, &Switches, i64),
        step_back: bool,
    ) -> (Answer, Tally) {
        let mut tally = Tally::default();
        if *endpoint == Endpoint::Token {
            let times = (now, self.lifetime);
            let (answer, issued) =
                lock(&self.tokens).issue(call, body, credentials, switches, times);
            tally.tokens_issued = u64::from(issued);
            return (answer, tally);
        }
        if *endpoint == Endpoint::Authorize {
            return (lock(&self.tokens).authorize(call, credentials, switches), tally);
        }
        if let Endpoint::Revoke { under_v3 } = *endpoint {
            if under_v3 != switches.revoke_under_v3 {
                return (Answer::error(404, "Not Found"), tally);
            }
            return (lock(&self.tokens).revoke(call, now), tally);
        }
        if *endpoint == Endpoint::Ping {
            return (Answer::json(200, &true), tally);
        }
        let Some(left) = lock(&self.tokens).remaining(call, now) else {
            return (Answer::error(401, "Unauthorized"), tally);
        };
        if endpoint
            .scope()
            .is_some_and(|scope| switches.missing_scopes.iter().any(|it| it == scope))
        {
            return (Answer::error(403, "Forbidden: the token's scope does not cover this"), tally);
        }
        match endpoint {
            Endpoint::Hooks => return (self.hooks.list(), tally),
            Endpoint::Hook(event) => {
                return (self.hooks.unregister(event, call.parameter("condition")), tally);
            }
            _ => {}
        }
        let mut directory = lock(&self.directory);
        let listing = match endpoint {
            Endpoint::GroupReceivers(id) => match id.parse() {
                Ok(id) => Listing::of_group(id, call, switches),
                Err(_) => Err(Answer::error(404, "Not Found")),
            },
            Endpoint::Filter => Listing::of_filter(body, switches),
            Endpoint::Upsert(group) => {
                let how = upsert::How::Plain;
                let (answer, count) =
                    upsert::answer(&mut directory, group, body, how, (switches, now));
                tally.receivers_upserted = count.taken;
                tally.receivers_refused = count.refused;
                return (answer, tally);
            }
            Endpoint::SendActivation(form) => {
                let form = (form.as_str(), MailKind::Activate);
                let sent = mail::send(&directory, &self.forms, form, body, switches);
                return match sent {
                    Ok(sent) => {
                        tally.mails_sent = 1;
                        lock(&self.mails).push(sent);
                        (Answer::json(200, &true), tally)
                    }
                    Err(refused) => (refused, tally),
                };
            }
            Endpoint::Attributes => {
                let group = call.parameter("group_id").filter(|id| !matches!(*id, "" | "0"));
                return (attributes::list(group, &directory, switches), tally);
            }
            Endpoint::GroupAttributes(group) => {
                return (attributes::list(Some(group), &directory, switches), tally);
            }
            Endpoint::Write(write) => {
                let mut mails = lock(&self.mails);
                let place =
                    Place { directory: &mut directory, forms: &self.forms, mails: &mut mails };
                return (write.answer(place, call, body, (switches, now), &mut tally), tally);
            }
            other => return (single(other, &directory, switches, left), tally),
        };
        let answer = listing.map(|mut listing| {
            if step_back {
                listing.step_back();
            }
            let (answer, count) = listing.answer(&mut directory, switches);
            tally.receivers_listed = count as u64;
            answer
        });
        (answer.unwrap_or_else(|refused| refused), tally)
    }

    pub(crate) fn forget_logins(&self) {
        lock(&self.tokens).forget_logins();
    }

    pub(crate) fn expire_tokens(&self) {
        lock(&self.tokens).expire();
    }

    pub(crate) fn seed(&self, count: usize, now: i64) -> usize {
        let mut directory = lock(&self.directory);
        directory.seed(count, now);
        directory.len()
    }

    pub(crate) fn add_group(&self, group: GroupSeed, now: i64) {
        lock(&self.directory).add_group(group, now);
    }

    pub(crate) fn touch(&self, touch: &Touch, now: i64) -> Vec<String> {
        let touched = lock(&self.directory).touch(touch, now);
        self.tell();
        touched
    }

    pub(crate) fn define(&self, group: u64, name: &str) {
        lock(&self.directory).define(group, name);
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        lock(&self.mails).clone()
    }

    /// Gives the receiver with this address as the group has it.
    pub(crate) fn member(&self, email: &str, group: &str) -> Option<Receiver> {
        let directory = lock(&self.directory);
        let slot = directory.member(email, group.parse().ok()?)?;
        directory.stored(slot).map(Entry::to_receiver)
    }

    pub(crate) fn blacklist(&self) -> Vec<Blacklisted> {
        lock(&self.directory).blacklist.all()
    }

    pub(crate) fn group_names(&self) -> Vec<String> {
        lock(&self.directory).groups.iter().map(|group| group.name.clone()).collect()
    }

    /// Adds or replaces a receiver and gives its id.
    pub(crate) fn put(&self, receiver: &Receiver) -> String {
        let mut directory = lock(&self.directory);
        let id = receiver.id.parse().unwrap_or_else(|_| directory.next_id());
        let id = directory.put(Entry::from_receiver(receiver, id)).to_string();
        drop(directory);
        self.tell();
        id
    }

    pub(crate) fn remove(&self, id: &str) -> bool {
        let removed = id.parse().is_ok_and(|id| lock(&self.directory).remove(id));
        self.tell();
        removed
    }

    pub(crate) fn join(
        &self,
        id: &str,
        group: u64,
        attributes: &Map<String, Value>,
        now: i64,
    ) -> bool {
        let joined =
            id.parse().is_ok_and(|id| lock(&self.directory).join(id, group, attributes, now));
        self.tell();
        joined
    }

    pub(crate) fn leave(&self, id: &str, group: u64) -> bool {
        let left = lock(&self.directory).leave(id, group);
        self.tell();
        left
    }

    pub(crate) fn receiver(&self, id: &str) -> Option<Receiver> {
        Some(lock(&self.directory).get(id.parse().ok()?)?.to_receiver())
    }

    pub(crate) fn receivers(&self, offset: usize, limit: usize) -> Vec<Receiver> {
        lock(&self.directory).iter().skip(offset).take(limit).map(Entry::to_receiver).collect()
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.directory).len()
    }
}

/// Answers what is not a list of receivers.
fn single(endpoint: &Endpoint, directory: &Directory, switches: &Switches, left: i64) -> Answer {
    let missing = || Answer::error(404, "Not Found");
    let find = |id: &str| match id.parse() {
        Ok(id) => directory.get(id),
        Err(_) => directory.get_by_email(id),
    };
    match endpoint {
        Endpoint::Groups => {
            let groups = directory.groups.iter().map(|group| show_group(group, switches));
            Answer::json(200, &groups.collect::<Vec<_>>())
        }
        Endpoint::Group(id) => directory
            .groups
            .iter()
            .find(|group| group.id.to_string() == *id)
            .map_or_else(missing, |group| Answer::json(200, &show_group(group, switches))),
        Endpoint::Receiver(id) => find(id)
            .and_then(|entry| Some((entry, *entry.groups.first()?)))
            .map_or_else(missing, |(entry, group)| show_receiver(entry, group, switches)),
        Endpoint::GroupReceiver(group, id) => directory
            .place(group, id)
            .map_or_else(missing, |(entry, group)| show_receiver(entry, group, switches)),
        Endpoint::ReceiverGroups(id) => memberships::answer(directory, id, switches),
        Endpoint::WhoAmI => Answer::json(
            200,
            &json!({
                "id": "129148", "name": "Example", "firstname": "Sam", "salutation": "",
                "street": "Am Markt 1", "company": "Example GmbH", "zip": "26122",
                "city": "Oldenburg", "phone": "", "fax": "", "email": "owner@example.com",
                "country": "DE", "login_domain": "129148.eu2.cleverreach.com",
            }),
        ),
        Endpoint::Ttl => Answer::json(200, &json!({ "ttl": left })),
        Endpoint::Validate => Answer::json(200, &true),
        _ => missing(),
    }
}

pub(super) fn show_group(group: &Group, switches: &Switches) -> Value {
    let id = if switches.integer_ids { json!(group.id) } else { json!(group.id.to_string()) };
    json!({
        "id": id, "name": group.name, "locked": false, "backup": true, "receiver_info": "",
        "stamp": group.stamp, "last_mailing": 0, "last_changed": group.stamp,
    })
}

fn show_receiver(entry: &Entry, group: u64, switches: &Switches) -> Answer {
    let mut out = Vec::with_capacity(entry.size() + 256);
    if switches.receiver_as_list {
        out.push(b'[');
    }
    entry.write(&mut out, group, Detail::ALL, switches.integer_ids);
    if switches.receiver_as_list {
        out.push(b']');
    }
    Answer::text(200, out)
}
