//! Faults planted in a copy of the example connector: each is caught, and by its name.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use connector::prelude::*;
use towpath_testkit::{self as testkit, Promise};

const EXCHANGES: &str = "example-crm/tests/exchanges";
const TO_CONTACT: &str = include_str!("../example-crm/src/contact-changed.jsonata");
const FROM_CONTACT: &str = include_str!("../example-crm/src/upsert-contact.jsonata");

const NONE: u8 = 0;
const EARLY_CURSOR: u8 = 1;
const SKIPPED_PAGE: u8 = 2;
const EMPTY_PAGE_ENDS: u8 = 3;
const SWALLOWED_OUTAGE: u8 = 4;
const SECRET_IN_ERROR: u8 = 5;
const TOO_MANY_IS_EMPTY: u8 = 6;
const WAIT_IS_LOST: u8 = 7;
const TRIES_BY_ITSELF: u8 = 8;
const REPEATED_PAGE_ENDS: u8 = 9;
const ENDLESS: u8 = 10;
const NO_RESUME: u8 = 11;
const SINCE_EXCLUSIVE: u8 = 12;
const SINCE_IGNORED: u8 = 13;
const FAILURE_INSIDE_200: u8 = 14;
const REFUSED_IS_DONE: u8 = 15;
const WRONG_ORDER: u8 = 16;
const UNESCAPED_PATH: u8 = 17;
const REFUSED_LOGIN_IS_EMPTY: u8 = 18;
const UNTOLD_IS_DONE: u8 = 19;
const TOO_LARGE_IS_REFUSED: u8 = 20;
const UNDECLARED_LIMIT: u8 = 21;
const OTHER_BYTES: u8 = 22;
const SECRET_IN_REASON: u8 = 23;
const NOT_VOLATILE: u8 = 24;
const TWICE_IS_AN_ERROR: u8 = 25;
const KIND_IS_LOST: u8 = 26;
const BROKEN_MAPPING: u8 = 27;
const SECRET_IN_CURSOR: u8 = 28;
const SECRET_IN_RESULT: u8 = 29;
const SAME_DATA: u8 = 30;
const SAME_KEY: u8 = 31;
const WRONG_VERSION: u8 = 32;
const FIRST_RECORD_ALONE: u8 = 33;
const REFUSED_LOGIN_IS_UNKNOWN: u8 = 34;
const TOO_MANY_IS_UNKNOWN: u8 = 35;
const TOO_LARGE_IS_UNKNOWN: u8 = 36;
const ORDERS_BY_ITSELF: u8 = 37;
const STRANGE_CODE: u8 = 38;
/// The system has a part, and it makes no difference which is asked for.
const PARTITION_IGNORED: u8 = 39;

type Plant = fn() -> Connector;

