//! The suite that every home of the store passes.
//!
//! It panics where a home breaks the contract, so it belongs into tests.

mod echoes;
mod inbox;
mod items;
mod seen;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::store::{Commit, Counts, NewDeadLetter, RunLine, Seen, SeenChange, Store};

pub use seen::seen_of;

/// Runs the suite.
///
/// `make` opens one and the same home at each call: the first finds it empty, the later ones find
/// what the earlier ones left, as after a restart. The suite drops a store before it asks for
/// the next.
///
/// # Panics
///
/// Where the home breaks the contract.
pub async fn check(make: impl AsyncFn() -> Result<Arc<dyn Store>>) -> Result<()> {
    let store = make().await?;
    empty_at_first(&*store).await?;
    fences(&*store).await?;
    sequences(&*store).await?;
    seen::in_order(&*store).await?;
    seen::in_pieces(&*store).await?;
    counts(&*store).await?;
    dead_letters(&*store).await?;
    items::letters_change(&*store).await?;
    items::parked(&*store).await?;
    items::journal(&*store).await?;
    items::past(&*store).await?;
    items::trail(&*store).await?;
    items::turned_clock(&*store).await?;
    echoes::put_and_forgotten(&*store).await?;
    inbox::in_order(&*store).await?;
    inbox::taken_by_commits(&*store).await?;
    inbox::keys(&*store).await?;
    inbox::bounded(&*store).await?;
    inbox::many_at_once(&store).await?;
    runs(&*store).await?;
    vault(&*store).await?;
    flows_side_by_side(&store).await?;
    keyed_hashes(&*store);

    let before = everything(&*store).await?;
    let stale = store.lease("fences").await?.fence;
    drop(store);
    let store = make().await?;
    assert_eq!(everything(&*store).await?, before, "a restart keeps everything");
    let late = store.commit(&stale, 3, commit(b"{}")).await;
    assert!(matches!(late, Err(Error::Fenced)), "a fence ends with its opening: {late:?}");
    go_on_after_restart(&*store).await
}

/// Returns that many bytes which do not compress, so that a home keeps them as the large value that
/// they are; each seed gives others.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut noise = vec![0; len];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut noise);
    noise
}

async fn empty_at_first(store: &dyn Store) -> Result<()> {
    assert_eq!(store.head("nothing").await?, None);
    assert_eq!(seen_of(store, "nothing").await?, []);
    assert_eq!(store.runs("nothing").await?, []);
    assert_eq!(store.dead_letters(None).await?, []);
    assert_eq!(store.dead_letter("").await?, None);
    assert_eq!(store.vault_get("nothing").await?, None);
    assert_eq!(store.vault_names("").await?, Vec::<String>::new());
    assert!(store.lease("nothing").await?.head.is_none());
    assert_eq!(store.flows().await?, Vec::<String>::new(), "a lease alone leaves no trace");
    Ok(())
}

async fn fences(store: &dyn Store) -> Result<()> {
    let old = store.lease("fences").await?;
    assert_eq!(old.fence.flow(), "fences");
    store.commit(&old.fence, 1, commit(b"{\"by\":\"old\"}")).await?;
    let new = store.lease("fences").await?;
    assert_eq!(new.head.map(|head| head.sequence), Some(1));
    let refused = store.commit(&old.fence, 2, commit(b"{\"by\":\"stale\"}")).await;
    assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
    let other = store.lease("fences, another flow").await?;
    store.commit(&new.fence, 2, commit(b"{\"by\":\"new\"}")).await?;
    let head = store.head("fences").await?;
    assert_eq!(head.map(|head| head.snapshot), Some(b"{\"by\":\"new\"}".to_vec()));
    assert!(other.head.is_none(), "flows are leased one by one");
    Ok(())
}

