//! What a system may answer instead of what was recorded, and what a connector makes of it.

use std::time::Duration;

use connector::Error;

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
    /// Whether it may be taken for the answer that it stands for.
    pub(crate) status_tells: bool,
}

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
        status_tells: false,
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
    if exchange.response.body.is_some() {
        let status_tells = stage.system.is_order(&exchange.request);
        // Without its words a refusal is none any more.
        let needs_words = status_tells && exchange.response.status >= 400;
        if !needs_words {
            all.push(Outage { status_tells, ..open("an empty answer", Spoil::Text("")) });
        }
        all.push(open("an answer that is not JSON", Spoil::Text("<html>maintenance</html>")));
        // What orders may not need to read the answer; where it does, batches show it.
        if !needs_words && (stage.story.trigger.is_some() || stage.story.check.is_some()) {
            let other = open("JSON of another shape", Spoil::Text("{}"));
            all.push(Outage { status_tells, ..other });
        }
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
        let fault = spoilt(Spoil::Other(answer));
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
    matches!(exchange.request.method.as_str(), "GET" | "HEAD")
        && !system.is_order(&exchange.request)
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
        let renewed = matches!(self.fault.spoil, Spoil::Status(401) | Spoil::Other(_));
        if self.fault.lasting && tries > 1 && !renewed && !matches!(played.ended, Ended::Stuck) {
            let got = format!(
                "{tries} requests, the last {}",
                played.heard.last().map_or_else(String::new, crate::tape::Heard::shown)
            );
            ledger.breaks(Promise::OneTry, "one request, then its error", got);
        }
    }
}
