//! How every flow is, for who asks whether all is well.

use connector::Timestamp;
use serde::{Deserialize, Serialize};
use store::{DeadLetterSummary, InboxState, LetterState, RunLine, Store};

use crate::settled::IN_DOUBT;
use crate::{Error, Report, Result, Snapshot, Unfinished, inbox, journal, service};

/// How a flow is, as the store tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowHealth {
    /// Its name.
    pub flow: String,
    /// When its last run ended; `None` if none did.
    pub last_run: Option<Timestamp>,
    /// Its last runs, if none of them completed.
    pub failing: Option<Failing>,
    /// Since when it runs only when somebody says so, if it is paused.
    pub paused: Option<service::Pause>,
    /// Dead letters that nobody has replayed or dropped.
    pub dead_letters: u64,
    /// When the oldest of them was refused last.
    pub oldest_dead_letter: Option<Timestamp>,
    /// How many of them are about messages of which nobody knows whether they arrived.
    pub dead_letters_in_doubt: u64,
    /// Messages in the journal without an answer: on their way, or in doubt until the next run.
    pub unanswered: u64,
    /// When the first of them was sent.
    pub unanswered_since: Option<Timestamp>,
    /// What came and waits in the inbox.
    pub inbox: InboxHealth,
    /// Messages that systems finish later.
    pub parked: u64,
    /// When the first of them is asked after.
    pub next_check: Option<Timestamp>,
    /// What of its state cannot be read, if something cannot.
    pub unreadable: Option<String>,
}

/// How full an inbox is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InboxHealth {
    /// How many deliveries wait.
    pub waiting: u64,
    /// How full it is, in percent: of the deliveries or the bytes that it takes, the larger share.
    pub full: u8,
}

/// Runs of a flow that did not complete, up to its last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failing {
    /// When the first of them ended.
    pub since: Timestamp,
    /// How many there are; of very many only the newest are remembered.
    pub runs: u64,
    /// How the last one ended.
    pub outcome: String,
    /// Why, if it said.
    pub error: Option<String>,
}

/// Looks at every flow that has state.
pub(super) async fn flows(store: &dyn Store) -> Result<Vec<FlowHealth>> {
    let names = store.flows().await.map_err(|error| Error::store("*", &error))?;
    let mut flows = Vec::with_capacity(names.len());
    for flow in names {
        flows.push(one(store, &flow).await);
    }
    Ok(flows)
}

/// Looks at one flow. What cannot be read of it is said, and the rest is looked at.
async fn one(store: &dyn Store, flow: &str) -> FlowHealth {
    let mut health = FlowHealth { flow: flow.to_owned(), ..FlowHealth::default() };
    let mut unreadable = Vec::new();
    let mut said = |result: Result<()>| unreadable.extend(result.err().map(|it| it.to_string()));
    said(snapshot(store, flow).await);
    said(runs(store, flow, &mut health).await);
    said(letters(store, flow, &mut health).await);
    said(waiting(store, flow, &mut health).await);
    health.unreadable = unreadable.into_iter().next();
    health
}

async fn snapshot(store: &dyn Store, flow: &str) -> Result<()> {
    let head = store.head(flow).await.map_err(|error| Error::store(flow, &error))?;
    head.map_or(Ok(()), |head| Snapshot::read(flow, &head.snapshot).map(drop))
}

async fn runs(store: &dyn Store, flow: &str, health: &mut FlowHealth) -> Result<()> {
    let runs = store.runs(flow).await.map_err(|error| Error::store(flow, &error))?;
    health.last_run = runs.first().map(|run| Timestamp::from_millis(run.finished));
    health.failing = failing(&runs);
    health.paused = service::paused(store, flow).await?;
    Ok(())
}

/// The runs up to the last one that did not complete, out of all, newest first. One that was
/// stopped says nothing of either.
fn failing(runs: &[RunLine]) -> Option<Failing> {
    let told = || runs.iter().filter(|run| run.outcome != Report::STOPPED);
    let failed = told().take_while(|run| run.outcome != Report::COMPLETED);
    let count = failed.clone().count();
    let (last, first) = (told().next()?, failed.last()?);
    Some(Failing {
        since: Timestamp::from_millis(first.finished),
        runs: count as u64,
        outcome: last.outcome.clone(),
        error: last.error.clone(),
    })
}

