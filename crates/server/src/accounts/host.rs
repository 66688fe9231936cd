//! What the pages and the API of accounts need of whoever keeps them.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use connector::{Api, Connector, Registered, Revoked, Tested, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keeps accounts: their settings in the configuration, their secrets sealed in the store.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// The connectors that there are.
    fn connectors(&self) -> &[Connector];

    /// The accounts, by name. Never a secret, nor a setting that could be one.
    async fn list(&self) -> Result<Vec<Line>, Refusal>;

    /// Tests a new account and keeps it. After any refusal nothing was kept.
    async fn add(&self, new: New) -> Result<Added, Refusal>;

    /// Tests an account with the credentials that are kept.
    async fn test(&self, name: &str) -> Result<Tested, Refusal>;

    /// What the account's system lacks for the flows that use it, asked step by step.
    async fn lacking(&self, _name: &str) -> Result<Vec<Lacking>, Refusal> {
        Ok(vec![])
    }

    /// Takes an account away, its secrets and its login with it.
    async fn remove(&self, name: &str, although_used: bool) -> Result<Removed, Refusal>;

    /// Access to an account's system by the token that is kept and renewed for all.
    async fn access(&self, name: &str) -> Result<Api, Refusal>;

    /// Tells the account's system where a flow is called. What was registered for the same before goes.
    async fn register(&self, _name: &str, _flow: &str, _url: &str) -> Result<(), Refusal> {
        Err(Refusal::Other("flows are not registered here".to_owned()))
    }

    /// Takes the registration of a flow away; says whether there was one at the system.
    async fn unregister(&self, _name: &str, _flow: &str) -> Result<bool, Refusal> {
        Ok(false)
    }

    /// What is registered at the account's system.
    async fn registered(&self, _name: &str) -> Result<Vec<Registered>, Refusal> {
        Ok(vec![])
    }

    /// Lets flows use an account again, whose login or credentials are new.
    async fn used_again(&self, name: &str) -> Result<(), Refusal>;
}

/// Something that a system lacks for a step of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lacking {
    /// The flow.
    pub flow: String,
    /// The id of its step.
    pub step: String,
    /// A sentence that names it.
    pub says: String,
}

/// An account as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Its name in towpath.yaml.
    pub account: String,
    /// Its connector's name; empty where towpath.yaml names the account no more.
    pub connector: String,
    /// Whether somebody has to log in for it, and did.
    pub login: Login,
    /// When its token ends, where one is kept and says so.
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// Why it is paused, if it is.
    pub paused: Option<String>,
    /// Why something of it is held, if it is.
    pub held: Option<String>,
    /// The flows that use it.
    pub flows: Vec<String>,
}

/// Whether somebody logged in for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Login {
    /// Its settings are all it needs.
    NotNeeded,
    /// Nobody did: it cannot be used.
    Missing,
    /// Somebody did, and the login is renewed by itself.
    Renewed,
    /// Somebody did, and has to do so again when the token ends.
    UntilItEnds,
    /// A renewal broke off: whether the login still holds shows with the next one.
    Doubtful,
}

impl Login {
    /// In a few words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotNeeded => "not needed",
            Self::Missing => "missing",
            Self::Renewed => "logged in, renewed by itself",
            Self::UntilItEnds => "logged in, until the token ends",
            Self::Doubtful => "logged in, its last renewal broke off",
        }
    }
}

/// A new account. It has no `Debug`: some of the values are secrets.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct New {
    /// What flow files will call it.
    pub name: String,
    /// The connector's name.
    pub connector: String,
    /// What replaces the connector's own base URL.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The connector's settings, secrets among them.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// An account that was added.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// Its name.
    pub account: String,
    /// What the test found; nothing where somebody has to log in first.
    #[schemars(with = "serde_json::Value")]
    pub tested: Tested,
    /// Whether somebody has to log in before it can be used.
    pub login_needed: bool,
}

