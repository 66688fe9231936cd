//! An action whose system finishes later: accepted as it should be, and each fault is caught.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Mutex;
use std::time::Duration;

use connector::prelude::*;
use towpath_testkit::{self as testkit, Promise};

const NONE: u8 = 0;
const OUTAGE_IS_PENDING: u8 = 1;
const NONSENSE_IS_DONE: u8 = 2;
const NONSENSE_IS_PENDING: u8 = 3;
const NO_CHECK: u8 = 4;
const NO_TIME: u8 = 5;
const REMEMBERS: u8 = 6;
const SECRET_IN_TOKEN: u8 = 7;

fn connector<const FAULT: u8>() -> Connector {
    Connector::new("example-jobs", "https://api.example-jobs.test/v1", Auth::api_key("X-Api-Key"))
        .action::<Export<FAULT>>("export", "data")
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Export<const FAULT: u8> {
    /// What no action should have: a memory.
    #[serde(skip)]
    #[schemars(skip)]
    memory: Mutex<Option<String>>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct List {
    list: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Taken {
    Job(String),
    Error(String),
}

#[derive(Deserialize, Default)]
struct Job {
    state: Option<String>,
    rows: Option<u64>,
    error: Option<String>,
}

fn parked(token: String, deadline: u64) -> Outcome {
    let (check_after, deadline) = (Duration::from_secs(30), Duration::from_secs(deadline));
    Outcome::Parked { token, check_after, deadline }
}

#[async_trait]
impl<const FAULT: u8> Action for Export<FAULT> {
    type Input = List;
    const MAX_BATCH: usize = 10;

    fn idempotent(&self) -> bool {
        false
    }

    async fn run(&self, api: &Api, batch: &Batch<List>) -> Result<Outcomes> {
        let lists: Vec<_> = batch.items.iter().map(|item| &item.input.list).collect();
        let answer = api.post(["exports"]).json(&lists).send().await?;
        let taken: Vec<Taken> = answer.json()?;
        let mut outcomes = batch.outcomes();
        if taken.len() != batch.items.len() {
            return Ok(outcomes);
        }
        for (index, taken) in taken.into_iter().enumerate() {
            let outcome = match taken {
                Taken::Job(_) if FAULT == SECRET_IN_TOKEN => {
                    parked(api.account().values().get("apiKey").to_string(), 3600)
                }
                Taken::Job(job) => {
                    *self.memory.lock().unwrap() = Some(job.clone());
                    parked(job, if FAULT == NO_TIME { 30 } else { 3600 })
                }
                Taken::Error(reason) => Outcome::rejected("refused", answer.redact(&reason)),
            };
            outcomes.set(index, outcome);
        }
        Ok(outcomes)
    }

    async fn check(&self, api: &Api, token: &str) -> Result<Outcome> {
        let pending = || Ok(parked(token.to_owned(), 3600));
        let job = match FAULT {
            NO_CHECK => return Err(Error::config("nothing can be asked after")),
            REMEMBERS => self.memory.lock().unwrap().clone().unwrap_or_default(),
            _ => token.to_owned(),
        };
        let answer = match api.get(["jobs", &job]).send().await {
            Err(_) if FAULT == OUTAGE_IS_PENDING => return pending(),
            answer => answer?,
        };
        let job: Job = match answer.json() {
            Err(_) if matches!(FAULT, NONSENSE_IS_DONE | NONSENSE_IS_PENDING) => Job::default(),
            job => job?,
        };
        match job.state.as_deref() {
            Some("running") => pending(),
            Some("done") => Ok(Outcome::done(json!({ "rows": job.rows }))),
            Some("failed") => {
                let reason = job.error.unwrap_or_default();
                Ok(Outcome::rejected("refused", answer.redact(&reason)))
            }
            _ if FAULT == NONSENSE_IS_DONE => Ok(Outcome::done(json!({ "rows": 5 }))),
            _ if FAULT == NONSENSE_IS_PENDING => pending(),
            _ => Err(answer.nonsense("without a state")),
        }
    }
}

#[test]
fn an_action_that_asks_after_what_it_handed_over_is_accepted() {
    testkit::accept(connector::<NONE>(), "tests/parking").unwrap();
}

/// A fault's name, the connector that has it, and the promise that it breaks.
type Planted = (&'static str, fn() -> Connector, Promise);

#[test]
fn faults_in_asking_are_caught_by_their_names() {
    let planted: [Planted; 7] = [
        ("an outage is pending", connector::<OUTAGE_IS_PENDING>, Promise::Outage),
        ("an answer without sense is done", connector::<NONSENSE_IS_DONE>, Promise::Outage),
        ("an answer without sense is pending", connector::<NONSENSE_IS_PENDING>, Promise::Outage),
        ("nothing asks", connector::<NO_CHECK>, Promise::Outcomes),
        ("the deadline is the first check", connector::<NO_TIME>, Promise::Parks),
        ("the token is not enough", connector::<REMEMBERS>, Promise::Requests),
        ("the token tells the API key", connector::<SECRET_IN_TOKEN>, Promise::Secrets),
    ];
    let mut missed = vec![];
    for (name, connector, promise) in planted {
        let rejected = testkit::accept(connector(), "tests/parking").unwrap_err();
        if !rejected.broken().iter().any(|it| it.promise == promise) {
            missed.push(format!("{name}: not {promise:?}, but {rejected}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn an_action_that_parks_shows_each_answer_to_its_question() {
    for story in ["pending", "done", "refused"] {
        let name = format!("towpath-parking-{story}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir("tests/parking").unwrap() {
            let entry = entry.unwrap();
            if entry.path().file_stem().is_some_and(|stem| stem != story) {
                std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
        let rejected = testkit::accept(connector::<NONE>(), &folder).unwrap_err();
        let broken: Vec<_> = rejected.broken().iter().map(|it| it.promise).collect();
        assert_eq!(broken, [Promise::Parks], "{story}: {rejected}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
