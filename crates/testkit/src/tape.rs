//! The recorded system: answers what was recorded, except where a fault is set.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::http::{Answer, Answers, Asked, pairs};
use crate::story::{Exchange, Request, Response, Story, System};

/// More requests in one call are an endless loop.
pub(crate) const MOST_REQUESTS: usize = 200;
/// The answers' time where a fault has to tell one; its `Retry-After` lies 7 s later.
const DATE: &str = "Sun, 13 Sep 2020 12:26:40 GMT";

/// Stands for where the tape plays.
pub(crate) const ORIGIN: &str = "{origin}";

/// What goes wrong with the answers to some recorded requests.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The exchanges by position.
    pub(crate) at: Vec<usize>,
    pub(crate) spoil: Spoil,
    /// Whether every such request fails, or only the first.
    pub(crate) lasting: bool,
    /// Whether requests that were not recorded are answered so too, where they go to the same path.
    pub(crate) unrecorded: bool,
}

impl Fault {
    pub(crate) fn at(exchange: usize, spoil: Spoil) -> Self {
        Self { at: vec![exchange], spoil, lasting: false, unrecorded: false }
    }

    pub(crate) const fn lasting(mut self) -> Self {
        self.lasting = true;
        self
    }
}

/// How an answer is spoilt.
#[derive(Clone, Debug)]
pub(crate) enum Spoil {
    /// This status, with a body that quotes the request's credentials.
    Status(u16),
    /// 429 with this `Retry-After`.
    TooMany(Option<&'static str>),
    Hangup,
    Cut,
    /// Status 200 with this text.
    Text(&'static str),
    /// This status without a word.
    Wordless(u16),
    Other(Response),
    /// An answer that refuses, whatever its status is.
    Refusal(Response),
    /// The first token is refused from this request on.
    ExpireToken,
}

/// What an answer says of what was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Taken,
    /// It surely was not done.
    Refused,
    /// Nobody knows whether it was.
    Open,
}

impl Reply {
    /// By a status; `undone` says that nothing was done where it is a 5xx.
    const fn of(status: u16, undone: bool) -> Self {
        match status {
            ..400 => Self::Taken,
            400..500 => Self::Refused,
            _ if undone => Self::Refused,
            _ => Self::Open,
        }
    }
}

/// A request that was heard.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) asked: Asked,
    /// Which exchange it is.
    pub(crate) exchange: Option<usize>,
    pub(crate) faulted: bool,
    pub(crate) reply: Reply,
    /// The header with credentials that is missing or wrong.
    pub(crate) unproven: Option<String>,
}

impl Heard {
    pub(crate) fn shown(&self) -> String {
        let body = String::from_utf8_lossy(&self.asked.body);
        let body: String = body.chars().take(300).collect();
        format!("{} {} {body}", self.asked.method, self.asked.target).trim().to_owned()
    }
}

#[derive(Debug, Default)]
struct State {
    hits: Vec<usize>,
    heard: Vec<Heard>,
    fault: Option<Fault>,
    spent: bool,
    issued: usize,
    expired: bool,
}

/// The recorded system of one story.
#[derive(Debug)]
pub(crate) struct Tape {
    recorded: Vec<Exchange>,
    /// The same where `{origin}` in them is where the tape plays.
    here: OnceLock<Vec<Exchange>>,
    system: System,
    secrets: Vec<String>,
    state: Mutex<State>,
}

impl Tape {
    pub(crate) fn new(story: &Story, system: &System, secrets: Vec<String>) -> Self {
        let state = Mutex::default();
        let (recorded, here) = (story.exchanges.clone(), OnceLock::new());
        Self { recorded, here, system: system.clone(), secrets, state }
    }

    /// Says where it plays: addresses that the system gives begin with `{origin}` in stories.
    pub(crate) fn plays_at(&self, origin: &str) {
        let here = self.recorded.iter().map(|exchange| {
            let text = serde_json::to_string(exchange).unwrap_or_default();
            let placed = text.contains(ORIGIN).then(|| text.replace(ORIGIN, origin));
            let placed = placed.and_then(|text| serde_json::from_str(&text).ok());
            placed.unwrap_or_else(|| exchange.clone())
        });
        drop(self.here.set(here.collect()));
    }

