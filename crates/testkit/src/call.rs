//! One call of an action, and every way in which a system may behave towards it.

use std::collections::BTreeSet;
use std::sync::Arc;

use connector::{ActionDescriptor, Api, ErasedAction, ErasedItem, Error, Outcome, Result};
use serde_json::Value;

use crate::again::Traces;
use crate::expect::Became;
use crate::outage::{self, May, Outage, renews};
use crate::promise::{Ledger, Promise};
use crate::records;
use crate::stage::{Ended, Played, Stage};
use crate::story::Kind;
use crate::tape::{Fault, Heard, Spoil};

/// A call on its story's stage: with messages that may share one, or the question after what was
/// handed over.
pub(crate) struct Call<'a> {
    stage: &'a Stage<'a>,
    descriptor: &'a ActionDescriptor,
    action: Arc<dyn ErasedAction>,
    items: Vec<ErasedItem>,
    /// What tells the messages in requests.
    traces: Traces,
    /// What is sent must not be sent twice.
    once: bool,
}

pub(crate) type Outcomes = Vec<Option<Outcome>>;

impl<'a> Call<'a> {
    /// The call with these messages; each is what is sent, and the input that it is made of.
    pub(crate) fn new(
        stage: &'a Stage<'a>,
        descriptor: &'a ActionDescriptor,
        action: Arc<dyn ErasedAction>,
        messages: Vec<(ErasedItem, Value)>,
    ) -> Self {
        let traces = Traces::of(messages.iter().map(|(item, input)| (&*item.key, input)));
        let repeats = action.idempotent() || stage.story.only_asks || stage.story.check.is_some();
        let items = messages.into_iter().map(|(item, _)| item).collect();
        Self { stage, descriptor, action, items, traces, once: !repeats }
    }

    /// Makes the call.
    pub(crate) async fn run(&self, api: &Api) -> Result<Outcomes> {
        match &self.stage.story.check {
            None => Ok(self.action.run(api, &self.items).await?.into_vec()),
            Some(token) => {
                let token = self.stage.placed(token);
                let outcome = match self.stage.story.first {
                    true => self.action.first_check(api, &token).await?,
                    false => self.action.check(api, &token).await?,
                };
                Ok(vec![Some(outcome)])
            }
        }
    }

    /// Makes it without the story's other calls, as after a restart.
    async fn alone(&self) -> Result<Outcomes> {
        self.run(&self.stage.api()?).await
    }

    /// Plays the call, and looks at what holds whatever goes wrong.
    pub(crate) async fn play(&self, fault: Option<Fault>, ledger: &mut Ledger) -> Played<Outcomes> {
        let played = self.stage.play(fault, ledger, self.alone()).await;
        if self.once {
            self.traces.look(self.stage, &played, ledger);
        }
        played
    }

    /// Plays the call as recorded, which gives outcomes, and its mutations.
    pub(crate) async fn check(&self, ledger: &mut Ledger) {
        let before = ledger.broken.len();
        let played = self.play(None, ledger).await;
        let Ended::Gave(outcomes) = &played.ended else {
            let expected = "outcomes, as behind the other calls of its batch";
            ledger.breaks(Promise::Outcomes, expected, shown(&played.ended));
            return;
        };
        if ledger.broken.len() > before {
            return;
        }
        let outcomes = self.stage.became(outcomes);
        let asked: BTreeSet<usize> = played.exchanges().into_iter().collect();
        for at in asked {
            for outage in outage::all(self.stage, at) {
                ledger.mutate(format!("{} is answered by {}", self.named(at), outage.name));
                self.outage(at, &outage, &outcomes, ledger).await;
            }
            self.others(at, &outcomes, ledger).await;
        }
        if self.action.idempotent() || self.stage.story.check.is_some() {
            self.again(ledger).await;
        }
    }

    fn named(&self, at: usize) -> String {
        self.stage.tape.exchange(at).map_or_else(String::new, |exchange| {
            format!("{} {}", exchange.request.method, exchange.request.path)
        })
    }

