//! A commit that stops at any single write is there wholly or not at all.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::sync::Arc;

use towpath_store::conformance::seen_of;
use towpath_store::{
    Cause, Commit, Counts, Error, JournalChange, LetterMark, MasterKey, MemoryStore, NewDeadLetter,
    Parked, ParkedChange, Result, Seen, SeenChange, Store, TrailBlock,
};

const FLOW: &str = "f";

/// What a reader sees of the flow.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    sequence: u64,
    snapshot: Vec<u8>,
    records: u64,
    seen: Vec<Seen>,
    /// Message id and payload, sorted.
    letters: Vec<(String, Vec<u8>)>,
    /// Ids of parked work and when it was put, sorted.
    parked: Vec<(String, i64)>,
    /// Sequence and snapshot of the history, sorted.
    history: Vec<(u64, Vec<u8>)>,
    /// Sequence and bytes of the trail, sorted.
    trail: Vec<(u64, Vec<u8>)>,
    /// The journal's entries, and whether they are answered.
    journal: Vec<([u8; 16], bool)>,
}

impl State {
    fn after(&self, commit: &Commit) -> Self {
        let mut next = self.clone();
        next.sequence += 1;
        next.snapshot.clone_from(&commit.snapshot);
        next.records += commit.counts.records;
        match &commit.seen {
            SeenChange::Append(entries) => next.seen.extend(entries),
            SeenChange::Replace(parts) => {
                next.seen = parts.iter().flat_map(|part| part.iter().copied()).collect();
            }
        }
        for letter in &commit.dead_letters {
            next.letters.retain(|(message, _)| *message != letter.message_id);
            next.letters.push((letter.message_id.clone(), letter.payload.clone()));
        }
        for change in &commit.letters {
            if let LetterMark::Dropped = change.change {
                next.letters.clear();
            }
        }
        next.letters.sort();
        for change in &commit.parked {
            let id = match change {
                ParkedChange::Put(parked) => &parked.id,
                ParkedChange::Done(id) => id,
            };
            next.parked.retain(|(known, _)| known != id);
            if let ParkedChange::Put(parked) = change {
                next.parked.push((parked.id.clone(), parked.check_at));
            }
        }
        next.parked.sort();
        if commit.cause.is_some() {
            next.history.push((next.sequence, commit.snapshot.clone()));
        }
        if let Some(block) = &commit.trail {
            next.trail.push((next.sequence, block.bytes.clone()));
        }
        next.journal.retain(|(id, _)| !commit.journal.contains(id));
        next
    }

    async fn read(store: &MemoryStore) -> Result<Self> {
        let Some(head) = store.head(FLOW).await? else {
            assert_eq!(seen_of(store, FLOW).await?, []);
            assert_eq!(store.dead_letters(None).await?, []);
            assert_eq!(store.parked(FLOW).await?, []);
            assert_eq!(store.history(FLOW).await?, []);
            return Ok(Self { journal: journaled(store).await?, ..Self::default() });
        };
        let mut letters = Vec::new();
        for summary in store.dead_letters(Some(FLOW)).await? {
            let letter = store.dead_letter(&summary.id).await?.unwrap();
            letters.push((letter.message_id, letter.payload));
        }
        letters.sort();
        let parked = store.parked(FLOW).await?.into_iter().map(|it| (it.id, it.check_at));
        let mut parked: Vec<_> = parked.collect();
        parked.sort();
        let history = store.history(FLOW).await?.into_iter().rev();
        let mut trail = Vec::new();
        let mut each = |block: TrailBlock| {
            trail.insert(0, (block.sequence, block.bytes));
            true
        };
        store.trail(FLOW, &mut each).await?;
        Ok(Self {
            parked,
            history: history.map(|it| (it.sequence, it.snapshot)).collect(),
            trail,
            sequence: head.sequence,
            snapshot: head.snapshot,
            records: head.counts.records,
            seen: seen_of(store, FLOW).await?,
            letters,
            journal: journaled(store).await?,
        })
    }
}

async fn journaled(store: &MemoryStore) -> Result<Vec<([u8; 16], bool)>> {
    let entries = store.journaled(FLOW).await?.into_iter();
    Ok(entries.map(|entry| (entry.id, entry.answer.is_some())).collect())
}

