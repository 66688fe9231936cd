//! What a home does with dead letters that change, parked work, the journal, history and trail.

use crate::error::{Error, Result};
use crate::store::{
    Cause, Commit, JournalChange, JournalEntry, LetterChange, LetterMark, LetterState, Parked,
    ParkedChange, Store, TrailBlock,
};

use super::{ExpectLetter as _, commit, letter, noise};

pub(super) async fn letters_change(store: &dyn Store) -> Result<()> {
    let flow = "letters that change";
    let fence = store.lease(flow).await?.fence;
    let new = [letter("m1", Some("a"), 5, b"1"), letter("m2", Some("a"), 6, b"2")];
    store.commit(&fence, 1, commit(b"{}").letters(&new)).await?;
    let listed = store.dead_letters(Some(flow)).await?;
    let (second, first) = (listed[0].id.clone(), listed[1].id.clone());
    let first_state = (listed[1].state, listed[1].attempts.clone(), listed[1].partition_key);
    assert_eq!(first_state, (LetterState::Open, vec![5], [7; 16]));
    let both =
        [([7; 8], first.clone().min(second.clone())), ([7; 8], first.clone().max(second.clone()))];
    assert_eq!(store.letters_of(flow, &[[6; 8], [7; 8]]).await?, both, "by their record's key");
    assert_eq!(store.letters_of("letters that", &[[7; 8]]).await?, [], "another flow");

    let mark = |id: &str, change| LetterChange { id: id.to_owned(), change };
    let (code, reason, state) = ("E2".to_owned(), "still".to_owned(), LetterState::Open);
    let failed = LetterMark::Failed { code, reason, at: 8, state };
    let edited = LetterMark::Edited { payload: b"3".to_vec(), at: 7 };
    let letters = vec![mark(&second, edited), mark("0123456789abcdef", LetterMark::Dropped)];
    store.commit(&fence, 2, Commit { letters, ..commit(b"{}") }).await?;
    let letters = vec![mark(&second, failed), mark(&first, LetterMark::Dropped)];
    store.commit(&fence, 3, Commit { letters, ..commit(b"{}") }).await?;
    assert_eq!(store.dead_letter(&first).await?, None, "it was dropped");
    assert_eq!(store.letters_of(flow, &[[7; 8]]).await?, [([7; 8], second.clone())]);
    let found = store.dead_letter(&second).await?.expect_letter();
    assert_eq!((found.payload.as_slice(), found.edited, found.at), (&b"3"[..], Some(7), 8));
    assert_eq!((found.code.as_str(), found.reason.as_str()), ("E2", "still"));
    assert_eq!((found.state, found.attempts), (LetterState::Open, vec![6, 8]));

    let replayed = LetterMark::State { state: LetterState::Replayed };
    let letters = vec![mark(&second, replayed)];
    store.commit(&fence, 4, Commit { letters, ..commit(b"{}") }).await?;
    let listed = store.dead_letters(Some(flow)).await?;
    assert_eq!(listed.iter().map(|it| it.state).collect::<Vec<_>>(), [LetterState::Replayed]);
    assert_eq!(store.letters_of(flow, &[[7; 8]]).await?, [], "none is open");
    // The same message refused again is open again, and its tries add up.
    let again = [letter("m2", Some("a"), 9, b"4"), letter("m1", Some("a"), 9, b"5")];
    store.commit(&fence, 5, commit(b"{}").letters(&again)).await?;
    assert_eq!(store.letters_of(flow, &[[7; 8]]).await?, both);
    let found = store.dead_letter(&second).await?.expect_letter();
    assert_eq!((found.state, found.attempts), (LetterState::Open, vec![6, 8, 9]));
    assert_eq!(store.dead_letter(&first).await?.expect_letter().attempts, [9], "a new one");
    Ok(())
}

