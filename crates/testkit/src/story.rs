//! What the files of `tests/exchanges` say: the system, and a story a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use connector::{Error, Timestamp, Want};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expect::Expect;

/// The file that says what all stories of a folder have in common.
pub(crate) const SYSTEM: &str = "system.json";

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct Unreadable {
    path: PathBuf,
    problem: String,
}

impl Unreadable {
    pub(crate) fn new(path: &Path, problem: impl ToString) -> Self {
        Self { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// `system.json`: what all stories of a connector have in common.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct System {
    /// The path of the base URL: `/v3`, or empty.
    #[serde(default)]
    pub(crate) base_path: String,
    /// Made-up values of the account's settings.
    #[serde(default)]
    pub(crate) account: BTreeMap<String, String>,
    /// The system has no other sign for the last page than that it is not full.
    #[serde(default)]
    pub(crate) short_page_ends: bool,
    /// Bodies with which the system reports a failure under the status 200.
    #[serde(default)]
    pub(crate) failures_inside_200: Vec<FailureInside>,
    /// Volatile parts that the system may send, though it does not where it was recorded.
    #[serde(default)]
    pub(crate) unseen: Vec<String>,
    /// Requests that do something where others only ask: `GET /attribution`, or a POST of a `check`.
    #[serde(default)]
    pub(crate) orders: Vec<String>,
    /// Orders of whose answers no source shows the body, and what there is instead: a success that
    /// says nothing may mean that they did what they order. Of all others the answer has to say it.
    #[serde(default)]
    pub(crate) unshown: BTreeMap<String, String>,
    /// The connector serves any system: what an answer means the flow says, and its status alone tells
    /// whether it is one.
    #[serde(default)]
    pub(crate) status_tells: bool,
    /// Orders that did nothing where they are answered by a 5xx, as the system promises: they may be
    /// sent again.
    #[serde(default, rename = "undoneBy5xx")]
    pub(crate) undone_by_5xx: Vec<String>,
    /// What a sandbox is asked before each story that is recorded, so that none finds what another one
    /// left.
    #[serde(default)]
    pub(crate) before: Vec<Before>,
    /// The keys in answers whose values are words of the system, not data of people: recording
    /// keeps them. `attributes:name` is the key `name` where the request's path has `attributes`.
    #[serde(default)]
    pub(crate) keep: Vec<String>,
}

/// One failure under the status 200.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FailureInside {
    pub(crate) body: Value,
    /// What it means to the caller.
    pub(crate) is: Kind,
}

/// The variants of [`Error`] by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    Retry,
    Unauthorized,
    TooLarge,
    Unknown,
    Reject,
    Config,
}

impl Kind {
    pub(crate) const fn of(error: &Error) -> Self {
        match error {
            // Nothing is held back here: it is what a system that is sick makes of its calls.
            Error::Retry { .. } | Error::HeldBack { .. } => Self::Retry,
            Error::Unauthorized { .. } => Self::Unauthorized,
            Error::TooLarge { .. } => Self::TooLarge,
            Error::Unknown { .. } => Self::Unknown,
            Error::Reject { .. } => Self::Reject,
            Error::Config { .. } => Self::Config,
        }
    }
}

/// One call of a trigger or an action, and how the system answered.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Story {
    /// What happens, in a sentence.
    pub(crate) about: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trigger: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) fields: Value,
    /// The time here while the story is played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) now: Option<Timestamp>,
    /// A trigger's: what is asked for; everything without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// An action's: the messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) batch: Vec<Given>,
    /// An action's, in place of a batch: the token that is asked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) check: Option<String>,
    /// The token was kept just now, and nothing was asked by it before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) first: bool,
    /// What a sandbox is asked before the story is recorded: the switches and data that it needs. No
    /// other system is: there such a story is left as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) before: Vec<Before>,
    /// Requests and answers, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exchanges: Vec<Exchange>,
    /// Of an action that is not to be repeated: what this story sends only asks, though by POST.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) only_asks: bool,
    /// A webhook trigger's: what comes in, and what is made of each. Proofs are added as it is
    /// played, with the account's secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) requests: Vec<Incoming>,
    /// Written by hand, and why: recording leaves it, and nothing holds it to the sandbox. A vendor's
    /// own sample is, which a sandbox does not give word by word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by_hand: Option<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<Expect>,
    /// The file's name without its ending.
    #[serde(skip)]
    pub(crate) name: String,
}

impl System {
    /// Whether a request does something where others only ask.
    pub(crate) fn is_order(&self, request: &Request) -> bool {
        self.orders.contains(&format!("{} {}", request.method, request.path))
    }