async fn sequences(store: &dyn Store) -> Result<()> {
    let fence = store.lease("sequences").await?.fence;
    for (sequence, next) in [(0, 1), (2, 1), (u64::MAX, 1)] {
        let refused = store.commit(&fence, sequence, commit(b"no")).await;
        let Err(Error::Sequence { expected, got }) = refused else {
            panic!("sequence {sequence} was not refused: {refused:?}");
        };
        assert_eq!((expected, got), (next, sequence));
    }
    store.commit(&fence, 1, commit(b"one")).await?;
    let again = store.commit(&fence, 1, commit(b"one again")).await;
    assert!(matches!(again, Err(Error::Sequence { expected: 2, got: 1 })), "{again:?}");
    store.commit(&fence, 2, commit(b"two")).await?;
    let head = store.head("sequences").await?;
    assert_eq!(head.map(|head| (head.sequence, head.snapshot)), Some((2, b"two".to_vec())));
    Ok(())
}

async fn counts(store: &dyn Store) -> Result<()> {
    let fence = store.lease("counts").await?.fence;
    let page = Counts {
        records: 10,
        emitted: 8,
        unchanged: 2,
        filtered: 1,
        delivered: 6,
        dead_lettered: 1,
        ..Counts::default()
    };
    for sequence in 1..=3 {
        store.commit(&fence, sequence, Commit { counts: page, ..commit(b"{}") }).await?;
    }
    let total = Counts {
        records: 30,
        emitted: 24,
        unchanged: 6,
        filtered: 3,
        delivered: 18,
        dead_lettered: 3,
        ..Counts::default()
    };
    assert_eq!(store.head("counts").await?.map(|head| head.counts), Some(total));
    let huge = Counts { delivered: u64::MAX, ..Counts::default() };
    let refused = store.commit(&fence, 4, Commit { counts: huge, ..commit(b"{}") }).await;
    assert!(matches!(refused, Err(Error::CountOverflow)), "{refused:?}");
    assert_eq!(store.head("counts").await?.map(|head| head.sequence), Some(3));
    Ok(())
}