/// What is planted, and the promise that must be found broken.
#[rustfmt::skip]
const TABLE: &[(&str, Plant, Promise)] = &[
    ("the place moves before its page has come",     connector::<EARLY_CURSOR>, Promise::Cursor),
    ("the second page is never asked for",           connector::<SKIPPED_PAGE>, Promise::Requests),
    ("an empty page ends the scan",                  connector::<EMPTY_PAGE_ENDS>, Promise::ShortPage),
    ("an outage is an empty page",                   connector::<SWALLOWED_OUTAGE>, Promise::Outage),
    ("an error tells the API key",                   connector::<SECRET_IN_ERROR>, Promise::Secrets),
    ("429 is an empty page",                         connector::<TOO_MANY_IS_EMPTY>, Promise::Outage),
    ("Retry-After is lost",                          connector::<WAIT_IS_LOST>, Promise::RetryAfter),
    ("429 is answered by asking again at once",      connector::<TRIES_BY_ITSELF>, Promise::OneTry),
    ("a repeated page ends the scan",                connector::<REPEATED_PAGE_ENDS>, Promise::Repeated),
    ("a system that repeats a page is asked for ever", connector::<ENDLESS>, Promise::Endless),
    ("the cursor does not tell the place",           connector::<NO_RESUME>, Promise::Resume),
    ("the moment itself is left out",                connector::<SINCE_EXCLUSIVE>, Promise::Since),
    ("the moment is not sent",                       connector::<SINCE_IGNORED>, Promise::Requests),
    ("a failure inside a 200 is an empty page",      connector::<FAILURE_INSIDE_200>, Promise::Inside200),
    ("a refused contact is done",                    connector::<REFUSED_IS_DONE>, Promise::Outcomes),
    ("outcomes come in another order",               connector::<WRONG_ORDER>, Promise::Outcomes),
    ("a name is put into the path by hand",          connector::<UNESCAPED_PATH>, Promise::Requests),
    ("a refused API key is an empty page",           connector::<REFUSED_LOGIN_IS_EMPTY>, Promise::Unauthorized),
    ("a contact that the answer leaves out is done", connector::<UNTOLD_IS_DONE>, Promise::Open),
    ("a batch that is too large is refused",         connector::<TOO_LARGE_IS_REFUSED>, Promise::TooLarge),
    ("a limit class is not declared",                connector::<UNDECLARED_LIMIT>, Promise::Limits),
    ("the same batch is sent in other bytes",        connector::<OTHER_BYTES>, Promise::SameBytes),
    ("a refusal tells the API key",                  connector::<SECRET_IN_REASON>, Promise::Secrets),
    ("what is volatile is misspelt",                 connector::<NOT_VOLATILE>, Promise::Volatile),
    ("a record that comes twice is an error",        connector::<TWICE_IS_AN_ERROR>, Promise::Twice),
    ("an outage is said to be a wrong setting",      connector::<KIND_IS_LOST>, Promise::Kind),
    ("the default mapping fails on records",         connector::<BROKEN_MAPPING>, Promise::Mapping),
    ("the cursor tells the API key",                 connector::<SECRET_IN_CURSOR>, Promise::Secrets),
    ("a result tells the API key",                   connector::<SECRET_IN_RESULT>, Promise::Secrets),
    ("every record has the first one's data",        connector::<SAME_DATA>, Promise::Records),
    ("a key is not a record's own",                  connector::<SAME_KEY>, Promise::Records),
    ("the version is read from another field",       connector::<WRONG_VERSION>, Promise::Records),
    ("only the first record of a page is read",      connector::<FIRST_RECORD_ALONE>, Promise::Records),
    ("an order with a refused API key is unknown",   connector::<REFUSED_LOGIN_IS_UNKNOWN>, Promise::Unauthorized),
    ("an order that is answered by 429 is unknown",  connector::<TOO_MANY_IS_UNKNOWN>, Promise::Outage),
    ("a batch that is too large is unknown",         connector::<TOO_LARGE_IS_UNKNOWN>, Promise::TooLarge),
    ("an order is sent again at once",               connector::<ORDERS_BY_ITSELF>, Promise::OneTry),
    ("a refusal has a code that the page lacks",     connector::<STRANGE_CODE>, Promise::Outcomes),
];

