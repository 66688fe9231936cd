//! Webhooks: `/hooks/eventhook`, outside `/v3`, and what is told by them.

use std::collections::VecDeque;
use std::sync::Mutex;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::query::loose_text;
use crate::answer::Answer;
use crate::lock::lock;
use crate::outgoing;
use crate::random::Random;

/// Something that happened to a receiver in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) what: &'static str,
    pub(super) receiver: u64,
    pub(super) group: u64,
}

/// A registration.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Registered {
    url: String,
    event: String,
    condition: String,
    #[serde(skip)]
    token: String,
}

/// A call that is to be made.
#[derive(Debug, Clone)]
struct Call {
    url: String,
    token: String,
    body: String,
}

/// The registrations, and the calls that wait.
#[derive(Debug)]
pub(crate) struct Hooks {
    inner: Mutex<Inner>,
    /// Tells that there is a call to make.
    more: Notify,
    /// How many calls are to be made.
    pending: watch::Sender<usize>,
}

#[derive(Debug)]
struct Inner {
    random: Random,
    registered: Vec<Registered>,
    calls: VecDeque<Call>,
    made: Vec<u16>,
}

/// The body of a registration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    url: String,
    event: String,
    condition: Value,
    verify: String,
}

const SUBJECTS: [&str; 5] = ["receiver", "form", "filter", "group", "automation"];

impl Hooks {
    pub(super) fn new(seed: u64) -> Self {
        let random = Random::new(seed, 0x40);
        let (registered, calls, made) = (vec![], VecDeque::new(), vec![]);
        let inner = Mutex::new(Inner { random, registered, calls, made });
        Self { inner, more: Notify::new(), pending: watch::channel(0).0 }
    }

    /// Answers a registration: the address is asked first whether it knows of it.
    pub(crate) async fn register(&self, body: &[u8]) -> Answer {
        let bad = |what: &str| Answer::error(400, &format!("Bad Request: {what}"));
        let Ok(wanted) = serde_json::from_slice::<Wanted>(body) else { return bad("no object") };
        let Wanted { url, event, verify, condition } = wanted;
        let condition = loose_text(&condition).unwrap_or_default();
        let subject = event.split('.').next().unwrap_or_default();
        if !SUBJECTS.contains(&subject) {
            return bad("unknown event");
        }
        if !(10..=50).contains(&verify.len()) {
            return bad("verify has 10 to 50 characters");
        }
        // The vendor calls https alone; what is on this machine cannot be had by that.
        if !url.starts_with("http://127.0.0.1:") {
            return bad("url");
        }
        if lock(&self.inner).find(&event, &condition).is_some() {
            return Answer::error(409, "Conflict: there is a hook for this event");
        }
        let (challenge, token, secret) = {
            let mut inner = lock(&self.inner);
            (inner.text(16), inner.text(64), inner.text(32))
        };
        let joint = if url.contains('?') { '&' } else { '?' };
        let asked = format!("{url}{joint}secret={challenge}");
        let expected = format!("{verify} {challenge}");
        match outgoing::send(Method::GET, &asked, &[], String::new()).await {
            Some((200, said)) if said.trim() == expected => {}
            _ => return bad("the url did not answer with verify and secret"),
        }
        let mut inner = lock(&self.inner);
        inner.registered.push(Registered { url, event, condition, token: token.clone() });
        Answer::json(200, &json!({ "success": true, "call_token": token, "secret": secret }))
    }

    pub(super) fn list(&self) -> Answer {
        Answer::json(200, &lock(&self.inner).registered)
    }

    /// Answers `DELETE /hooks/eventhook/{event}`: without a condition all of the event go.
    pub(super) fn unregister(&self, event: &str, condition: Option<&str>) -> Answer {
        let mut inner = lock(&self.inner);
        let before = inner.registered.len();
        inner.registered.retain(|known| {
            known.event != event || condition.is_some_and(|only| only != known.condition)
        });
        match inner.registered.len() < before {
            true => Answer::json(200, &true),
            false => Answer::error(404, "Not Found"),
        }
    }

    /// Puts what happened on its way to those who want to know.
    pub(super) fn tell(&self, happened: Vec<Happened>) {
        if happened.is_empty() {
            return;
        }
        let mut inner = lock(&self.inner);
        for Happened { what, receiver, group } in happened {
            let event = format!("receiver.{what}");
            let wants = |hook: &&Registered| {
                (hook.event == event || hook.event == "receiver")
                    && (hook.condition.is_empty() || hook.condition == group.to_string())
            };
            let hooks: Vec<Registered> = inner.registered.iter().filter(wants).cloned().collect();
            for hook in hooks {
                let body = json!({
                    "condition": group.to_string(), "event": event,
                    "payload": { "pool_id": receiver, "group_id": group },
                });
                let Registered { url, token, .. } = hook;
                inner.calls.push_back(Call { url, token, body: body.to_string() });
                self.pending.send_modify(|pending| *pending += 1);
            }
        }
        self.more.notify_one();
    }

    /// Makes the calls that wait, one after another, for as long as it is polled. `policy` gives how
    /// often a call is tried that was not taken, and whether calls get lost on the way.
    pub(crate) async fn deliver(&self, policy: impl Fn() -> (u32, bool)) {
        loop {
            let call = lock(&self.inner).calls.pop_front();
            let Some(Call { url, token, body }) = call else {
                self.more.notified().await;
                continue;
            };
            let (attempts, lost) = policy();
            for attempt in 1..=attempts.max(1) {
                if lost {
                    break;
                }
                let headers = [("x-cr-calltoken", token.as_str())];
                let sent = outgoing::send(Method::POST, &url, &headers, body.clone()).await;
                let status = sent.map_or(0, |(status, _)| status);
                lock(&self.inner).made.push(status);
                tracing::debug!(status, attempt, "a webhook was called");
                if (200..300).contains(&status) {
                    break;
                }
            }
            self.pending.send_modify(|pending| *pending -= 1);
        }
    }

    /// Waits until no call is to be made.
    pub(crate) async fn settled(&self) {
        // It ends with the sandbox.
        drop(self.pending.subscribe().wait_for(|pending| *pending == 0).await);
    }

    /// The statuses that calls were answered with; 0 is none.
    pub(crate) fn made(&self) -> Vec<u16> {
        lock(&self.inner).made.clone()
    }
}

impl Inner {
    fn find(&self, event: &str, condition: &str) -> Option<&Registered> {
        self.registered.iter().find(|it| it.event == event && it.condition == condition)
    }

    fn text(&mut self, length: usize) -> String {
        let mut text = String::new();
        while text.len() < length {
            text.push_str(&format!("{:016x}", self.random.next()));
        }
        text.truncate(length);
        text
    }
}
