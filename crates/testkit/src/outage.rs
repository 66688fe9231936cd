//! What a system may answer instead of what was recorded, and what a connector makes of it.

use std::time::Duration;

use connector::Error;

use crate::http::Asked;
use crate::promise::{Ledger, Promise};
use crate::stage::{Ended, Played, Stage};
use crate::story::{Exchange, Kind, Response, System};
use crate::tape::{Fault, Spoil};

/// One thing that goes wrong, and which errors say it rightly.
pub(crate) struct Outage {
    pub(crate) name: String,
    pub(crate) fault: Fault,
    /// The promise that is broken where it is no error.
    pub(crate) promise: Promise,
    /// What a question's error is; empty takes any.
    pub(crate) question: &'static [Kind],
    /// What an order's error is; empty takes any.
    pub(crate) order: &'static [Kind],
    /// What the error says of the wait, where that is looked at.
    pub(crate) after: Option<Option<Duration>>,
    /// What may come of it beside an error.
    pub(crate) may: May,
}

/// What an action may make of an answer that is not the one that was recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    /// Nothing is settled by it.
    Nothing,
    /// It settles all that the recorded answer did, or nothing: its status alone may tell, since no
    /// source shows a body.
    Stand,
    /// Anything but that it was done.
    Refuse,
}

/// Bodies that say that something failed, whatever the system's own words for it are.
const FAILURES: &[&str] = &[
    r#"{"error":"no"}"#,
    r#"{"errors":["no"]}"#,
    r#"{"status":"error","message":"no"}"#,
    r#"{"status":"success","error":"no"}"#,
];

const RETRY: &[Kind] = &[Kind::Retry];
/// An order without an answer is unknown; what asks before it orders may say that it is worth
/// another try.
const OPEN: &[Kind] = &[Kind::Unknown, Kind::Retry];

fn outage(name: &str, fault: Fault) -> Outage {
    Outage {
        name: name.to_owned(),
        fault,
        promise: Promise::Outage,
        question: RETRY,
        order: RETRY,
        after: None,
        may: May::Nothing,
    }
}

/// All that may go wrong with one exchange.
pub(crate) fn all(stage: &Stage<'_>, at: usize) -> Vec<Outage> {
    let Some(exchange) = stage.tape.exchange(at) else { return vec![] };
    let spoilt = |spoil| Fault::at(at, spoil);
    let open = |name: &str, spoil| Outage { order: OPEN, ..outage(name, spoilt(spoil)) };
    let mut all = vec![
        open("500 once", Spoil::Status(500)),
        Outage { order: OPEN, ..outage("503 that lasts", spoilt(Spoil::Status(503)).lasting()) },
        open("a closed connection", Spoil::Hangup),
        open("an answer that breaks off", Spoil::Cut),
    ];
    if stage.tape.is_token(at) {
        return all;
    }
    let any =
        |name: &str, spoil| Outage { question: &[], order: &[], ..outage(name, spoilt(spoil)) };
    all.push(any("403", Spoil::Status(403)));
    all.push(any("400", Spoil::Status(400)));
    let reads = !stage.system.status_tells;
    let unshown = stage.system.is_unshown(&exchange.request);
    let status = exchange.response.status;
    if exchange.response.body.is_some() || unshown {
        // In place of a refusal a silent success is another answer: stories of success show it.
        if !(unshown && status >= 400) {
            let may = if unshown { May::Stand } else { May::Nothing };
            all.push(Outage { may, ..open("an empty answer", Spoil::Text("")) });
            if reads {
                all.push(Outage { may, ..open("JSON of another shape", Spoil::Text("{}")) });
            }
        }
        all.push(open("an answer that is not JSON", Spoil::Text("<html>maintenance</html>")));
        for text in FAILURES.iter().filter(|_| reads) {
            all.push(any(&format!("the failure {text}"), Spoil::Text(text)));
        }
    }
    if status >= 400 && reads {
        let refusal = any(&format!("{status} without a word"), Spoil::Wordless(status));
        all.push(Outage { may: May::Refuse, ..refusal });
    }
    let seven = Some(Duration::from_secs(7));
    for (name, header, after) in [
        ("429 without Retry-After", None, None),
        ("429 with Retry-After: 7", Some("7"), seven),
        ("429 with a date in Retry-After", Some("Sun, 13 Sep 2020 12:26:47 GMT"), seven),
    ] {
        let fault = spoilt(Spoil::TooMany(header)).lasting();
        all.push(Outage { after: Some(after), ..outage(name, fault) });
    }
    let refused: &[Kind] = &[Kind::Unauthorized];
    all.push(Outage {
        promise: Promise::Unauthorized,
        question: refused,
        order: refused,
        ..outage("401 that lasts", spoilt(Spoil::Status(401)).lasting())
    });
    for failure in &stage.system.failures_inside_200 {
        // Of a deletion it may mean that nothing was there, which is as good as deleted.
        if failure.is == Kind::Config && exchange.request.method == "DELETE" {
            continue;
        }
        let answer =
            Response { status: 200, body: Some(failure.body.clone()), ..Response::default() };
        let kinds = match failure.is {
            Kind::Retry => RETRY,
            Kind::Unauthorized => &[Kind::Unauthorized],
            Kind::TooLarge => &[Kind::TooLarge],
            Kind::Unknown => OPEN,
            Kind::Reject => &[Kind::Reject],
            Kind::Config => &[Kind::Config],
        };
        let spoil = match failure.is {
            Kind::Unknown => Spoil::Other(answer),
            _ => Spoil::Refusal(answer),
        };
        let fault = spoilt(spoil);
        let fault = if failure.is == Kind::Unauthorized { fault.lasting() } else { fault };
        all.push(Outage {
            promise: Promise::Inside200,
            question: kinds,
            order: if failure.is == Kind::Retry { OPEN } else { kinds },
            ..outage(&format!("the failure {} inside a 200", failure.body), fault)
        });
    }
    all
}