async fn letters(store: &dyn Store, flow: &str, health: &mut FlowHealth) -> Result<()> {
    let mut each = |letter: DeadLetterSummary| {
        if letter.state == LetterState::Open {
            let at = Timestamp::from_millis(letter.at);
            health.dead_letters += 1;
            health.dead_letters_in_doubt += u64::from(letter.code == IN_DOUBT);
            let oldest = health.oldest_dead_letter.map_or(at, |oldest| oldest.min(at));
            health.oldest_dead_letter = Some(oldest);
        }
        true
    };
    let read = store.each_dead_letter(Some(flow), &mut each).await;
    read.map_err(|error| Error::store(flow, &error))
}

async fn waiting(store: &dyn Store, flow: &str, health: &mut FlowHealth) -> Result<()> {
    let unanswered = journal::unanswered(store, flow).await?;
    health.unanswered = unanswered.0;
    health.unanswered_since = unanswered.1;
    let state = store.inbox_state(flow).await.map_err(|error| Error::store(flow, &error))?;
    health.inbox = InboxHealth::of(state);
    let unfinished = Unfinished::read(store, flow).await?;
    health.parked = unfinished.messages;
    health.next_check = unfinished.next;
    Ok(())
}

impl InboxHealth {
    fn of(state: InboxState) -> Self {
        let InboxState { waiting, bytes, .. } = state;
        let share = |of: u64, most: u64| of.saturating_mul(100) / most.max(1);
        let room = inbox::ROOM;
        let full = share(waiting, room.entries).max(share(bytes, room.bytes)).min(100);
        Self { waiting, full: u8::try_from(full).unwrap_or(100) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store::{Commit, Delivery, MasterKey, MemoryStore, NewDeadLetter};

    use super::*;
    use crate::{Answer, Handle, Request};

    fn run(number: i64, outcome: &str) -> RunLine {
        RunLine {
            run: format!("f-{number}"),
            started: number * 1_000,
            finished: number * 1_000 + 500,
            outcome: outcome.to_owned(),
            counts: store::Counts::default(),
            error: (outcome == "failed").then(|| format!("error {number}")),
        }
    }

    #[test]
    fn a_flow_fails_since_the_first_run_behind_the_last_good_one() {
        let since = |outcomes: &[&str]| {
            let mut runs: Vec<_> = (0..).zip(outcomes).map(|(at, it)| run(at, it)).collect();
            runs.reverse();
            failing(&runs).map(|it| (it.since.millis(), it.runs, it.error.unwrap_or_default()))
        };
        assert_eq!(since(&[]), None);
        assert_eq!(since(&["failed", "completed"]), None);
        assert_eq!(since(&["failed", "completed", "stopped"]), None);
        assert_eq!(since(&["stopped"]), None);
        assert_eq!(since(&["completed", "failed"]), Some((1_500, 1, "error 1".to_owned())));
        let all = since(&["completed", "failed", "stopped", "failed", "paused", "stopped"]);
        assert_eq!(all, Some((1_500, 3, String::new())));
    }

    #[tokio::test]
    async fn what_waits_in_a_flow_is_counted_although_its_snapshot_is_broken() {
        let store = std::sync::Arc::new(MemoryStore::new(MasterKey::generate()));
        let letter = |number: u8, code: &str| NewDeadLetter {
            message_id: number.to_string(),
            code: code.to_owned(),
            partition_key: [number; 16],
            at: i64::from(number) * 1_000,
            ..NewDeadLetter::default()
        };
        let lease = store.lease("f").await.unwrap();
        let dead_letters = vec![letter(2, "tooLong"), letter(1, IN_DOUBT)];
        let snapshot = b"{}".to_vec();
        let commit = Commit { snapshot, dead_letters, ..Commit::default() };
        store.commit(&lease.fence, 1, commit).await.unwrap();
        let delivery = Delivery { at: 0, key: None, bytes: vec![0; 64 << 20] };
        let room = store::Room { remember: Duration::ZERO, ..inbox::ROOM };
        store.accept("f", delivery, room).await.unwrap();
        let answer = Handle::new(store).ask(Request::Health).await.unwrap();
        let Answer::Health { flows, accounts } = answer else { panic!("{answer:?}") };
        assert_eq!((flows.len(), accounts.len()), (1, 0));
        let health = &flows[0];
        assert_eq!((health.dead_letters, health.dead_letters_in_doubt), (2, 1));
        assert_eq!(health.oldest_dead_letter, Some(Timestamp::from_secs(1)));
        assert_eq!(health.inbox, InboxHealth { waiting: 1, full: 25 });
        assert_eq!((health.last_run, &health.failing), (None, &None));
        let unreadable = health.unreadable.as_deref().unwrap_or_default();
        assert!(unreadable.contains("names no format"), "{unreadable}");
    }
}