    fn exchanges(&self) -> &[Exchange] {
        self.here.get().unwrap_or(&self.recorded)
    }

    /// Begins anew with a fault or none.
    pub(crate) fn rewind(&self, fault: Option<Fault>) {
        let hits = vec![0; self.exchanges().len()];
        *self.state() = State { hits, fault, ..State::default() };
    }

    /// Forgets what was heard; the fault goes.
    pub(crate) fn mend(&self) {
        let mut state = self.state();
        state.fault = None;
        state.heard.clear();
        state.hits.fill(0);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.state().heard.clone()
    }

    pub(crate) fn exchange(&self, at: usize) -> Option<&Exchange> {
        self.exchanges().get(at)
    }

    pub(crate) fn is_token(&self, at: usize) -> bool {
        self.exchange(at).is_some_and(|it| it.response.token().is_some())
    }

    pub(crate) fn len(&self) -> usize {
        self.exchanges().len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, hits: &[usize], asked: &Asked) -> Option<usize> {
        let same = |at: &usize| self.exchange(*at).is_some_and(|it| is_same(it, asked));
        let all: Vec<usize> = (0..self.exchanges().len()).filter(same).collect();
        let fresh = all.iter().find(|at| hits.get(**at) == Some(&0));
        fresh.or(all.last()).copied()
    }

    /// The first credential that the request should carry and does not.
    fn unproven(&self, wanted: &Request, asked: &Asked, token: usize) -> Option<String> {
        let wrong = |(name, template): &(&String, &String)| {
            let mut value = (*template).clone();
            for (setting, given) in &self.system.account {
                value = value.replace(&format!("{{{setting}}}"), given);
            }
            let token = self
                .exchanges()
                .iter()
                .find_map(|it| it.response.token())
                .map(|recorded| numbered(recorded, token));
            value = value.replace("{token}", &token.unwrap_or_default());
            asked.headers.get(&name.to_lowercase()) != Some(&value)
        };
        wanted.headers.iter().find(wrong).map(|(name, _)| name.clone())
    }

    /// What a system that quotes its callers would say.
    fn quote(&self, asked: &Asked) -> String {
        let headers = asked.headers.values().map(String::as_str);
        let tokens = headers.filter_map(|value| value.strip_prefix("Bearer "));
        let said: Vec<_> = self.secrets.iter().map(String::as_str).chain(tokens).collect();
        serde_json::json!({ "message": format!("refused, you sent {}", said.join(" ")) })
            .to_string()
    }

    fn spoilt(&self, spoil: &Spoil, exchange: Option<usize>, asked: &Asked) -> Answer {
        let json = || ("content-type".to_owned(), "application/json".to_owned());
        let given = |status, headers, body: String| Answer::Given {
            status,
            headers,
            body: body.into_bytes(),
            cut: false,
        };
        match spoil {
            Spoil::Status(status) => given(*status, vec![json()], self.quote(asked)),
            Spoil::TooMany(after) => {
                let mut headers = vec![json(), ("date".to_owned(), DATE.to_owned())];
                headers.extend(after.map(|after| ("retry-after".to_owned(), after.to_owned())));
                given(429, headers, self.quote(asked))
            }
            Spoil::Hangup => Answer::Hangup,
            Spoil::Text(text) => given(200, vec![json()], (*text).to_owned()),
            Spoil::Wordless(status) => given(*status, vec![], String::new()),
            Spoil::Other(response) | Spoil::Refusal(response) => answer(response, 0, false),
            Spoil::Cut => match exchange.and_then(|at| self.exchange(at)) {
                Some(exchange) => answer(&exchange.response, 0, true),
                None => Answer::Hangup,
            },
            Spoil::ExpireToken => given(401, vec![json()], self.quote(asked)),
        }
    }
}

impl Spoil {
    /// What an answer that is spoilt so says of what was ordered.
    const fn reply(&self, undone: bool) -> Reply {
        match self {
            Self::Status(status) | Self::Wordless(status) => Reply::of(*status, undone),
            Self::TooMany(_) | Self::Refusal(_) | Self::ExpireToken => Reply::Refused,
            Self::Hangup | Self::Cut | Self::Text(_) => Reply::Open,
            Self::Other(response) => Reply::of(response.status, undone),
        }
    }
}