    /// Whether a request only asks.
    pub(crate) fn only_asks(&self, method: &str, path: &str) -> bool {
        matches!(method, "GET" | "HEAD") && !self.orders.contains(&format!("{method} {path}"))
    }

    /// Whether the body of its answer is shown nowhere, so that its status alone may tell.
    pub(crate) fn is_unshown(&self, request: &Request) -> bool {
        self.unshown.contains_key(&format!("{} {}", request.method, request.path))
    }

    /// Whether it did nothing where it is answered by a 5xx.
    pub(crate) fn is_undone_by_5xx(&self, method: &str, path: &str) -> bool {
        self.undone_by_5xx.contains(&format!("{method} {path}"))
    }
}

impl Story {
    pub(crate) fn want(&self) -> Want {
        self.since.map_or(Want::All, |since| Want::Changed { since })
    }

    pub(crate) fn fields(&self) -> Value {
        if self.fields.is_null() {
            Value::Object(serde_json::Map::new())
        } else {
            self.fields.clone()
        }
    }
}

/// A request that comes in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Incoming {
    pub(crate) method: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) query: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Value>,
    /// A body that is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    pub(crate) expect: Taken,
}

/// What is made of a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Taken {
    /// It is refused with this status.
    Refused { refused: u16 },
    /// It has records with these keys, and is the delivery of this name.
    Records {
        keys: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delivery: Option<String>,
    },
}

/// One message of an action's batch: as it is mapped, or the input itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    pub(crate) key: String,
    /// `{ metadata, data }`, which the default mapping turns into the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Value>,
}

/// One request that makes a sandbox ready: signed as the account's are, and not part of the story.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Before {
    pub(crate) method: String,
    /// From the origin on.
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) query: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Value>,
    /// A body that is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

/// One request and its answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    pub(crate) request: Request,
    pub(crate) response: Response,
}

/// A request as it is compared.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As sent, escapes and all.
    pub(crate) path: String,
    /// Unescaped; values of a name that comes again are joined by commas.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) query: BTreeMap<String, String>,
    /// Those that carry credentials: `{apiKey}` is the setting, `{token}` the present token.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Value>,
    /// A body that is not JSON: a file, sent to an address that the system gave, which needs no
    /// credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// A token request's, without its secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) form: Option<BTreeMap<String, String>>,
}

/// An answer as it is given.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Response {
    pub(crate) status: u16,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Value>,
    /// A body that is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

impl Response {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match (&self.body, &self.text) {
            (Some(body), _) => body.to_string().into_bytes(),
            (None, Some(text)) => text.clone().into_bytes(),
            (None, None) => vec![],
        }
    }

    /// The token that it issues, if it issues one.
    pub(crate) fn token(&self) -> Option<&str> {
        self.body.as_ref()?.get("access_token")?.as_str()
    }
}

/// Reads `system.json` and the stories of a folder, in the order of their names.
pub(crate) fn read(folder: &Path) -> Result<(System, Vec<Story>), Unreadable> {
    let listed = std::fs::read_dir(folder).map_err(|error| Unreadable::new(folder, error))?;
    let mut paths = vec![];
    for entry in listed {
        paths.push(entry.map_err(|error| Unreadable::new(folder, error))?.path());
    }
    paths.sort();
    let mut system = System::default();
    let mut stories = vec![];
    for path in paths.iter().filter(|path| path.extension().is_some_and(|it| it == "json")) {
        let text = std::fs::read_to_string(path).map_err(|error| Unreadable::new(path, error))?;
        if path.ends_with(SYSTEM) {
            system = serde_json::from_str(&text).map_err(|error| Unreadable::new(path, error))?;
            if let Some((order, _)) = system.unshown.iter().find(|(_, why)| why.trim().is_empty()) {
                let problem = format!("`unshown` says of {order} what its sources show instead");
                return Err(Unreadable::new(path, problem));
            }
            continue;
        }
        let mut story: Story =
            serde_json::from_str(&text).map_err(|error| Unreadable::new(path, error))?;
        if story.trigger.is_some() == story.action.is_some() {
            return Err(Unreadable::new(path, "a story names one `trigger` or one `action`"));
        }
        if story.action.is_some() && story.batch.is_empty() == story.check.is_none() {
            let problem = "the story of an action needs a `batch` or a token to `check`";
            return Err(Unreadable::new(path, problem));
        }
        if story.by_hand.as_ref().is_some_and(|why| why.trim().is_empty()) {
            return Err(Unreadable::new(
                path,
                "`byHand` says why, such as \"the vendor's own sample\"",
            ));
        }
        story.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        stories.push(story);
    }
    Ok((system, stories))
}