#[test]
fn every_planted_fault_is_caught_by_its_name() {
    let mut missed = vec![];
    for (planted, connector, promise) in TABLE {
        match testkit::accept(connector(), EXCHANGES) {
            Ok(_) => missed.push(format!("{planted}: accepted")),
            Err(rejected) if rejected.broken().iter().any(|it| it.promise == *promise) => {
                let report = format!("{rejected:?}");
                assert!(report.contains(promise.hint()), "{report}");
                assert!(!report.contains("not-a-real-key"), "{report}");
            }
            Err(rejected) => missed.push(format!("{planted}: not {promise:?}, but {rejected}")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn the_copy_without_a_fault_is_accepted() {
    testkit::accept(connector::<NONE>(), EXCHANGES).unwrap();
}

/// A copy of the stories with something replaced.
fn changed(name: &str, from: &str, to: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("towpath-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(EXCHANGES).unwrap() {
        let entry = entry.unwrap();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        std::fs::write(folder.join(entry.file_name()), text.replace(from, to)).unwrap();
    }
    folder
}

#[test]
fn faults_are_caught_that_need_other_stories() {
    let bare = changed("bare", r#""headers": { "x-api-key": "{apiKey}" }"#, r#""headers": {}"#);
    let alone = changed("alone", r#""partition": """#, r#""partition": "eu""#);
    for (folder, connector, promise) in [
        (bare, connector::<NONE> as Plant, Promise::Stories),
        (alone, connector::<PARTITION_IGNORED>, Promise::Partitions),
    ] {
        let rejected = testkit::accept(connector(), &folder).unwrap_err();
        assert!(rejected.broken().iter().all(|it| it.promise == promise), "{rejected}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

fn connector<const FAULT: u8>() -> Connector {
    let mapping = if FAULT == BROKEN_MAPPING { "$sum(data.email)" } else { TO_CONTACT };
    Connector::new("example-crm", "https://api.example-crm.test/v1", Auth::api_key("X-Api-Key"))
        .limit("write", 3)
        .polling::<ContactChanged<FAULT>>("contactChanged", mapping)
        .action::<UpsertContact<FAULT>>("upsertContact", FROM_CONTACT)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ContactChanged<const FAULT: u8> {
    list: String,
    /// What no trigger should have: a memory.
    #[serde(skip)]
    #[schemars(skip)]
    memory: Mutex<Option<String>>,
}

impl<const FAULT: u8> ContactChanged<FAULT> {
    fn remembered(&self) -> Option<String> {
        self.memory.lock().unwrap().clone()
    }

    async fn ask(&self, api: &Api, scan: &Scan<String>) -> Result<Response> {
        let cursor = match FAULT {
            EARLY_CURSOR => self.remembered().or_else(|| scan.cursor.clone()),
            NO_RESUME => self.remembered(),
            SECRET_IN_CURSOR => {
                scan.cursor.as_ref().and_then(|it| Some(it.split_once('#')?.0.to_owned()))
            }
            REPEATED_PAGE_ENDS => {
                scan.cursor.as_ref().and_then(|it| Some(it.split_once('|')?.0.to_owned()))
            }
            _ => scan.cursor.clone(),
        };
        let since = scan.want.since().filter(|_| FAULT != SINCE_IGNORED);
        let request = match FAULT {
            UNESCAPED_PATH => api.get([format!("lists/{}/contacts", self.list)]),
            _ => api.get(["lists", &self.list, "contacts"]),
        };
        let request = request.query_if("changed_since", since).query_if("cursor", cursor);
        match FAULT {
            TOO_MANY_IS_EMPTY => request.accept(StatusCode::TOO_MANY_REQUESTS),
            REFUSED_LOGIN_IS_EMPTY => request.accept(StatusCode::UNAUTHORIZED),
            UNDECLARED_LIMIT => request.class("reed"),
            _ => request,
        }
        .send()
        .await
    }
}

#[derive(Deserialize)]
struct Listed {
    contacts: Option<Vec<Box<RawValue>>>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Known {
    id: String,
    updated_at: Timestamp,
    last_seen_at: Option<Timestamp>,
}

const EMPTY: Page<String> = Page { records: vec![], next: None };

#[async_trait]
impl<const FAULT: u8> PollingTrigger for ContactChanged<FAULT> {
    type Cursor = String;
    const CHANGES: Changes = Changes::Timestamps;
    const VOLATILE: &'static [&'static str] =
        if FAULT == NOT_VOLATILE { &["/last_sen_at"] } else { &["/last_seen_at"] };

    async fn partitions(&self, _api: &Api) -> Result<Vec<String>> {
        Ok(if FAULT == PARTITION_IGNORED { vec!["eu".to_owned()] } else { vec![] })
    }

    async fn poll(&self, api: &Api, scan: &Scan<String>) -> Result<Page<String>> {
        let mut asked = self.ask(api, scan).await;
        if FAULT == TRIES_BY_ITSELF && asked.is_err() {
            asked = self.ask(api, scan).await;
        }
        let answer = match (FAULT, asked) {
            (SWALLOWED_OUTAGE, Err(Error::Retry { .. })) => return Ok(EMPTY),
            (EARLY_CURSOR, Err(error)) => {
                *self.memory.lock().unwrap() = Some("page-2".to_owned());
                return Err(error);
            }
            (SECRET_IN_ERROR, Err(_)) => {
                let key = api.account().values().get("apiKey");
                return Err(Error::retry(format!("asked with {key}, and got no answer")));
            }
            (WAIT_IS_LOST, Err(Error::Retry { reason, .. })) => return Err(Error::retry(reason)),
            (KIND_IS_LOST, Err(error)) => return Err(Error::config(error.to_string())),
            (_, asked) => asked?,
        };
        if !answer.status().is_success() {
            return Ok(EMPTY);
        }
        let listed: Listed = answer.json()?;
        let contacts = match listed.contacts {
            None if FAULT == FAILURE_INSIDE_200 => return Ok(EMPTY),
            contacts => contacts.ok_or_else(|| answer.nonsense("without contacts"))?,
        };
        let mut records: Vec<Record> = vec![];
        for data in contacts {
            let known: Known = serde_json::from_str(data.get())
                .map_err(|_| answer.nonsense("with a contact that has no id or time"))?;
            if FAULT == TWICE_IS_AN_ERROR && records.iter().any(|it| it.key == known.id) {
                return Err(Error::config("a contact came twice"));
            }
            let version = match FAULT {
                WRONG_VERSION => known.last_seen_at,
                _ => Some(known.updated_at),
            };
            let key = if FAULT == SAME_KEY { self.list.clone() } else { known.id };
            let data = match records.first() {
                Some(first) if FAULT == SAME_DATA => first.data.clone(),
                _ => data,
            };
            records.push(Record { key, version, data });
        }
        let first = records.first().map(|it| it.key.clone()).unwrap_or_default();
        let mut next = listed.next;
        match FAULT {
            SKIPPED_PAGE => next = None,
            FIRST_RECORD_ALONE => records.truncate(1),
            SECRET_IN_CURSOR => {
                let key = api.account().values().get("apiKey");
                next = next.map(|next| format!("{next}#{key}"));
            }
            EMPTY_PAGE_ENDS if records.is_empty() => next = None,
            SINCE_EXCLUSIVE => records.retain(|it| it.version > scan.want.since()),
            ENDLESS => {
                let page =
                    scan.cursor.as_ref().and_then(|it| it.strip_prefix("page-")?.parse().ok());
                next = next.map(|_| format!("page-{}", page.unwrap_or(1_u32) + 1));
            }
            NO_RESUME => {
                let more = next.is_some().then(|| format!("more after {first}"));
                *self.memory.lock().unwrap() = std::mem::replace(&mut next, more);
            }
            REPEATED_PAGE_ENDS => {
                let began = scan.cursor.as_ref().and_then(|it| Some(it.split_once('|')?.1));
                if began == Some(first.as_str()) {
                    return Ok(EMPTY);
                }
                next = next.map(|next| format!("{next}|{first}"));
            }
            _ => {}
        }
        Ok(Page { records, next })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UpsertContact<const FAULT: u8> {
    #[serde(skip)]
    #[schemars(skip)]
    sent: AtomicUsize,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Contact {
    external_id: String,
    email: String,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Id(String),
    Refused { code: String, text: String },
}

/// How often any copy sent a batch.
static SENT: AtomicUsize = AtomicUsize::new(0);

#[async_trait]
impl<const FAULT: u8> Action for UpsertContact<FAULT> {
    type Input = Contact;
    const MAX_BATCH: usize = 100;
    const REJECTIONS: &'static [Rejection] = match FAULT {
        STRANGE_CODE => {
            &[Rejection::new("tooYoung", "The contact is a child.", "Ask its parents.")]
        }
        _ => &[],
    };

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Contact>) -> Result<Outcomes> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let contacts: Vec<_> = batch.items.iter().map(|item| &*item.input).collect();
        let mut body = serde_json::to_string(&json!({ "contacts": contacts })).unwrap();
        if FAULT == OTHER_BYTES && SENT.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            body.insert(1, ' ');
        }
        let body = RawValue::from_string(body).unwrap();
        let request = api.post(["contacts", "batch"]).class("write").json(&body);
        let mut outcomes = batch.outcomes();
        let answer = match request.send().await {
            Err(Error::TooLarge { reason }) if FAULT == TOO_LARGE_IS_REFUSED => {
                outcomes.fill(&Outcome::rejected("tooLarge", reason));
                return Ok(outcomes);
            }
            Err(Error::TooLarge { .. }) if FAULT == TOO_LARGE_IS_UNKNOWN => return Ok(outcomes),
            Err(Error::Unauthorized { .. }) if FAULT == REFUSED_LOGIN_IS_UNKNOWN => {
                return Ok(outcomes);
            }
            Err(Error::Retry { .. }) if FAULT == TOO_MANY_IS_UNKNOWN => return Ok(outcomes),
            Err(Error::Retry { .. }) if FAULT == ORDERS_BY_ITSELF => {
                let again = api.post(["contacts", "batch"]).class("write").json(&body);
                again.send().await?
            }
            answer => answer?,
        };
        let written: Vec<Written> = answer.json()?;
        let (told, sent) = (written.len(), contacts.len());
        for (index, written) in written.into_iter().enumerate() {
            if told != sent && FAULT != UNTOLD_IS_DONE {
                break;
            }
            let index = if FAULT == WRONG_ORDER { (index + 1) % sent } else { index };
            let outcome = match written {
                Written::Id(_) if FAULT == SECRET_IN_RESULT => {
                    let key = api.account().values().get("apiKey");
                    Outcome::done(json!({ "by": key }))
                }
                Written::Id(id) => Outcome::done(json!({ "id": id })),
                Written::Refused { .. } if FAULT == REFUSED_IS_DONE => Outcome::done(json!({})),
                Written::Refused { code, text } if FAULT == SECRET_IN_REASON => {
                    Outcome::rejected(code, text)
                }
                Written::Refused { code, text } => Outcome::rejected(code, answer.redact(&text)),
            };
            outcomes.set(index, outcome);
        }
        if FAULT == UNTOLD_IS_DONE {
            outcomes.fill(&Outcome::done(json!({ "id": "17" })));
        }
        Ok(outcomes)
    }
}