/// An account that was taken away.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Removed {
    /// Its name.
    pub account: String,
    /// The flows that named it, and cannot run now.
    pub flows: Vec<String>,
    /// What became of its token at the system, in words.
    pub token: String,
}

/// Says in words what became of a token.
pub fn words(revoked: &Revoked) -> String {
    match revoked {
        Revoked::Nothing => "there was none".to_owned(),
        Revoked::Yes => "it was ended at the system, too".to_owned(),
        Revoked::NotOffered => {
            "it is forgotten here; at the system it ends by itself, since there is no way to end it"
                .to_owned()
        }
        Revoked::Unconfirmed(reason) => {
            format!("it is forgotten here; the system did not confirm that it ended ({reason})")
        }
    }
}

/// Why something was not done.
#[derive(Debug)]
pub enum Refusal {
    /// There is no account of that name.
    NoSuch(String),
    /// There is one already.
    Exists(String),
    /// Settings are missing or have another form, by their keys; `name`, `connector` and `baseUrl`
    /// may be among them.
    Fields(BTreeMap<String, String>),
    /// The system refuses the account: what it said, and what helps.
    Failed(Failed),
    /// Flows use it.
    Used(Vec<String>),
    /// The system is not there, so nothing can be said of the account.
    Unavailable(String),
    /// Nobody logged in, or the login has ended.
    NeedsLogin(String),
    /// Something else has to change first.
    Other(String),
}

/// A test that failed.
#[derive(Debug)]
pub struct Failed {
    /// The account.
    pub account: String,
    /// The connector's name.
    pub connector: String,
    /// What was found.
    pub tested: Tested,
    /// The paragraphs about what failed, under Troubleshooting of the connector's page: heading and
    /// text.
    pub troubles: Vec<(String, String)>,
}

impl Failed {
    /// A failed test of an account, with the paragraphs of its connector's page.
    pub fn new(account: &str, connector: &Connector, tested: Tested) -> Self {
        let about = connector.documentation();
        let mut troubles: Vec<(String, String)> = vec![];
        for (_, _, heading) in tested.failures() {
            if troubles.iter().all(|(known, _)| known != heading) {
                troubles.push((heading.to_owned(), about.trouble(heading).to_owned()));
            }
        }
        Self {
            account: account.to_owned(),
            connector: connector.name().to_owned(),
            tested,
            troubles,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuch(name) => write!(f, "there is no account {name}"),
            Self::Exists(name) => {
                write!(
                    f,
                    "there is an account {name} already: remove it first, or choose another name"
                )
            }
            Self::Fields(fields) => {
                let lines = fields.iter().map(|(field, problem)| format!("`{field}`: {problem}"));
                f.write_str(&lines.collect::<Vec<_>>().join("; "))
            }
            Self::Failed(failed) => {
                let said = failed.tested.failures().map(|(what, reason, heading)| {
                    format!(
                        "{what}: {reason} (see \"{heading}\" under Troubleshooting of {})",
                        failed.connector
                    )
                });
                let said = said.collect::<Vec<_>>().join("; ");
                write!(f, "the test of {} failed, nothing was kept: {said}", failed.account)
            }
            Self::Used(flows) => write!(f, "it is used by {}", flows.join(", ")),
            Self::Unavailable(reason) => {
                write!(f, "the system did not answer, nothing was kept: {reason}")
            }
            Self::NeedsLogin(reason) | Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// What a call to a system that failed means here.
    pub fn of_call(error: connector::Error) -> Self {
        use connector::Error as E;
        match error {
            E::Unauthorized { reason } => Self::NeedsLogin(reason),
            E::Retry { reason, .. } | E::HeldBack { reason, .. } | E::Unknown { reason } => {
                Self::Unavailable(reason)
            }
            E::TooLarge { reason } | E::Reject { reason, .. } | E::Config { reason } => {
                Self::Other(reason)
            }
        }
    }
}