#[async_trait::async_trait]
impl Answers for Tape {
    async fn answer(&self, asked: Asked) -> Answer {
        let mut state = self.state();
        let exchange = self.find(&state.hits, &asked);
        if let Some(hits) = exchange.and_then(|at| state.hits.get_mut(at)) {
            *hits += 1;
        }
        let recorded = exchange.and_then(|at| self.exchange(at));
        let unproven = recorded.and_then(|it| self.unproven(&it.request, &asked, state.issued));
        let undone = self.system.is_undone_by_5xx(&asked.method, asked.path());
        let mut heard = Heard { asked, exchange, faulted: false, reply: Reply::Open, unproven };
        if state.heard.len() >= MOST_REQUESTS {
            state.heard.push(heard);
            return Answer::Hangup;
        }
        let fault = state.fault.clone().filter(|fault| {
            let beside = |at: &usize| {
                let path = self.exchange(*at).map(|it| it.request.path.as_str());
                exchange.is_none() && fault.unrecorded && path == Some(heard.asked.path())
            };
            // The same question again is the same answer, also where it was recorded twice.
            let same = |at: usize, other: usize| {
                let request = |at| self.exchange(at).map(|it| &it.request);
                at == other || (fault.lasting && request(at) == request(other))
            };
            let there = exchange.is_some_and(|at| fault.at.iter().any(|it| same(at, *it)));
            (there || fault.at.iter().any(beside)) && (fault.lasting || !state.spent)
        });
        let unasked = state.expired && state.issued < 2;
        heard.reply = match (&fault, recorded) {
            (Some(fault), _) => fault.spoil.reply(undone),
            (None, Some(_)) if unasked => Reply::Refused,
            (None, Some(it)) => Reply::of(it.response.status, undone),
            (None, None) => Reply::of(501, undone),
        };
        let answer = match (fault, recorded) {
            (Some(fault), _) => {
                state.spent = true;
                heard.faulted = true;
                state.expired |= matches!(fault.spoil, Spoil::ExpireToken);
                self.spoilt(&fault.spoil, exchange, &heard.asked)
            }
            (None, Some(it)) if it.response.token().is_some() => {
                state.issued += 1;
                answer(&it.response, state.issued, false)
            }
            // A token that has ended is refused, whoever comes with it.
            (None, Some(_)) if unasked => self.spoilt(&Spoil::Status(401), exchange, &heard.asked),
            (None, Some(it)) => answer(&it.response, 0, false),
            (None, None) => Answer::Given {
                status: 501,
                headers: vec![],
                body: b"this request is not recorded".to_vec(),
                cut: false,
            },
        };
        state.heard.push(heard);
        answer
    }
}

/// A token as it is issued for the `n`-th time: a renewed one is another.
pub(crate) fn numbered(token: &str, n: usize) -> String {
    format!("{token}-{n}")
}

fn answer(response: &Response, token: usize, cut: bool) -> Answer {
    let headers = response.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
    let mut response = response.clone();
    if let Some(recorded) = response.token().map(str::to_owned)
        && let Some(slot) = response.body.as_mut().and_then(|body| body.get_mut("access_token"))
    {
        *slot = numbered(&recorded, token).into();
    }
    Answer::Given {
        status: response.status,
        headers: headers.collect(),
        body: response.bytes(),
        cut,
    }
}

fn is_same(exchange: &Exchange, asked: &Asked) -> bool {
    let request = &exchange.request;
    if request.method != asked.method || request.path != asked.path() {
        return false;
    }
    if exchange.response.token().is_some() {
        return true;
    }
    let body = match (&request.body, &request.form) {
        (Some(body), _) => {
            serde_json::from_slice(&asked.body).is_ok_and(|sent: serde_json::Value| sent == *body)
        }
        (None, Some(form)) => *form == pairs(&asked.body),
        (None, None) => asked.body == request.text.as_deref().unwrap_or_default().as_bytes(),
    };
    body && request.query == asked.query()
}
