//! Plays all stories of a connector, and looks at what it declares.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use connector::{
    ActionDescriptor, Auth, Changes, Connector, Record, TriggerDescriptor, TriggerKind,
};
use serde_json::{Map, Value};

use crate::expect::Became;
use crate::poll::Play;
use crate::promise::{Accepted, Ledger, Promise, Rejected};
use crate::stage::Stage;
use crate::story::{self, Exchange, Story, System};
use crate::tape::Heard;
use crate::{action, mapped, trigger, webhook};

/// A name that no connector's fields have.
const STRANGER: &str = "noSuchFieldAnywhere";

/// Plays the stories of `folder` against a connector, as recorded and with everything that may go
/// wrong, and says every promise that it breaks.
///
/// It needs no network but loopback, takes no time but that of computing, and writes nothing.
pub fn accept(connector: Connector, folder: impl AsRef<Path>) -> Result<Accepted, Rejected> {
    let (system, stories) = story::read(folder.as_ref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ledger = runtime.block_on(play(&connector, &system, &stories))?;
    if ledger.broken.is_empty() {
        return Ok(ledger.played);
    }
    let connector = connector.name().to_owned();
    Err(Rejected::Broken { connector, broken: ledger.broken })
}

/// What the stories of one trigger showed together.
#[derive(Default)]
struct Seen {
    stories: usize,
    most_pages: usize,
    at_the_moment: bool,
    records: Vec<Record>,
    volatile: &'static [&'static str],
}

/// What the stories of one action showed together.
#[derive(Default)]
struct Shown {
    /// What became of each batch.
    became: Vec<Vec<Became>>,
    /// What was said when something was asked after.
    checked: Vec<Became>,
}

async fn play(
    connector: &Connector,
    system: &System,
    stories: &[Story],
) -> std::io::Result<Ledger> {
    let mut ledger = Ledger::default();
    let mut seen = BTreeMap::<&str, Seen>::new();
    let mut shown = BTreeMap::<&str, Shown>::new();
    settings(connector, system, &mut ledger);
    // What is wrong as recorded leaves nothing to say of what the stories show together.
    let mut wrong = BTreeSet::new();
    for story in stories {
        let before = ledger.broken.len();
        ledger.story.clone_from(&story.name);
        ledger.mutation = "as recorded".to_owned();
        ledger.played.stories += 1;
        if let Some(descriptor) = webhook_of(connector, story) {
            let before_it = ledger.broken.len();
            let records = webhook::check(connector, descriptor, system, story, &mut ledger);
            if story.requests.is_empty() {
                ledger.breaks(Promise::Stories, "requests", "none");
            }
            ledger.mutation = "as recorded".to_owned();
            // What a trigger is told of is asked for before it is mapped.
            if descriptor.kind == TriggerKind::Webhook {
                maps(descriptor, story, &records, &mut ledger);
            }
            seen.entry(descriptor.name).or_default().stories += 1;
            if ledger.broken.len() > before_it {
                wrong.insert(descriptor.name);
            }
            continue;
        }
        if story.exchanges.is_empty() && story.expect.is_none() {
            ledger.breaks(Promise::Stories, "exchanges", "a story that was not recorded yet");
            continue;
        }
        let stage = Stage::set(connector, system, story).await?;
        ledger.secrets.clone_from(&stage.secrets);
        proven(connector, &stage, &mut ledger);
        let names = (story.trigger.as_deref(), story.action.as_deref());
        if let Some(descriptor) = names.0.and_then(|name| connector.find_trigger(name)) {
            let found = trigger::check(&Play::new(&stage, descriptor), &mut ledger).await;
            let seen = seen.entry(descriptor.name).or_default();
            seen.stories += 1;
            seen.most_pages = seen.most_pages.max(found.pages);
            seen.at_the_moment |= found.at_the_moment;
            if !found.volatile.is_empty() {
                seen.volatile = found.volatile;
            }
            maps(descriptor, story, &found.records, &mut ledger);
            seen.records.extend(found.records);
        } else if let Some(descriptor) = names.1.and_then(|name| connector.find_action(name)) {
            match action::Play::new(&stage, descriptor) {
                Ok(play) => {
                    let outcomes = play.check(&mut ledger).await;
                    let shown = shown.entry(descriptor.name).or_default();
                    match story.check {
                        None => shown.became.push(outcomes),
                        Some(_) => shown.checked.extend(outcomes),
                    }
                }
                Err(problem) => {
                    ledger.breaks(Promise::Mapping, "an input that the action takes", problem);
                }
            }
        } else {
            let got = format!("{:?}, which the connector does not have", names.0.or(names.1));
            ledger.breaks(Promise::Stories, "the name of a trigger or an action", got);
        }
        classes(&stage, &mut ledger);
        if ledger.broken.len() > before {
            wrong.extend(names.0.or(names.1));
        }
    }
    ledger.mutation = "as declared".to_owned();
    for descriptor in connector.triggers() {
        descriptor.name.clone_into(&mut ledger.story);
        let fields = stories.iter().find(|it| it.trigger.as_deref() == Some(descriptor.name));
        closed(fields, |fields| (descriptor.configure)(fields).map(drop), &mut ledger);
        let seen = seen.remove(descriptor.name).unwrap_or_default();
        if !wrong.contains(descriptor.name) {
            trigger_shown(descriptor, system, &seen, &mut ledger);
        }
    }
    for descriptor in connector.actions() {
        descriptor.name.clone_into(&mut ledger.story);
        let fields = stories.iter().find(|it| it.action.as_deref() == Some(descriptor.name));
        closed(fields, |fields| (descriptor.configure)(fields).map(drop), &mut ledger);
        let shown = shown.remove(descriptor.name).unwrap_or_default();
        if !wrong.contains(descriptor.name) {
            action_shown(descriptor, &shown, &mut ledger);
            parks_shown(&shown, &mut ledger);
        }
    }
    Ok(ledger)
}