    async fn outage(&self, at: usize, outage: &Outage, before: &[Became], ledger: &mut Ledger) {
        let system = self.stage.system;
        let asked = self.stage.tape.exchange(at);
        let is_order = asked.is_some_and(|it| system.is_order(&it.request));
        let question = asked.is_some_and(|it| outage::is_question(system, it))
            || (self.stage.story.check.is_some() && !is_order)
            || self.stage.tape.is_token(at);
        let fault = Some(outage.fault.clone());
        let played = self.play(fault, ledger).await;
        outage.count(&played, ledger);
        match &played.ended {
            Ended::Failed(error) => outage.judge(error, question, ledger),
            Ended::Gave(outcomes) => {
                talk(self.stage, outcomes, ledger);
                let now = self.stage.became(outcomes);
                if outage.may == May::Stand && now == before {
                    return;
                }
                if outage.may == May::Refuse {
                    let done = |(now, before): (&Became, &Became)| {
                        now != before && matches!(now, Became::Done { .. })
                    };
                    if now.iter().zip(before).any(done) || now.len() != before.len() {
                        let expected = "an error, or what is not done";
                        ledger.breaks(outage.promise, expected, format!("{now:?}"));
                    }
                    return;
                }
                if matches!(outage.fault.spoil, Spoil::Cut | Spoil::Text(_)) {
                    self.settled_without(at, (&now, &played.heard), ledger).await;
                }
                // Where a status may be one message's own, its refusal is an outcome like others.
                let refusal = matches!(outage.fault.spoil, Spoil::Status(400 | 403));
                self.open(outage.promise, outcomes, before, refusal, ledger);
                if let Some(got) = untold(outcomes).filter(|it| !outage.may_be(*it)) {
                    let expected = format!("an error that is one of {:?}", outage.order);
                    let got = format!("{got:?} of every message");
                    ledger.breaks(outage.promise, expected, got);
                }
                let told = outage.after.flatten();
                let waits = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Retry { after, .. }) if *after != told);
                if outage.after.is_some() && outcomes.iter().any(waits) {
                    let got = shown(&played.ended);
                    ledger.breaks(Promise::RetryAfter, format!("the wait {told:?}"), got);
                }
            }
            Ended::Stuck => {}
        }
    }

    /// An answer that says nothing settles no more of its request's messages than none does.
    async fn settled_without(
        &self,
        at: usize,
        (now, heard): (&[Became], &[Heard]),
        ledger: &mut Ledger,
    ) {
        let fault = Some(Fault::at(at, Spoil::Hangup));
        let played = self.stage.play(fault, &mut Ledger::default(), self.alone()).await;
        let without = match &played.ended {
            Ended::Gave(outcomes) => self.stage.became(outcomes),
            Ended::Failed(_) | Ended::Stuck => vec![],
        };
        let asked =
            heard.iter().filter(|it| it.faulted).flat_map(|it| self.traces.within(&it.asked));
        let asked: BTreeSet<usize> = asked.collect();
        // What is refused before anything is sent is refused whatever the answer is.
        let done = |it: &Became| it.is_settled() && !matches!(it, Became::Rejected { .. });
        let is_more = |(place, now): (usize, &Became)| {
            asked.contains(&place) && done(now) && !without.get(place).is_some_and(done)
        };
        if now.iter().enumerate().any(is_more) {
            let expected = "as much settled as by no answer at all";
            ledger.breaks(Promise::Open, expected, format!("{now:?}"));
        }
    }

    /// Outcomes after something went wrong: one for each message, nothing that was not so before,
    /// and something left open.
    fn open(
        &self,
        promise: Promise,
        outcomes: &Outcomes,
        before: &[Became],
        refusal: bool,
        ledger: &mut Ledger,
    ) {
        let now = self.stage.became(outcomes);
        let settled = now.iter().zip(before).filter(|(now, _)| now.is_settled());
        let refused = |it: &Became| refusal && matches!(it, Became::Rejected { .. });
        let made_up = settled.clone().any(|(now, before)| now != before && !refused(now));
        let all = settled.count() == before.len() && now == before;
        if made_up || all || now.len() != before.len() {
            let expected = "an error, or what is open left unset";
            ledger.breaks(promise, expected, format!("{now:?}"));
        }
    }

    /// What befalls orders alone.
    async fn others(&self, at: usize, before: &[Became], ledger: &mut Ledger) {
        let Some(exchange) = self.stage.tape.exchange(at) else { return };
        if self.stage.tape.is_token(at) {
            return;
        }
        let named = self.named(at);
        if renews(exchange) {
            ledger.mutate(format!("{named} goes with a token that has ended"));
            let fault = Fault::at(at, Spoil::ExpireToken);
            let played = self.play(Some(fault), ledger).await;
            let same = matches!(&played.ended, Ended::Gave(it) if self.stage.became(it) == before);
            if !same {
                ledger.breaks(Promise::Renewal, format!("{before:?}"), shown(&played.ended));
            }
        }
        if self.descriptor.max_batch > 1 && !outage::is_question(self.stage.system, exchange) {
            ledger.mutate(format!("{named} is answered by 413"));
            let fault = Fault::at(at, Spoil::Status(413));
            let played = self.play(Some(fault), ledger).await;
            // What went before it may be settled; if nothing is, the batch is what was too large. The
            // rest stays open. Where open means in doubt, as of orders that are not to be repeated,
            // what surely was not done is put off instead: the next try begins with it, has nothing
            // before it, and says that it is too large.
            if self.once {
                self.traces.doubted(self.stage, &played, ledger);
            }
            let doubtful = !self.action.idempotent();
            let open = matches!(&played.ended, Ended::Gave(it) if untold(it).is_none() && is_left(it, doubtful));
            let right = matches!(&played.ended, Ended::Failed(Error::TooLarge { .. })) || open;
            if !right {
                ledger.breaks(Promise::TooLarge, "Error::TooLarge", shown(&played.ended));
            }
        }
        // An answer that quotes credentials in everything that it says.
        ledger.mutate(format!("{named} is answered with the credentials in every sentence"));
        let mut quoting = exchange.response.clone();
        if let (Some(body), Some(secret)) = (&mut quoting.body, self.stage.secrets.first()) {
            quote(body, secret);
            let fault = Fault::at(at, Spoil::Other(quoting));
            let played = self.play(Some(fault), ledger).await;
            if let Ended::Gave(outcomes) = &played.ended {
                talk(self.stage, outcomes, ledger);
            }
        }
        // An order's answer that tells of one message less than were sent. What a question gives
        // may be as long as the batch by chance, and is another world where it is shorter.
        if outage::is_question(self.stage.system, exchange) {
            return;
        }
        let body = exchange.response.body.clone().unwrap_or_default();
        let lists = records::lists(&body, String::new());
        let whole =
            lists.into_iter().filter(|(_, list)| list.len() == before.len() && list.len() > 1);
        for (place, _) in whole {
            ledger.mutate(format!("{named} tells of one message less"));
            let answer = records::changed(&exchange.response, &place, |list| drop(list.pop()));
            let fault = Fault::at(at, Spoil::Other(answer));
            let played = self.play(Some(fault), ledger).await;
            if let Ended::Gave(outcomes) = &played.ended {
                self.open(Promise::Open, outcomes, before, false, ledger);
            }
        }
    }

    async fn again(&self, ledger: &mut Ledger) {
        ledger.mutate("the batch is sent again");
        let mut sent: Vec<Vec<(String, Vec<u8>)>> = vec![];
        for _ in 0..2 {
            let played = self.stage.play(None, ledger, self.alone()).await;
            let orders = played.heard.into_iter().map(|it| (it.asked.target, it.asked.body));
            sent.push(orders.collect());
        }
        if sent.first() != sent.last() {
            let text = |sent: Option<&Vec<(String, Vec<u8>)>>| {
                let texts = sent.into_iter().flatten();
                let texts = texts
                    .map(|(target, body)| format!("{target} {}", String::from_utf8_lossy(body)));
                texts.collect::<Vec<_>>().join(", ")
            };
            ledger.breaks(Promise::SameBytes, text(sent.first()), text(sent.last()));
        }
    }
}

