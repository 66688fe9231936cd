//! Orders: of one the answer is known, and it must not be repeated; of another no source shows the
//! answer. Both are accepted as they should be, and each fault in reading answers is caught.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use connector::prelude::*;
use towpath_testkit::{self as testkit, Promise};

const NONE: u8 = 0;
const ERROR_IS_DONE: u8 = 1;
const SILENCE_IS_DONE: u8 = 2;
const ANY_SHAPE_IS_DONE: u8 = 3;
const SILENCE_IS_HALF: u8 = 4;
const REFUSAL_NEEDS_WORDS: u8 = 5;
const PUT_OFF_THOUGH_SENT: u8 = 6;
const TOO_LARGE_THOUGH_SENT: u8 = 7;
const DOUBTED_THOUGH_REFUSED: u8 = 8;
const PUT_OFF_THOUGH_DONE: u8 = 9;
const ASKED_AGAIN: u8 = 10;

/// A fault's name, the connector that has it, and the promise that it breaks.
type Planted = (&'static str, fn() -> Connector, Promise);

#[rustfmt::skip]
const TABLE: &[Planted] = &[
    ("an error in JSON is done",                     connector::<ERROR_IS_DONE>, Promise::Outage),
    ("silence is done though the answer is known",   connector::<SILENCE_IS_DONE>, Promise::Outage),
    ("any JSON is done though the answer is known",  connector::<ANY_SHAPE_IS_DONE>, Promise::Outage),
    ("silence settles a part of what was sent",      connector::<SILENCE_IS_HALF>, Promise::Open),
    ("a refusal without words is done",              connector::<REFUSAL_NEEDS_WORDS>, Promise::Outage),
    ("what got no answer is put off",                connector::<PUT_OFF_THOUGH_SENT>, Promise::Again),
    ("a batch of which a part was taken is halved",  connector::<TOO_LARGE_THOUGH_SENT>, Promise::Again),
    ("what was refused is left in doubt",            connector::<DOUBTED_THOUGH_REFUSED>, Promise::TooLarge),
    ("what was taken is put off with the rest",      connector::<PUT_OFF_THOUGH_DONE>, Promise::Again),
    ("an order without an answer is tried again",    connector::<ASKED_AGAIN>, Promise::Again),
];

#[test]
fn each_fault_in_reading_answers_is_caught_by_its_name() {
    testkit::accept(connector::<NONE>(), "tests/orders").unwrap();
    let mut missed = vec![];
    for (planted, connector, promise) in TABLE {
        match testkit::accept(connector(), "tests/orders") {
            Ok(_) => missed.push(format!("{planted}: accepted")),
            Err(rejected) if rejected.broken().iter().any(|it| it.promise == *promise) => {}
            Err(rejected) => missed.push(format!("{planted}: not {promise:?}, but {rejected}")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn what_no_source_shows_says_what_there_is_instead() {
    let folder = std::env::temp_dir().join(format!("towpath-unshown-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let system = json!({ "unshown": { "POST /v1/bells": " " } }).to_string();
    std::fs::write(folder.join("system.json"), system).unwrap();
    let unreadable = testkit::accept(connector::<NONE>(), &folder).unwrap_err().to_string();
    assert!(unreadable.contains("what its sources show instead"), "{unreadable}");
    std::fs::remove_dir_all(folder).unwrap();
}

fn connector<const FAULT: u8>() -> Connector {
    Connector::new("example-door", "https://api.example-door.test/v1", Auth::api_key("X-Api-Key"))
        .action::<Send<FAULT>>("send", "data")
        .action::<Ring<FAULT>>("ring", "data")
}

/// Sends each text to whom it is for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Send<const FAULT: u8> {}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Message {
    to: String,
    text: String,
}

#[derive(Deserialize)]
struct Said {
    status: Option<String>,
    error: Option<Value>,
    errors: Option<Value>,
}

impl<const FAULT: u8> Send<FAULT> {
    async fn call(&self, api: &Api, text: &str, to: &[&str]) -> Result<()> {
        let request = api.post(["messages"]).json(&json!({ "text": text, "to": to }));
        let request = if FAULT == ASKED_AGAIN { request.safe() } else { request };
        let answer = request.send().await?;
        if FAULT == SILENCE_IS_DONE && answer.body().is_empty() {
            return Ok(());
        }
        let said: Said = answer.json()?;
        match said.status.as_deref() {
            None if FAULT == ANY_SHAPE_IS_DONE && said.error.is_none() => Ok(()),
            Some("success") if said.error.is_none() => Ok(()),
            _ => Err(answer.nonsense("without a success")),
        }
    }
}

#[async_trait]
impl<const FAULT: u8> Action for Send<FAULT> {
    type Input = Message;
    const MAX_BATCH: usize = 100;

    fn idempotent(&self) -> bool {
        false
    }

    async fn run(&self, api: &Api, batch: &Batch<Message>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let mut groups = BTreeMap::<&str, Vec<(usize, &str)>>::new();
        for (index, item) in batch.items.iter().enumerate() {
            if item.input.to.is_empty() {
                outcomes.set(index, Outcome::rejected("nobody", "the message is for nobody"));
                continue;
            }
            groups.entry(&item.input.text).or_default().push((index, &item.input.to));
        }
        // Later words come first, so that the first call is the one of two people.
        let mut groups = groups.into_iter().rev();
        let mut told = false;
        while let Some((text, people)) = groups.next() {
            let to: Vec<_> = people.iter().map(|(_, to)| *to).collect();
            let later = |error: &Error| Outcome::Retry {
                after: if let Error::Retry { after, .. } = error { *after } else { None },
                reason: format!("not sent: {error}"),
            };
            match self.call(api, text, &to).await {
                Ok(()) => {
                    for (index, to) in people {
                        outcomes.set(index, Outcome::done(json!({ "to": to })));
                    }
                    told = true;
                }
                Err(error @ Error::TooLarge { .. }) if FAULT == TOO_LARGE_THOUGH_SENT => {
                    return Err(error);
                }
                Err(Error::TooLarge { .. }) if FAULT == DOUBTED_THOUGH_REFUSED => {
                    return Ok(outcomes);
                }
                Err(error) if FAULT == PUT_OFF_THOUGH_DONE && told => {
                    for index in 0..batch.items.len() {
                        if !batch.items[index].input.to.is_empty() {
                            outcomes.set(index, later(&error));
                        }
                    }
                    return Ok(outcomes);
                }
                Err(error) if !told => return Err(error),
                Err(error) => {
                    let open = matches!(error, Error::Unknown { .. });
                    let own = people.into_iter().filter(|_| !open || FAULT == PUT_OFF_THOUGH_SENT);
                    for (index, _) in own.chain(groups.flat_map(|(_, people)| people)) {
                        outcomes.set(index, later(&error));
                    }
                    return Ok(outcomes);
                }
            }
        }
        Ok(outcomes)
    }
}

/// Rings bells.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ring<const FAULT: u8> {}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Rung {
    bell: String,
}

impl<const FAULT: u8> Ring<FAULT> {
    /// Whether the answer leaves no doubt: no source shows it, so that silence is none.
    fn is_rung(answer: &Response) -> bool {
        let Ok(said) = answer.json::<Said>() else { return answer.body().is_empty() };
        let fine = said.status.is_none_or(|status| status == "success");
        fine && (FAULT == ERROR_IS_DONE || said.error.is_none() && said.errors.is_none())
    }
}

#[async_trait]
impl<const FAULT: u8> Action for Ring<FAULT> {
    type Input = Rung;
    const MAX_BATCH: usize = 10;

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Rung>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let items = batch.items.iter().enumerate();
        let (named, others): (Vec<_>, Vec<_>) =
            items.partition(|(_, item)| !item.input.bell.is_empty());
        for (index, _) in others {
            outcomes.set(index, Outcome::rejected("noBell", "the message names no bell"));
        }
        let bells: Vec<_> = named.iter().map(|(_, item)| &item.input.bell).collect();
        let request = api.post(["bells"]).json(&bells).accept(StatusCode::BAD_REQUEST);
        let answer = request.send().await?;
        let silent = answer.body().is_empty();
        if answer.status() == StatusCode::BAD_REQUEST && !(silent && FAULT == REFUSAL_NEEDS_WORDS) {
            for (index, _) in named {
                outcomes.set(index, Outcome::rejected("http400", answer.message()));
            }
            return Ok(outcomes);
        }
        if !Self::is_rung(&answer) {
            return Err(answer.nonsense("without a success"));
        }
        let half = if silent && FAULT == SILENCE_IS_HALF { 1 } else { named.len() };
        for (index, item) in named.into_iter().take(half) {
            outcomes.set(index, Outcome::done(json!({ "bell": item.input.bell })));
        }
        Ok(outcomes)
    }
}