/// The webhook trigger that a story is about, if it is about one.
fn webhook_of<'c>(connector: &'c Connector, story: &Story) -> Option<&'c TriggerDescriptor> {
    let descriptor = connector.find_trigger(story.trigger.as_deref()?)?;
    Some(descriptor).filter(|it| it.kind != TriggerKind::Polling && !story.requests.is_empty())
}

/// Looks at the made-up account: a secret that is too short is not told from ordinary words.
fn settings(connector: &Connector, system: &System, ledger: &mut Ledger) {
    ledger.story = story::SYSTEM.to_owned();
    ledger.mutation = "as written".to_owned();
    // Of optional ones it depends on the stories which are there.
    let needed = |it: &&connector::Setting| it.secret && it.default != Some("");
    for setting in connector.settings().iter().filter(needed) {
        if system.account.get(setting.name).is_none_or(|value| value.len() < 8) {
            let expected =
                format!("a made-up `{}` of 8 characters or more in `account`", setting.name);
            ledger.breaks(Promise::Stories, expected, "none, or a shorter one");
        }
    }
    if connector.finds_failures_inside_200() && system.failures_inside_200.is_empty() {
        let expected = "bodies in `failuresInside200`, since the connector recognises some";
        ledger.breaks(Promise::Inside200, expected, "none");
    }
}

/// Looks whether every recorded request says how it proves who asks, so that it can be held to it.
fn proven(connector: &Connector, stage: &Stage<'_>, ledger: &mut Ledger) {
    let proves = !matches!(connector.auth(), Auth::None);
    let in_query = |it: &Exchange| {
        it.request.query.values().any(|value| stage.secrets.iter().any(|secret| secret == value))
    };
    let bare = |it: &&Exchange| {
        let given = it.request.text.is_some();
        it.request.headers.is_empty() && it.response.token().is_none() && !in_query(it) && !given
    };
    if proves && let Some(exchange) = stage.story.exchanges.iter().find(bare) {
        let expected = "the headers of every request, such as \"x-api-key\": \"{apiKey}\"";
        let got = format!("none of {} {}", exchange.request.method, exchange.request.path);
        ledger.breaks(Promise::Stories, expected, got);
    }
}

/// Compares what was asked with what is recorded.
pub(crate) fn requests(stage: &Stage<'_>, heard: &[Heard], ledger: &mut Ledger) {
    let recorded = |at: usize| {
        let request = stage.tape.exchange(at).map(|it| &it.request);
        request.and_then(|it| serde_json::to_string(it).ok()).unwrap_or_default()
    };
    let missed: Vec<usize> = (0..stage.tape.len())
        .filter(|at| heard.iter().all(|it| it.exchange != Some(*at)))
        .collect();
    let missed_text = missed.iter().map(|at| recorded(*at)).collect::<Vec<_>>().join(", ");
    let strays: Vec<_> =
        heard.iter().filter(|it| it.exchange.is_none()).map(Heard::shown).collect();
    if !strays.is_empty() {
        let expected = if missed.is_empty() { "no more requests".to_owned() } else { missed_text };
        ledger.breaks(Promise::Requests, expected, strays.join(", "));
    } else if !missed.is_empty() {
        ledger.breaks(Promise::Requests, missed_text, "the scan or call ended without asking this");
    }
}

/// The default mapping takes every record.
fn maps(descriptor: &TriggerDescriptor, story: &Story, records: &[Record], ledger: &mut Ledger) {
    for record in records {
        let message = mapped::message(&record.key, record.data.get());
        let mapped = mapped::default(descriptor.mapping, &message, &story.fields());
        match mapped {
            Ok(Value::Object(_)) => {}
            Ok(other) => {
                let got = format!("record {}: {other}", record.key);
                ledger.breaks(Promise::Mapping, "an object", got);
            }
            Err(problem) => {
                let got = format!("record {}: {problem}", record.key);
                ledger.breaks(Promise::Mapping, "an object", got);
            }
        }
    }
}