/// Looks for secrets in what outcomes tell people.
pub(crate) fn talk(stage: &Stage<'_>, outcomes: &Outcomes, ledger: &mut Ledger) {
    for outcome in outcomes.iter().flatten() {
        match outcome {
            Outcome::Rejected { code, reason } => {
                stage.leaks(&format!("{code}: {reason}"), ledger);
            }
            Outcome::Retry { reason, .. } => stage.leaks(reason, ledger),
            Outcome::Parked { token, check_after, deadline } => {
                stage.leaks(token, ledger);
                if stage.story.check.is_none() && deadline <= check_after {
                    let got = format!("{deadline:?}, and asked after in {check_after:?}");
                    ledger.breaks(Promise::Parks, "a deadline behind the first check", got);
                }
            }
            Outcome::Done { value, target_key } => {
                stage.leaks(&format!("{value} {target_key:?}"), ledger);
            }
        }
    }
}

/// Puts a secret around every sentence; single words may mean something to the connector.
fn quote(value: &mut Value, secret: &str) {
    match value {
        Value::String(text) if text.contains(' ') => *text = format!("{secret} {text} {secret}"),
        Value::Array(list) => list.iter_mut().for_each(|it| quote(it, secret)),
        Value::Object(object) => object.values_mut().for_each(|it| quote(it, secret)),
        _ => {}
    }
}

/// What is said of the whole call, where it is said of every message alike and settles none.
fn untold(outcomes: &Outcomes) -> Option<Kind> {
    if outcomes.iter().all(Option::is_none) {
        Some(Kind::Unknown)
    } else if outcomes.iter().all(|it| matches!(it, Some(Outcome::Retry { .. }))) {
        Some(Kind::Retry)
    } else {
        None
    }
}

/// Whether some messages are left for later: open, or behind settled ones put off, where that may be.
fn is_left(outcomes: &Outcomes, may_put_off: bool) -> bool {
    let settled = outcomes.iter().any(|it| Became::of(it.as_ref()).is_settled());
    outcomes.iter().any(|outcome| match outcome {
        None => true,
        Some(Outcome::Retry { .. }) => may_put_off && settled,
        Some(_) => false,
    })
}

pub(crate) fn shown(ended: &Ended<Outcomes>) -> String {
    match ended {
        Ended::Gave(outcomes) => {
            let became = outcomes.iter().map(|it| Became::of(it.as_ref()));
            format!("{:?}", became.collect::<Vec<_>>())
        }
        Ended::Failed(error) => format!("{error:?}"),
        Ended::Stuck => "no end".to_owned(),
    }
}