async fn dead_letters(store: &dyn Store) -> Result<()> {
    let flow = "letters";
    let fence = store.lease(flow).await?.fence;
    let large = noise(1, 100_000);
    let first = [letter("m1", Some("profiles"), 5, b"{\"a\":1}"), letter("m2", None, 7, &large)];
    store.commit(&fence, 1, commit(b"{}").letters(&first)).await?;
    let listed = store.dead_letters(Some(flow)).await?;
    let at: Vec<_> = listed.iter().map(|found| (found.at, found.step.as_deref())).collect();
    assert_eq!(at, [(7, None), (5, Some("profiles"))], "newest first");

    let id = &listed[1].id;
    assert!(id.len() == 16 && id.chars().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    let found = store.dead_letter(id).await?.expect_letter();
    assert_eq!(found.payload, b"{\"a\":1}");
    assert_eq!((found.flow.as_str(), found.sequence, found.message_id.as_str()), (flow, 1, "m1"));
    assert_eq!((found.code.as_str(), found.reason.as_str()), ("E1", "no such field"));
    assert_eq!(found.record_key, "key of m1");
    let found = store.dead_letter(&listed[0].id).await?.expect_letter();
    assert_eq!(found.payload, large);

    let again = [letter("m1", Some("profiles"), 9, b"{\"a\":2}")];
    store.commit(&fence, 2, commit(b"{}").letters(&again)).await?;
    let listed = store.dead_letters(Some(flow)).await?;
    assert_eq!(listed.len(), 2, "a repeated dead letter takes its own place");
    assert_eq!(&listed[0].id, id);
    let found = store.dead_letter(id).await?.expect_letter();
    assert_eq!((found.sequence, found.payload.as_slice()), (2, &b"{\"a\":2}"[..]));

    let other = store.lease("letters, another flow").await?.fence;
    store.commit(&other, 1, commit(b"{}").letters(&again)).await?;
    assert_eq!(store.dead_letters(Some(flow)).await?.len(), 2);
    let all = store.dead_letters(None).await?;
    assert_eq!(all.len(), 3, "the id depends on the flow");
    let short = store.dead_letter("").await;
    let Err(Error::AmbiguousId { mut candidates, .. }) = short else {
        panic!("an ambiguous prefix was not refused: {short:?}");
    };
    let mut ids: Vec<_> = all.iter().map(|found| found.id.clone()).collect();
    ids.sort();
    candidates.sort();
    assert_eq!(candidates, ids);
    let unique = (1..=16)
        .filter_map(|len| id.get(..len))
        .find(|prefix| ids.iter().filter(|other| other.starts_with(*prefix)).count() == 1);
    let found = store.dead_letter(unique.unwrap_or_default()).await?.expect_letter();
    assert_eq!(&found.id, id);
    assert_eq!(store.dead_letter("not an id").await?, None);
    Ok(())
}

async fn runs(store: &dyn Store) -> Result<()> {
    let line = |started: i64| RunLine {
        run: format!("run {started}"),
        started,
        finished: started + 1,
        outcome: "done".to_owned(),
        counts: Counts { records: 1, ..Counts::default() },
        error: (started % 2 == 0).then(|| "account `crm` said no".to_owned()),
    };
    // Also a start before the epoch: the order is that of the numbers.
    for started in -2..110 {
        store.record_run("runs", line(started)).await?;
    }
    let expected: Vec<_> = (10..110).rev().map(line).collect();
    assert_eq!(store.runs("runs").await?, expected, "the newest hundred, newest first");
    assert_eq!(store.last_run("runs").await?, Some(line(109)));
    assert_eq!(store.last_run("run").await?, None, "another flow with the same beginning");
    store.record_run("runs", line(109)).await?;
    assert_eq!(store.runs("runs").await?, expected, "a line recorded again is there once");
    for started in -2..0 {
        store.record_run("runs before the epoch", line(started)).await?;
    }
    assert_eq!(store.runs("runs before the epoch").await?, [line(-1), line(-2)]);
    Ok(())
}

async fn vault(store: &dyn Store) -> Result<()> {
    store.vault_put("oauth/crm", b"first").await?;
    store.vault_put("oauth/crm", b"second").await?;
    store.vault_put("oauth/shop", &noise(7, 100_000)).await?;
    assert_eq!(store.vault_get("oauth/crm").await?, Some(b"second".to_vec()));
    assert_eq!(store.vault_get("oauth/shop").await?, Some(noise(7, 100_000)));
    assert_eq!(store.vault_get("oauth/other").await?, None);
    store.vault_put("secret/shop", b"short-lived").await?;
    store.vault_put("secret/crm", b"kept").await?;
    assert_eq!(store.vault_names("secret/").await?, ["secret/crm", "secret/shop"]);
    assert!(store.vault_remove("secret/shop").await?);
    assert!(!store.vault_remove("secret/shop").await?, "it is gone already");
    assert_eq!(store.vault_get("secret/shop").await?, None);
    assert_eq!(store.vault_names("").await?, ["oauth/crm", "oauth/shop", "secret/crm"]);
    Ok(())
}

/// Commits of several flows at once, with snapshots too large for a database's entry.
async fn flows_side_by_side(store: &Arc<dyn Store>) -> Result<()> {
    let work = |flow: String, store: Arc<dyn Store>| async move {
        let fence = store.lease(&flow).await?.fence;
        for sequence in 1..=4 {
            let snapshot = noise(sequence, 70_000);
            let page = commit(&snapshot).seen(SeenChange::Append(entries(sequence, 200)));
            store.commit(&fence, sequence, page).await?;
        }
        Ok::<_, Error>(())
    };
    let names = ["side a", "side ab", "side b", "side"];
    let tasks: Vec<_> = names
        .iter()
        .map(|flow| tokio::spawn(work((*flow).to_owned(), Arc::clone(store))))
        .collect();
    for task in tasks {
        task.await.map_err(|_| Error::Interrupted)??;
    }
    for flow in names {
        let head = store.head(flow).await?;
        assert_eq!(head.map(|head| head.snapshot), Some(noise(4, 70_000)), "{flow}");
        let expected: Vec<_> = (1..=4).flat_map(|sequence| entries(sequence, 200)).collect();
        assert_eq!(seen_of(&**store, flow).await?, expected, "{flow}");
    }
    Ok(())
}

fn keyed_hashes(store: &dyn Store) {
    let hash = |domain: &str, parts: &[&[u8]]| store.keyed_hash(domain, parts);
    assert_eq!(hash("seen", &[b"ab", b"c"]), hash("seen", &[b"ab", b"c"]));
    let mut hashes = vec![
        hash("seen", &[b"ab", b"c"]),
        hash("seen", &[b"a", b"bc"]),
        hash("seen", &[b"abc"]),
        hash("seen", &[b"abc", b""]),
        hash("content", &[b"abc"]),
        hash("contentabc", &[]),
    ];
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 6, "domains and parts are kept apart");
}

