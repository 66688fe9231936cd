//! A store with entries of every kind, and all that can be read of one.

#![allow(dead_code, reason = "each test uses some of it")]

use std::path::Path;
use std::sync::Arc;

use towpath_store::conformance::noise;
use towpath_store::{
    Cause, Commit, Counts, Durability, JournalChange, MasterKey, Name, NamesChange, NewDeadLetter,
    Parked, ParkedChange, Result, RunLine, Seen, SeenChange, SledOptions, SledStore, Store,
    TrailBlock,
};

/// A moment, in milliseconds since the epoch.
pub(crate) const AT: i64 = 1_700_000_000_000;

pub(crate) fn options<'a>(path: &Path, key: &'a MasterKey) -> SledOptions<'a> {
    SledOptions { path: path.to_owned(), key, durability: Durability::Full }
}

pub(crate) async fn open(path: &Path, key: &MasterKey) -> Result<SledStore> {
    SledStore::open(options(path, key)).await
}

fn seen(sequence: u64, entries: u64) -> Vec<Seen> {
    let entry = |number: u64| {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        key[8..].copy_from_slice(&sequence.to_be_bytes());
        Seen { key, content: [1; 8], version: 1, sequence }
    };
    (0..entries).map(entry).collect()
}

fn letter(message: &str, size: usize) -> NewDeadLetter {
    NewDeadLetter {
        message_id: message.to_owned(),
        step: Some("profiles".to_owned()),
        code: "invalid".to_owned(),
        reason: "the address is refused".to_owned(),
        at: AT,
        payload: noise(7, size),
        record_key: message.to_owned(),
        partition_key: [3; 16],
        ..NewDeadLetter::default()
    }
}

/// Two flows with some of everything, large values included.
pub(crate) async fn fill(store: &SledStore) {
    let fence = store.lease("letters").await.unwrap().fence;
    for sequence in 1..=3 {
        let parked = Parked {
            id: "00112233445566aa".to_owned(),
            message_id: "p".to_owned(),
            step: "profiles".to_owned(),
            record_key: "p".to_owned(),
            partition_key: [4; 16],
            since: AT,
            check_at: AT + i64::try_from(sequence).unwrap(),
            deadline: AT + 9,
            token: "token".to_owned(),
            payload: b"{}".to_vec(),
        };
        let size = if sequence == 2 { 20_000 } else { 10 };
        let commit = Commit {
            snapshot: format!("{{\"lastUpdated\":{sequence}}}").into_bytes(),
            seen: SeenChange::Append(seen(sequence, 300)),
            dead_letters: vec![letter(&format!("r{sequence}"), size)],
            parked: vec![ParkedChange::Put(parked)],
            cause: Some(Cause { at: AT, what: "scan".to_owned() }),
            trail: Some(TrailBlock { sequence: 0, at: AT, bytes: vec![5; 100] }),
            counts: Counts { records: 300, emitted: 300, dead_lettered: 1, ..Counts::default() },
            names: NamesChange::Append(vec![Name { key: [6; 16], name: format!("r{sequence}") }]),
            ..Commit::default()
        };
        store.commit(&fence, sequence, commit).await.unwrap();
    }
    let put = JournalChange::Put { id: [9; 16], value: b"about to be sent".to_vec() };
    let answer = JournalChange::Answer { id: [9; 16], answer: b"done".to_vec() };
    store.journal(&fence, vec![put, answer]).await.unwrap();

    let fence = store.lease("table").await.unwrap().fence;
    let mut table = seen(1, 13_000);
    table.sort_by_key(|seen| seen.key);
    let commit = Commit {
        snapshot: noise(1, 9_000),
        seen: SeenChange::Replace(vec![Arc::new(table)]),
        ..Commit::default()
    };
    store.commit(&fence, 1, commit).await.unwrap();
    for number in 0..3 {
        let run = RunLine {
            run: format!("run-{number}"),
            started: AT + number,
            finished: AT + number,
            outcome: "done".to_owned(),
            counts: Counts::default(),
            error: None,
        };
        store.record_run("letters", run).await.unwrap();
    }
    store.vault_put("secret/example", b"not-a-secret").await.unwrap();
}

/// A commit of which a part alone is noticed: entries, letter and counts go together.
pub(crate) fn busy(sequence: u64) -> Commit {
    let seen = if sequence.is_multiple_of(7) {
        SeenChange::Replace(vec![Arc::new(seen(sequence, sequence))])
    } else {
        SeenChange::Append(seen(sequence, 1))
    };
    Commit {
        snapshot: snapshot(sequence),
        seen,
        dead_letters: vec![letter(&format!("r{sequence}"), 10)],
        counts: Counts { records: 1, ..Counts::default() },
        ..Commit::default()
    }
}

/// Some are too long for their entries.
fn snapshot(sequence: u64) -> Vec<u8> {
    let long = if sequence.is_multiple_of(7) { noise(sequence, 9_000) } else { Vec::new() };
    [&sequence.to_be_bytes()[..], &long].concat()
}

/// Checks that a flow of [`busy`] commits is as after the one with this sequence.
pub(crate) async fn is_whole(store: &SledStore, flow: &str, sequence: u64) {
    let head = store.head(flow).await.unwrap().unwrap();
    assert_eq!(head.snapshot, snapshot(sequence));
    assert_eq!(head.counts.records, sequence);
    let entries = towpath_store::conformance::seen_of(store, flow).await.unwrap();
    assert_eq!(entries.len() as u64, sequence);
    assert_eq!(store.dead_letters(Some(flow)).await.unwrap().len() as u64, sequence);
}

/// Everything of one flow.
pub(crate) async fn flow(store: &SledStore, flow: &str) -> Vec<String> {
    let mut read = vec![
        format!("{:?}", store.head(flow).await.unwrap()),
        format!("{:?}", store.runs(flow).await.unwrap()),
        format!("{:?}", store.parked(flow).await.unwrap()),
        format!("{:?}", store.journaled(flow).await.unwrap()),
        format!("{:?}", store.history(flow).await.unwrap()),
    ];
    for letter in store.dead_letters(Some(flow)).await.unwrap() {
        read.push(format!("{:?}", store.dead_letter(&letter.id).await.unwrap()));
    }
    let mut names = Vec::new();
    store.names(flow, &mut |more: &[Name]| names.extend_from_slice(more)).await.unwrap();
    read.push(format!("{names:?}"));
    let mut each = |entries: &[Seen]| read.push(format!("{entries:?}"));
    store.seen(flow, &mut each).await.unwrap();
    let mut blocks = Vec::new();
    store
        .trail(flow, &mut |block| {
            blocks.push(block);
            true
        })
        .await
        .unwrap();
    read.push(format!("{blocks:?}"));
    read
}

/// Everything that can be read of a store.
pub(crate) async fn everything(store: &SledStore) -> Vec<String> {
    let flows = store.flows().await.unwrap();
    let mut read = vec![format!("{flows:?}")];
    for name in &flows {
        read.extend(flow(store, name).await);
    }
    for name in store.vault_names("").await.unwrap() {
        read.push(format!("{name} {:?}", store.vault_get(&name).await.unwrap()));
    }
    read
}