pub(super) async fn parked(store: &dyn Store) -> Result<()> {
    let fence = store.lease("parked").await?.fence;
    let large = noise(1, 100_000);
    let put = |id: &str, check_at, payload: &[u8]| {
        ParkedChange::Put(Parked {
            id: format!("{id:0>16}"),
            message_id: "m".to_owned(),
            step: "erase".to_owned(),
            record_key: "key".to_owned(),
            partition_key: [9; 16],
            since: 1,
            check_at,
            deadline: 100,
            token: "job 7".to_owned(),
            payload: payload.to_vec(),
        })
    };
    let changes = vec![put("a", 20, b"1"), put("b", 10, &large), put("c", 30, b"3")];
    store.commit(&fence, 1, Commit { parked: changes, ..commit(b"{}") }).await?;
    let found = store.parked("parked").await?;
    let order: Vec<_> = found.iter().map(|it| (it.check_at, it.payload.len())).collect();
    assert_eq!(order, [(10, 100_000), (20, 1), (30, 1)], "the next check first");
    let one = store.parked_one("parked", &format!("{:0>16}", "a")).await?;
    assert_eq!(one.as_ref(), found.get(1));
    let mut first = 0;
    let mut each = |_| {
        first += 1;
        false
    };
    store.each_parked("parked", &mut each).await?;
    assert_eq!(first, 1, "no more than was asked for");
    let changes = vec![put("b", 40, b"2"), ParkedChange::Done(format!("{:0>16}", "a"))];
    store.commit(&fence, 2, Commit { parked: changes, ..commit(b"{}") }).await?;
    let found = store.parked("parked").await?;
    let left: Vec<_> = found.iter().map(|it| (it.check_at, it.token.as_str())).collect();
    assert_eq!(left, [(30, "job 7"), (40, "job 7")]);
    assert_eq!(store.parked_one("parked", &format!("{:0>16}", "a")).await?, None, "it is done");
    assert_eq!(store.parked("parke").await?, [], "another flow");
    Ok(())
}

pub(super) async fn journal(store: &dyn Store) -> Result<()> {
    let stale = store.lease("journal").await?.fence;
    let fence = store.lease("journal").await?.fence;
    let entry = |id: u8, value: &[u8], answer: Option<&[u8]>| {
        let answer = answer.map(<[u8]>::to_vec);
        JournalEntry { id: [id; 16], value: value.to_vec(), answer }
    };
    let put = |id: u8, value: &[u8]| JournalChange::Put { id: [id; 16], value: value.to_vec() };
    let answer = |id: u8, answer: &[u8]| {
        let answer = answer.to_vec();
        JournalChange::Answer { id: [id; 16], answer }
    };
    let refused = store.journal(&stale, vec![put(1, b"stale")]).await;
    assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
    let large = noise(1, 100_000);
    store.journal(&fence, vec![put(2, b"b"), put(1, &large), put(3, b"c")]).await?;
    store.journal(&fence, vec![put(2, b"other"), JournalChange::Forget([3; 16])]).await?;
    store.journal(&fence, vec![answer(1, b"perhaps"), answer(2, b"done")]).await?;
    store.journal(&fence, vec![answer(1, &large)]).await?;
    let (one, two) = (entry(1, &large, Some(&large)), entry(2, b"other", Some(b"done")));
    assert_eq!(store.journaled("journal").await?, [one, two.clone()]);
    store.commit(&fence, 1, Commit { journal: vec![[1; 16]], ..commit(b"{}") }).await?;
    assert_eq!(store.journaled("journal").await?, [two]);
    let again = vec![JournalChange::Forget([2; 16]), put(2, b"again"), answer(4, b"to nothing")];
    store.journal(&fence, again).await?;
    assert_eq!(store.journaled("journal").await?, [entry(2, b"again", None)]);
    assert_eq!(store.journaled("journa").await?, [], "another flow");
    Ok(())
}