/// Whether an exchange only asks.
pub(crate) fn is_question(system: &System, exchange: &Exchange) -> bool {
    system.only_asks(&exchange.request.method, &exchange.request.path)
}

/// The same of a request that was heard.
pub(crate) fn only_asks(system: &System, asked: &Asked) -> bool {
    system.only_asks(&asked.method, asked.path())
}

/// Whether the request carries a token that can be renewed.
pub(crate) fn renews(exchange: &Exchange) -> bool {
    exchange.request.headers.values().any(|value| value.contains("{token}"))
}

impl Outage {
    /// Whether an order's error may be of this kind.
    pub(crate) fn may_be(&self, kind: Kind) -> bool {
        self.order.is_empty() || self.order.contains(&kind)
    }

    /// Judges the error of a call.
    pub(crate) fn judge(&self, error: &Error, question: bool, ledger: &mut Ledger) {
        let kind = Kind::of(error);
        let fitting = if question { self.question } else { self.order };
        if !fitting.is_empty() && !fitting.contains(&kind) {
            let promise = match self.promise {
                Promise::Outage => Promise::Kind,
                promise => promise,
            };
            ledger.breaks(
                promise,
                format!("an error that is one of {fitting:?}"),
                format!("{error:?}"),
            );
            return;
        }
        if let (Some(wanted), Error::Retry { after, .. }) = (self.after, error)
            && wanted != *after
        {
            let expected = format!("Error::Retry with the wait {wanted:?}");
            ledger.breaks(Promise::RetryAfter, expected, format!("{error:?}"));
        }
    }

    /// Looks whether the connector tried again by itself.
    pub(crate) fn count<T>(&self, played: &Played<T>, ledger: &mut Ledger) {
        let tries = played.heard.iter().filter(|heard| heard.faulted).count();
        // After a 401 the token is renewed, and the request sent again: that is `Api`.
        let renewed =
            matches!(self.fault.spoil, Spoil::Status(401) | Spoil::Other(_) | Spoil::Refusal(_));
        if self.fault.lasting && tries > 1 && !renewed && !matches!(played.ended, Ended::Stuck) {
            let got = format!(
                "{tries} requests, the last {}",
                played.heard.last().map_or_else(String::new, crate::tape::Heard::shown)
            );
            ledger.breaks(Promise::OneTry, "one request, then its error", got);
        }
    }
}