fn classes(stage: &Stage<'_>, ledger: &mut Ledger) {
    let declared: Vec<_> = stage.connector.limits().iter().map(|limit| limit.class).collect();
    for class in stage.classes() {
        // Requests that name no class go by a limit of their own.
        if class != "default" && !declared.contains(&class) {
            ledger.mutation = "as recorded".to_owned();
            ledger.breaks(Promise::Limits, format!("one of {declared:?}"), format!("\"{class}\""));
        }
    }
}

fn closed(
    story: Option<&Story>,
    configure: impl Fn(Value) -> Result<(), String>,
    ledger: &mut Ledger,
) {
    let mut fields = match story.map(Story::fields) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    fields.insert(STRANGER.to_owned(), Value::Bool(true));
    if configure(Value::Object(fields)).is_ok() {
        let got = format!("`{STRANGER}: true` is taken");
        ledger.breaks(Promise::Closed, "an error that names the field", got);
    }
}

fn trigger_shown(
    descriptor: &TriggerDescriptor,
    system: &System,
    seen: &Seen,
    ledger: &mut Ledger,
) {
    if seen.stories == 0 {
        ledger.breaks(Promise::Stories, "a story of this trigger", "none");
        return;
    }
    if seen.records.is_empty() {
        // What is wrong with its stories was said already, or they show failures alone.
        return;
    }
    if seen.most_pages < 2 {
        let got = "none: pages cannot be mixed up, nor a scan be resumed";
        ledger.breaks(Promise::Stories, "a story with two pages or more", got);
    }
    let asks = matches!(descriptor.changes, Changes::Timestamps | Changes::Both);
    if asks && !seen.at_the_moment {
        let expected = "a story whose `since` is the version of a record that it finds";
        ledger.breaks(Promise::Since, expected, "none");
    }
    let shown = seen.volatile.iter().filter(|it| system.unseen.iter().all(|unseen| unseen != *it));
    for pointer in shown {
        let has = |record: &Record| {
            let data: Value = serde_json::from_str(record.data.get()).unwrap_or_default();
            data.pointer(pointer).is_some()
        };
        if !seen.records.iter().any(has) {
            let expected = format!("a recorded record with {pointer}");
            ledger.breaks(Promise::Volatile, expected, "none");
        }
    }
}

fn action_shown(descriptor: &ActionDescriptor, shown: &Shown, ledger: &mut Ledger) {
    let became = &shown.became;
    if became.is_empty() {
        ledger.breaks(Promise::Stories, "a story of this action", "none");
        return;
    }
    for outcome in became.iter().flatten().chain(&shown.checked) {
        if let Became::Rejected { code, .. } = outcome
            && !descriptor.rejections.is_empty()
            && !descriptor.rejections.iter().any(|known| known.covers(code))
        {
            let got = format!("{code:?}, which `REJECTIONS` does not have");
            ledger.breaks(Promise::Outcomes, "a code that the page explains", got);
        }
    }
    let partly = |outcomes: &Vec<Became>| {
        let taken = |it: &Became| matches!(it, Became::Done { .. } | Became::Parked { .. });
        outcomes.iter().any(taken)
            && outcomes.iter().any(|it| matches!(it, Became::Rejected { .. }))
    };
    let any = became.iter().any(|outcomes| !outcomes.is_empty());
    if descriptor.max_batch > 1 && any && !became.iter().any(partly) {
        let expected = "a story whose batch is partly refused";
        ledger.breaks(Promise::Stories, expected, "none");
    }
}

/// An action that parks shows that it asks after it: not done yet, done and refused.
fn parks_shown(shown: &Shown, ledger: &mut Ledger) {
    let parks = shown.became.iter().flatten().any(Became::is_parked);
    let (pending, done, refused) = (
        shown.checked.iter().any(Became::is_parked),
        shown.checked.iter().any(|it| matches!(it, Became::Done { .. })),
        shown.checked.iter().any(|it| matches!(it, Became::Rejected { .. })),
    );
    if !parks {
        if !shown.checked.is_empty() {
            let expected = "a story whose batch is handed over (`parked`)";
            ledger.breaks(Promise::Parks, expected, "questions after it alone");
        }
        return;
    }
    for (there, what) in [(pending, "is not done yet"), (done, "is done"), (refused, "is refused")]
    {
        if !there {
            let expected = format!("a story in which what is asked after {what}");
            ledger.breaks(Promise::Parks, expected, "none");
        }
    }
}