/// Makes commit number `sequence` as the `attempt`-th process would: later attempts find smaller
/// pages and other refusals, so an entry that an earlier one left behind shows.
fn commit(sequence: u64, attempt: usize) -> Commit {
    let attempt_byte = u8::try_from(attempt).unwrap();
    let entries = |size: usize| -> Vec<Seen> {
        (0..size >> attempt)
            .map(|number| Seen {
                key: [u8::try_from(number % 251).unwrap(); 16],
                content: [attempt_byte; 8],
                version: 1,
                sequence,
            })
            .collect()
    };
    let letter = |message: &str| NewDeadLetter {
        message_id: message.to_owned(),
        step: None,
        code: "E1".to_owned(),
        reason: "refused".to_owned(),
        at: 0,
        payload: format!("{sequence} {attempt}").into_bytes(),
        record_key: "key".to_owned(),
        ..NewDeadLetter::default()
    };
    let (seen, dead_letters) = match sequence {
        1 => (SeenChange::Append(entries(130)), vec![letter("a")]),
        2 => (SeenChange::Append(entries(10)), vec![]),
        // The letter `a` is refused again: at first attempts only.
        3 if attempt == 0 => (SeenChange::Append(entries(126)), vec![letter("a"), letter("b")]),
        3 => (SeenChange::Append(entries(126)), vec![letter("c")]),
        // More blocks than this home takes at once, to put and to delete.
        4 => {
            let (few, more) = (entries(90), entries(120));
            (SeenChange::Replace(vec![Arc::new(few), Arc::new(more)]), vec![])
        }
        5 => (SeenChange::Append(entries(9)), vec![letter("a")]),
        6 => (SeenChange::Replace(vec![]), vec![letter("c")]),
        _ => (SeenChange::Append(entries(5)), vec![]),
    };
    let counts = Counts { records: 1 + attempt as u64, ..Counts::default() };
    let park = |id: u8, check_at: usize| {
        ParkedChange::Put(Parked {
            id: format!("{id:016x}"),
            message_id: "m".to_owned(),
            step: "s".to_owned(),
            record_key: "key".to_owned(),
            partition_key: [0; 16],
            since: 0,
            check_at: i64::try_from(check_at).unwrap(),
            deadline: 9,
            token: "t".to_owned(),
            payload: vec![attempt_byte; 3],
        })
    };
    let done = |id: u8| ParkedChange::Done(format!("{id:016x}"));
    let parked = match sequence {
        1 => vec![park(1, attempt), park(2, 0)],
        // At later attempts the system is not done yet.
        2 if attempt == 0 => vec![done(1), park(3, 0)],
        2 => vec![park(1, 5)],
        4 => vec![done(1), done(2), park(2, 7)],
        6 => vec![done(2)],
        _ => vec![],
    };
    let remembered = if attempt == 0 { [1, 3] } else { [2, 3] };
    let cause = remembered.contains(&sequence).then(|| Cause { at: 1, what: "scan".into() });
    // Of one piece or two, so that they are rolled in one commit and not in the next.
    let len = if sequence == 2 { 6_000 } else { 40 };
    let trail = TrailBlock { sequence: 0, at: 1, bytes: vec![attempt_byte; len] };
    let trail = Some(trail).filter(|_| [2, 5].contains(&sequence));
    let snapshot = vec![attempt_byte; 3];
    // Two calls a commit, but for the last: their entries are written before it.
    let journal = if sequence < LAST { calls(sequence).to_vec() } else { vec![] };
    Commit {
        snapshot,
        seen,
        dead_letters,
        parked,
        cause,
        trail,
        journal,
        counts,
        ..Commit::default()
    }
}

/// The journal's entries of a page's calls.
fn calls(sequence: u64) -> [[u8; 16]; 2] {
    let sequence = u8::try_from(sequence).unwrap();
    [[sequence; 16], [100 + sequence; 16]]
}

const LAST: u64 = 7;

/// Commits from the head on until the store crashes or all is done. Returns the state of the last
/// acknowledged commit, and the state after the one that was cut off.
async fn go_on(store: &MemoryStore, from: State, attempt: usize) -> (State, Option<State>) {
    let lease = store.lease(FLOW).await.unwrap();
    assert_eq!(lease.head.map_or(0, |head| head.sequence), from.sequence);
    let first = from.sequence + 1;
    let mut state = from;
    while state.sequence < LAST {
        let page = commit(state.sequence + 1, attempt);
        for id in page.journal.clone() {
            let put = JournalChange::Put { id, value: vec![1] };
            if store.journal(&lease.fence, vec![put]).await.is_err() {
                return (state.clone(), Some(state));
            }
            if state.journal.iter().all(|(known, _)| *known != id) {
                state.journal.push((id, false));
                state.journal.sort_unstable();
            }
            let answer = JournalChange::Answer { id, answer: vec![2] };
            if store.journal(&lease.fence, vec![answer]).await.is_err() {
                return (state.clone(), Some(state));
            }
            let answered = state.journal.iter_mut().filter(|(known, _)| *known == id);
            answered.for_each(|(_, answered)| *answered = true);
        }
        let next = state.after(&page);
        match store.commit(&lease.fence, next.sequence, page).await {
            Ok(()) => state = next,
            Err(Error::Crashed) => return (state, Some(next)),
            Err(error) => panic!("{error}"),
        }
        // What an earlier process left shows in the first commit at the latest.
        if state.sequence == first || state.sequence == LAST {
            assert_eq!(State::read(store).await.unwrap(), state);
        }
    }
    (state, None)
}