/// What a store says about all of its flows, readable enough to be compared.
async fn everything(store: &dyn Store) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for flow in store.flows().await? {
        let head = store.head(&flow).await?;
        let (seen, runs) = (seen_of(store, &flow).await?, store.runs(&flow).await?);
        let mut letters = Vec::new();
        for letter in store.dead_letters(Some(&flow)).await? {
            letters.push(store.dead_letter(&letter.id).await?);
        }
        let (parked, journal) = (store.parked(&flow).await?, store.journaled(&flow).await?);
        let history = store.history(&flow).await?;
        let mut trail = Vec::new();
        let mut each = |block| {
            trail.push(block);
            true
        };
        store.trail(&flow, &mut each).await?;
        let inbox = inbox::all(store, &flow).await?;
        let items = format!("{letters:?} {parked:?} {journal:?} {history:?} {trail:?} {inbox:?}");
        all.insert(flow, format!("{head:?} {seen:?} {runs:?} {items}"));
    }
    let (token, names) = (store.vault_get("oauth/crm").await?, store.vault_names("").await?);
    all.insert("vault".to_owned(), format!("{token:?} {names:?}"));
    all.insert("hash".to_owned(), format!("{:?}", store.keyed_hash("seen", &[b"abc"])));
    assert!(all.len() > 10, "the suite left something to compare");
    Ok(all)
}

async fn go_on_after_restart(store: &dyn Store) -> Result<()> {
    let lease = store.lease("seen").await?;
    assert_eq!(lease.head.map(|head| head.sequence), Some(9));
    let more = entries(10, 10);
    store.commit(&lease.fence, 10, commit(b"{}").seen(SeenChange::Append(more.clone()))).await?;
    assert_eq!(seen_of(store, "seen").await?, [entries(9, 200), more].concat());
    inbox::go_on_after_restart(store).await
}

fn commit(snapshot: &[u8]) -> Commit {
    Commit { snapshot: snapshot.to_vec(), ..Commit::default() }
}

impl Commit {
    fn seen(self, seen: SeenChange) -> Self {
        Self { seen, ..self }
    }

    fn letters(self, letters: &[NewDeadLetter]) -> Self {
        Self { dead_letters: letters.to_vec(), ..self }
    }
}

fn entries(sequence: u64, size: u64) -> Vec<Seen> {
    let entry = |number: u64| {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Seen { key, content: sequence.to_be_bytes(), version: -number.cast_signed(), sequence }
    };
    (0..size).map(entry).collect()
}

fn letter(message: &str, step: Option<&str>, at: i64, payload: &[u8]) -> NewDeadLetter {
    NewDeadLetter {
        message_id: message.to_owned(),
        step: step.map(str::to_owned),
        code: "E1".to_owned(),
        reason: "no such field".to_owned(),
        at,
        payload: payload.to_vec(),
        record_key: format!("key of {message}"),
        partition_key: [7; 16],
        ..NewDeadLetter::default()
    }
}

trait ExpectLetter {
    fn expect_letter(self) -> crate::store::DeadLetter;
}

impl ExpectLetter for Option<crate::store::DeadLetter> {
    fn expect_letter(self) -> crate::store::DeadLetter {
        self.unwrap_or_else(|| panic!("the dead letter is not there"))
    }
}