pub(super) async fn past(store: &dyn Store) -> Result<()> {
    let fence = store.lease("past").await?.fence;
    for sequence in 1..=60_u8 {
        let cause = Cause { at: i64::from(sequence), what: "scan".to_owned() };
        let block = TrailBlock { sequence: 0, at: i64::from(sequence), bytes: vec![sequence; 3] };
        let page = Commit {
            cause: (sequence % 10 > 0).then_some(cause),
            trail: (sequence % 2 > 0).then_some(block),
            ..commit(&[sequence])
        };
        store.commit(&fence, u64::from(sequence), page).await?;
    }
    let history = store.history("past").await?;
    let sequences: Vec<_> = history.iter().map(|it| it.sequence).collect();
    let expected: Vec<u64> = (1..60).rev().filter(|it| it % 10 > 0).take(50).collect();
    assert_eq!(sequences, expected, "the last fifty, newest first");
    let newest = &history[0];
    assert_eq!((newest.at, newest.cause.as_str(), &newest.snapshot[..]), (59, "scan", &[59][..]));
    let mut blocks = Vec::new();
    let mut each = |block: TrailBlock| {
        blocks.push((block.sequence, block.at, block.bytes));
        blocks.len() < 2
    };
    store.trail("past", &mut each).await?;
    assert_eq!(blocks, [(59, 59, vec![59; 3]), (57, 57, vec![57; 3])]);
    // A block thirty days later leaves none of these.
    let at = 59 + 30 * 24 * 3_600_000 + 1;
    let block = TrailBlock { sequence: 0, at, bytes: vec![1] };
    store.commit(&fence, 61, Commit { trail: Some(block), ..commit(b"{}") }).await?;
    let mut kept = Vec::new();
    let mut each = |block: TrailBlock| {
        kept.push(block.sequence);
        true
    };
    store.trail("past", &mut each).await?;
    assert_eq!(kept, [61]);
    Ok(())
}

/// Blocks of several pieces, of one, of none and of very many come back as they were, newest first.
pub(super) async fn trail(store: &dyn Store) -> Result<()> {
    let fence = store.lease("trail").await?.fence;
    let block = |sequence: u64| {
        let len = if sequence == 20 { 300_000 } else { sequence as usize % 5 * 4_800 };
        let bytes = (0..len).map(|at| (at as u64 * sequence) as u8).collect();
        TrailBlock { sequence, at: sequence.cast_signed(), bytes }
    };
    let mut expected = Vec::new();
    for sequence in 1..=40 {
        let page = Commit { trail: Some(block(sequence)), ..commit(b"{}") };
        store.commit(&fence, sequence, page).await?;
        if sequence % 5 > 0 || sequence == 20 {
            expected.insert(0, block(sequence));
        }
        let mut found = Vec::new();
        let mut each = |block: TrailBlock| {
            found.push(block);
            true
        };
        store.trail("trail", &mut each).await?;
        assert!(found == expected, "after commit {sequence}");
    }
    let mut two = Vec::new();
    let mut each = |block: TrailBlock| {
        two.push(block.sequence);
        two.len() < 2
    };
    store.trail("trail", &mut each).await?;
    assert_eq!(two, [39, 38], "no more than was asked for");
    Ok(())
}

/// A clock that was set back for a while, and right again, makes no block too old.
pub(super) async fn turned_clock(store: &dyn Store) -> Result<()> {
    const NOW: i64 = 1_700_000_000_000;
    const YEAR: i64 = 365 * 24 * 3600 * 1000;
    let fence = store.lease("turned").await?.fence;
    for sequence in 1..=180 {
        let at = if (11..=100).contains(&sequence) { NOW - YEAR } else { NOW };
        let block = TrailBlock { sequence, at, bytes: vec![1; 100] };
        store.commit(&fence, sequence, Commit { trail: Some(block), ..commit(b"{}") }).await?;
    }
    let mut found = 0;
    let mut each = |_| {
        found += 1;
        true
    };
    store.trail("turned", &mut each).await?;
    assert_eq!(found, 180);
    Ok(())
}