/// Lets a process crash after `writes` writes, checks what it left, and returns the store as the
/// next process finds it; `None` if it came to its end before.
async fn crash(
    store: &MemoryStore,
    from: State,
    attempt: usize,
    writes: usize,
) -> Option<(MemoryStore, State)> {
    store.crash_after(writes);
    let (acknowledged, cut_off) = go_on(store, from, attempt).await;
    let cut_off = cut_off?;
    let survivor = store.reopen().await.unwrap();
    let found = State::read(&survivor).await.unwrap();
    assert!(
        found == acknowledged || found == cut_off,
        "attempt {attempt}, {writes} writes: {found:?} is neither {acknowledged:?} nor {cut_off:?}"
    );
    Some((survivor, found))
}

#[tokio::test]
async fn every_place_to_crash_leaves_a_whole_commit() {
    let key = MasterKey::generate();
    let mut crashes = 0;
    for first in 0.. {
        let store = MemoryStore::new(&key);
        let Some((survivor, found)) = crash(&store, State::default(), 0, first).await else {
            break;
        };
        crashes += 1;
        // The process that goes on crashes as well, while it cleans up or later.
        for second in 0.. {
            let store = survivor.reopen().await.unwrap();
            let Some((last, found)) = crash(&store, found.clone(), 1, second).await else { break };
            crashes += 1;
            let (_, cut_off) = go_on(&last, found, 2).await;
            assert!(cut_off.is_none(), "the third process comes to the end");
        }
    }
    // The script has at least one write for each head, block and letter.
    assert!(crashes > 100, "only {crashes} crashes were tried");
}

#[tokio::test]
async fn a_failed_commit_can_be_repaired_by_the_same_process() {
    let store = MemoryStore::new(MasterKey::generate());
    let fence = store.lease(FLOW).await.unwrap().fence;
    store.commit(&fence, 1, commit(1, 0)).await.unwrap();
    let before = State::read(&store).await.unwrap();
    store.crash_after(2);
    assert!(matches!(store.commit(&fence, 2, commit(3, 0)).await, Err(Error::Crashed)));
    assert_eq!(State::read(&store).await.unwrap(), before);
    store.crash_after(usize::MAX);
    store.commit(&fence, 2, commit(2, 1)).await.unwrap();
    assert_eq!(State::read(&store).await.unwrap(), before.after(&commit(2, 1)));
}

#[tokio::test]
async fn a_value_in_the_vault_never_lacks_its_name() {
    let mut crashes = 0;
    for writes in 0.. {
        let store = MemoryStore::new(MasterKey::generate());
        store.vault_put("old", b"1").await.unwrap();
        store.crash_after(writes);
        let changes = async {
            store.vault_put("new", b"1").await?;
            store.vault_put("old", b"2").await?;
            store.vault_remove("old").await?;
            store.vault_put("old", b"3").await?;
            store.vault_remove("new").await
        };
        let crashed = changes.await.is_err();
        let found = store.reopen().await.unwrap();
        let mut values = Vec::new();
        for name in ["new", "old"] {
            if found.vault_get(name).await.unwrap().is_some() {
                values.push(name);
            }
        }
        assert_eq!(found.vault_names("").await.unwrap(), values, "{writes} writes");
        if !crashed {
            break;
        }
        // What was cut off is done again, as if nothing had been there.
        found.vault_remove("old").await.unwrap();
        found.vault_put("new", b"4").await.unwrap();
        assert_eq!(found.vault_names("").await.unwrap(), ["new"]);
        crashes += 1;
    }
    assert!(crashes > 5, "only {crashes} crashes were tried");
}

#[tokio::test]
async fn another_key_opens_nothing() {
    let store = MemoryStore::new(MasterKey::generate());
    let other = MasterKey::generate();
    let Err(Error::WrongKey { wants, given }) = store.reopen_with(&other).await.map(drop) else {
        panic!("the wrong key was taken");
    };
    assert_ne!(wants, other.id());
    assert_eq!(given, Some(other.id()));
}
