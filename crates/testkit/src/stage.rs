//! Where a story is played: the recorded system, and an account that reaches it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connector::{
    Api, Connector, Error, Limit, Limiter, ManualClock, Outcome, Permit, Result, Services,
    Timestamp, Unkept,
};

use crate::expect::Became;
use crate::http::Server;
use crate::promise::{Ledger, Promise};
use crate::story::{Story, System};
use crate::tape::{Fault, Heard, MOST_REQUESTS, ORIGIN, Tape, numbered};

/// A call that takes longer hangs: everything answers at once here.
const LONGEST: Duration = Duration::from_secs(5);
/// A real system may take its time.
const LONGEST_LIVE: Duration = Duration::from_secs(120);
/// The time here in stories that do not say.
const NOW: Timestamp = Timestamp::from_secs(1_763_700_000);

/// How a call ended, and what the system heard of it.
pub(crate) struct Played<T> {
    pub(crate) ended: Ended<T>,
    pub(crate) heard: Vec<Heard>,
}

/// How a call ended.
pub(crate) enum Ended<T> {
    Gave(T),
    Failed(Error),
    /// It did not end, or asked without end.
    Stuck,
}

impl<T> Played<T> {
    /// The exchanges that were asked for, in order.
    pub(crate) fn exchanges(&self) -> Vec<usize> {
        self.heard.iter().filter_map(|heard| heard.exchange).collect()
    }

    /// Whether something was asked that was not recorded, so that the recording cannot tell what
    /// the system would have answered.
    pub(crate) fn strayed(&self) -> bool {
        self.heard.iter().any(|heard| heard.exchange.is_none())
    }
}

/// One story, ready to be played as often as it takes.
pub(crate) struct Stage<'a> {
    pub(crate) connector: &'a Connector,
    pub(crate) system: &'a System,
    pub(crate) story: &'a Story,
    pub(crate) tape: Arc<Tape>,
    pub(crate) secrets: Vec<String>,
    /// As many pages has a scan at most.
    pub(crate) most_pages: usize,
    server: Server,
    account: BTreeMap<String, String>,
    classes: Arc<Classes>,
}

impl<'a> Stage<'a> {
    pub(crate) async fn set(
        connector: &'a Connector,
        system: &'a System,
        story: &'a Story,
    ) -> std::io::Result<Self> {
        let secret = connector.settings().iter().filter(|setting| setting.secret);
        let secrets: Vec<String> =
            secret.filter_map(|setting| system.account.get(setting.name).cloned()).collect();
        let tape = Arc::new(Tape::new(story, system, secrets.clone()));
        let server = Server::start(tape.clone()).await?;
        tape.plays_at(&server.origin());
        let tokens = story.exchanges.iter().filter_map(|it| it.response.token());
        let tokens: Vec<_> = tokens.map(|token| numbered(token, 1)).collect();
        let secrets = secrets.into_iter().chain(tokens).collect();
        let (most_pages, account) = (tape.len() + 1, system.account.clone());
        let classes = Arc::default();
        Ok(Self { connector, system, story, tape, secrets, most_pages, server, account, classes })
    }

    /// A stage before a real system, which `server` stands in front of.
    pub(crate) fn live(
        (connector, system, story): (&'a Connector, &'a System, &'a Story),
        server: Server,
        account: BTreeMap<String, String>,
    ) -> Self {
        let tape = Arc::new(Tape::new(&Story::default(), system, vec![]));
        let (secrets, most_pages, classes) = (vec![], 1000, Arc::default());
        Self { connector, system, story, tape, secrets, most_pages, server, account, classes }
    }

    /// New access to the recorded system: without a token, as after a restart.
    pub(crate) fn api(&self) -> Result<Api> {
        let base_url = format!("{}{}", self.server.origin(), self.system.base_path);
        let account = self.connector.account("recorded", Some(&base_url), self.account.clone());
        let account = account.map_err(|error| Error::config(error.to_string()))?;
        let services = Services {
            clock: Arc::new(ManualClock::new(self.story.now.unwrap_or(NOW))),
            limiter: self.classes.clone(),
            tokens: Arc::new(Unkept),
        };
        Api::new(self.connector, account, &BTreeMap::new(), services)
    }

    /// A text of the story, with where it is played.
    pub(crate) fn placed(&self, text: &str) -> String {
        text.replace(ORIGIN, &self.server.origin())
    }

    /// What became of messages, in the story's words.
    pub(crate) fn became(&self, outcomes: &[Option<Outcome>]) -> Vec<Became> {
        let became = outcomes.iter().map(|outcome| match Became::of(outcome.as_ref()) {
            Became::Parked { token, check_after, deadline } => {
                let token = token.replace(&self.server.origin(), ORIGIN);
                Became::Parked { token, check_after, deadline }
            }
            other => other,
        });
        became.collect()
    }

    /// Plays one call from the beginning of the tape.
    pub(crate) async fn play<T>(
        &self,
        fault: Option<Fault>,
        ledger: &mut Ledger,
        call: impl Future<Output = Result<T>>,
    ) -> Played<T> {
        self.tape.rewind(fault);
        self.go_on(ledger, call).await
    }

    /// Plays one call without moving the tape.
    pub(crate) async fn go_on<T>(
        &self,
        ledger: &mut Ledger,
        call: impl Future<Output = Result<T>>,
    ) -> Played<T> {
        let longest = if self.tape.len() == 0 { LONGEST_LIVE } else { LONGEST };
        let ended = match tokio::time::timeout(longest, call).await {
            Err(_) => Ended::Stuck,
            Ok(Err(error)) => Ended::Failed(error),
            Ok(Ok(it)) => Ended::Gave(it),
        };
        let heard = self.tape.heard();
        let played = Played { ended, heard };
        self.look(&played, ledger);
        played
    }

    /// Looks at what holds for every call.
    fn look<T>(&self, played: &Played<T>, ledger: &mut Ledger) {
        if matches!(played.ended, Ended::Stuck) || played.heard.len() > MOST_REQUESTS {
            let got = format!("{} requests and no end", played.heard.len());
            ledger.breaks(Promise::Endless, "an end of the call", got);
        }
        if let Some(heard) = played.heard.iter().find(|heard| heard.unproven.is_some()) {
            let header = heard.unproven.as_deref().unwrap_or_default();
            ledger.breaks(
                Promise::Credentials,
                format!("the header {header} with the account's credentials"),
                heard.shown(),
            );
        }
        if let Ended::Failed(error) = &played.ended {
            self.leaks(&format!("{error} {error:?}"), ledger);
        }
    }

    /// Looks for secrets in a text that people may see.
    pub(crate) fn leaks(&self, text: &str, ledger: &mut Ledger) {
        if self.secrets.iter().any(|secret| text.contains(secret.as_str())) {
            ledger.breaks(Promise::Secrets, "[secret] in its place", text);
        }
    }

    /// The limit classes that were used.
    pub(crate) fn classes(&self) -> BTreeSet<&'static str> {
        self.classes.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug, Default)]
struct Classes(Mutex<BTreeSet<&'static str>>);

#[async_trait::async_trait]
impl Limiter for Classes {
    async fn acquire(&self, _identity: &str, limit: Limit) -> Result<Permit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(limit.class);
        Ok(Permit::new(()))
    }
}
