//! Backups, restores, compaction, new keys and retention, each on a store with everything in it.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod full;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use full::{everything, fill, open, options};
use serde_json::json;
use towpath_store::conformance::noise;
use towpath_store::upkeep::{self, Answer, Desk, Holder, Request, Retention};
use towpath_store::{
    Commit, Error, LetterChange, LetterMark, LetterState, MasterKey, Seen, SeenChange, SledStore,
    Store,
};

const QUIET: upkeep::Told<'_> = &|_, _| {};

/// A day, in milliseconds.
const DAY: i64 = 24 * 3600 * 1000;

#[tokio::test]
async fn a_backup_brings_everything_back_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (key, file) = (MasterKey::generate(), folder.path().join("backup"));
    let store = open(&folder.path().join("one"), &key).await.unwrap();
    fill(&store).await;
    let written = store.export(&file, &key, None, 5, QUIET).await.unwrap();
    assert_eq!(written.flows, 2);
    let before = everything(&store).await;
    drop(store);

    let (two, other) = (folder.path().join("two"), MasterKey::generate());
    let wrong = upkeep::restore(&file, &other, options(&two, &other), QUIET).await;
    assert!(matches!(wrong, Err(Error::ArchiveKey { wants, .. }) if wants == key.id()));
    assert!(!SledStore::exists(&two));
    // Another machine has another key: the archive's own is needed once.
    upkeep::restore(&file, &key, options(&two, &other), QUIET).await.unwrap();
    let again = upkeep::restore(&file, &key, options(&two, &other), QUIET).await;
    assert!(matches!(again, Err(Error::NotEmpty { .. })), "{again:?}");
    let restored = open(&two, &other).await.unwrap();
    assert_eq!(everything(&restored).await, before);
    let fence = restored.lease("letters").await.unwrap();
    let next = fence.head.unwrap().sequence + 1;
    restored.commit(&fence.fence, next, Commit::default()).await.unwrap();
    let error = open(&two, &key).await.map(drop);
    assert!(matches!(error, Err(Error::Locked { .. } | Error::WrongKey { .. })), "{error:?}");
}

#[tokio::test]
async fn a_restore_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (key, file) = (MasterKey::generate(), folder.path().join("backup"));
    let store = open(&folder.path().join("one"), &key).await.unwrap();
    fill(&store).await;
    store.export(&file, &key, None, 5, QUIET).await.unwrap();
    let good = fs::read(&file).unwrap();
    fs::write(&file, &good[..good.len() - 9]).unwrap();
    let two = folder.path().join("two");
    let cut = upkeep::restore(&file, &key, options(&two, &key), QUIET).await;
    assert!(matches!(cut, Err(Error::Archive { .. })), "{cut:?}");
    assert!(!SledStore::exists(&two) && !two.join("fresh").exists());
    fs::write(&file, good).unwrap();
    upkeep::restore(&file, &key, options(&two, &key), QUIET).await.unwrap();
}

/// Commits that add one entry, and rewrite everything now and then, go on while backups are made:
/// in each of them seen entries, letters and counts are those of one commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_flow_at_work_is_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = open(&folder.path().join("one"), &key).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let (writer, stop) = (store.clone(), Arc::clone(&done));
    let writing = tokio::spawn(async move {
        let fence = writer.lease("busy").await.unwrap().fence;
        let mut sequence = 0;
        while !stop.load(Ordering::Relaxed) {
            sequence += 1;
            writer.commit(&fence, sequence, full::busy(sequence)).await.unwrap();
        }
        sequence
    });
    for number in 0..4 {
        let file = folder.path().join(format!("backup-{number}"));
        let before = store.head("busy").await.unwrap().map_or(0, |head| head.sequence);
        store.export(&file, &key, None, 5, QUIET).await.unwrap();
        let path = folder.path().join(format!("restored-{number}"));
        upkeep::restore(&file, &key, options(&path, &key), QUIET).await.unwrap();
        let restored = open(&path, &key).await.unwrap();
        if let Some(head) = restored.head("busy").await.unwrap() {
            assert!(head.sequence >= before);
            full::is_whole(&restored, "busy", head.sequence).await;
        }
        assert_eq!(restored.verify().await.unwrap().damage, []);
    }
    done.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 4);
}

#[tokio::test]
async fn flows_are_taken_in_beside_others() {
    let folder = tempfile::tempdir().unwrap();
    let (key, file) = (MasterKey::generate(), folder.path().join("export"));
    let store = open(&folder.path().join("one"), &key).await.unwrap();
    fill(&store).await;
    let flows = ["letters".to_owned()];
    let none = store.export(&file, &key, Some(&["nothing".to_owned()]), 5, QUIET).await;
    assert!(matches!(none, Err(Error::NoSuchFlows { .. })), "{none:?}");
    assert_eq!(store.export(&file, &key, Some(&flows), 5, QUIET).await.unwrap().flows, 1);
    let there = store.import(&file, &key, None, QUIET).await;
    assert!(matches!(there, Err(Error::FlowsExist { flows }) if flows == ["letters"]));

    let other = MasterKey::generate();
    let stranger = open(&folder.path().join("two"), &other).await.unwrap();
    let refused = stranger.import(&file, &key, None, QUIET).await;
    assert!(matches!(refused, Err(Error::OtherStore)), "{refused:?}");

    let sibling = open(&folder.path().join("three"), &key).await.unwrap();
    sibling.import(&file, &key, Some(&flows), QUIET).await.unwrap();
    assert_eq!(sibling.flows().await.unwrap(), ["letters"]);
    assert_eq!(full::flow(&sibling, "letters").await, full::flow(&store, "letters").await);
    assert_eq!(sibling.vault_names("").await.unwrap(), [""; 0], "a flow has no secrets");
}

#[tokio::test]
async fn a_compaction_keeps_what_counts_and_takes_less_room() {
    let folder = tempfile::tempdir().unwrap();
    let (key, path) = (MasterKey::generate(), folder.path().join("store"));
    let store = open(&path, &key).await.unwrap();
    fill(&store).await;
    let fence = store.lease("churn").await.unwrap().fence;
    for sequence in 1..=150 {
        let commit = Commit { snapshot: noise(sequence, 4_000), ..full::busy(sequence) };
        store.commit(&fence, sequence, commit).await.unwrap();
    }
    let before = everything(&store).await;
    let held = upkeep::compact(options(&path, &key), None, QUIET).await;
    assert!(matches!(held, Err(Error::Locked { .. })), "{held:?}");
    drop(store);
    let done = upkeep::compact(options(&path, &key), None, QUIET).await.unwrap();
    assert!(done.after < done.before, "{done:?}");
    assert_eq!(done.kept.flows, 3);
    let store = open(&path, &key).await.unwrap();
    assert_eq!(everything(&store).await, before);
    assert_eq!(store.verify().await.unwrap().damage, []);
    for left in ["fresh", "old"] {
        assert!(!path.join(left).exists(), "{left}");
    }
}

#[tokio::test]
async fn a_new_key_opens_everything_and_the_old_one_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (old, path) = (MasterKey::generate(), folder.path().join("store"));
    let store = open(&path, &old).await.unwrap();
    fill(&store).await;
    let (before, hash) = (everything(&store).await, store.keyed_hash("seen", &[b"key"]));
    drop(store);
    for new in [MasterKey::generate(), MasterKey::generate()] {
        upkeep::compact(options(&path, &current(&path, &old).await), Some(&new), QUIET)
            .await
            .unwrap();
        let refused = open(&path, &old).await.map(drop);
        assert!(matches!(refused, Err(Error::WrongKey { wants, .. }) if wants == new.id()));
        let store = open(&path, &new).await.unwrap();
        assert_eq!(everything(&store).await, before);
        assert_eq!(store.keyed_hash("seen", &[b"key"]), hash, "what was seen stays seen");
        drop(store);
        fs::write(folder.path().join("key"), hex(&new)).unwrap();
    }
    // No file holds anything that the old key sealed.
    let id = u64::from_str_radix(&old.id().to_string(), 16).unwrap().to_be_bytes();
    for file in files(&path) {
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(8).any(|part| part == id), "{}", file.display());
    }
}

/// The key of the store now: the file that the test keeps beside it, or the first one.
async fn current(path: &Path, first: &MasterKey) -> MasterKey {
    match fs::read_to_string(path.parent().unwrap().join("key")) {
        Ok(text) => MasterKey::from_text(&text).unwrap(),
        Err(_) => first.clone(),
    }
}

fn hex(key: &MasterKey) -> String {
    let folder = tempfile::tempdir().unwrap();
    key.write_new(&folder.path().join("key")).unwrap();
    fs::read_to_string(folder.path().join("key")).unwrap()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test]
async fn what_is_over_goes_after_its_time_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = open(folder.path(), &key).await.unwrap();
    fill(&store).await;
    let lease = store.lease("letters").await.unwrap();
    let letters = store.dead_letters(Some("letters")).await.unwrap();
    let change = LetterChange {
        id: letters[0].id.clone(),
        change: LetterMark::State { state: LetterState::Replayed },
    };
    let commit = Commit { letters: vec![change], ..Commit::default() };
    store.commit(&lease.fence, lease.head.unwrap().sequence + 1, commit).await.unwrap();
    let at = letters[0].at;
    let runs = store.runs("letters").await.unwrap().len() as u64;
    store.retain(Retention { runs: 1, history: 1, ..Retention::default() });
    // At first nothing is old.
    let tidied = store.tidy(at + DAY).await.unwrap().unwrap();
    assert_eq!((tidied.dead_letters, tidied.trail, tidied.runs), (0, 0, runs - 1));
    assert_eq!(store.tidy(at + DAY + 1).await.unwrap(), None, "once a day");
    let tidied = store.tidy(at + 31 * DAY).await.unwrap().unwrap();
    assert_eq!(tidied.dead_letters, 1);
    assert!(tidied.trail > 0);
    let left = store.dead_letters(Some("letters")).await.unwrap();
    assert_eq!(left.len(), letters.len() - 1);
    assert!(left.iter().all(|letter| letter.state == LetterState::Open));
    drop(store);
    let store = open(folder.path(), &key).await.unwrap();
    assert_eq!(store.dead_letters(Some("letters")).await.unwrap(), left);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_store_open_answers_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let (key, path) = (MasterKey::generate(), folder.path().join("store"));
    let store = open(&path, &key).await.unwrap();
    fill(&store).await;
    let file = folder.path().join("backup");
    let holder: Holder = Arc::new(|asked| Box::pin(async move { Ok(json!([asked])) }));
    let desk = Desk::new(store.clone(), key.clone(), holder);
    assert_eq!(desk.look().await.unwrap(), 0);
    let asking = tokio::spawn({
        let (path, file) = (path.clone(), file.clone());
        async move {
            let export = Request::Export { file, flows: None, at: 5 };
            let mut answers = vec![];
            let holder = Request::Holder(json!("who?"));
            for request in [export.clone(), export, Request::Verify, Request::Overview, holder] {
                answers.push(upkeep::ask(&path, &request, QUIET).await.unwrap());
            }
            answers
        }
    });
    let mut answered = 0;
    while answered < 5 {
        answered += desk.look().await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answers = asking.await.unwrap();
    assert!(matches!(&answers[0], Answer::Exported(moved) if moved.flows == 2), "{answers:?}");
    assert!(matches!(&answers[1], Answer::Failed(reason) if reason.contains("exists")));
    assert!(matches!(&answers[2], Answer::Verified(found) if found.damage.is_empty()));
    let Answer::Overview(overview) = &answers[3] else { panic!("{answers:?}") };
    assert_eq!(*overview, store.overview().await.unwrap());
    assert_eq!(overview.key, key.id().to_string());
    assert_eq!(answers[4], Answer::Holder(json!(["who?"])));
    let letters = overview.flows.iter().find(|flow| flow.flow == "letters").unwrap();
    assert_eq!((letters.parked, letters.journaled), (1, 1));
    assert_eq!(fs::read_dir(path.join("requests")).unwrap().count(), 0);
    drop((store, desk));
    upkeep::restore(&file, &key, options(&folder.path().join("two"), &key), QUIET).await.unwrap();
}

#[tokio::test]
async fn seen_entries_survive_every_transfer_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let (key, file) = (MasterKey::generate(), folder.path().join("backup"));
    let store = open(&folder.path().join("one"), &key).await.unwrap();
    let fence = store.lease("f").await.unwrap().fence;
    let entry = |number: u64, sequence| {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Seen { key, content: [1; 8], version: 1, sequence }
    };
    let table = Arc::new((0..30_000).map(|number| entry(number, 1)).collect::<Vec<_>>());
    let commit = Commit { seen: SeenChange::Replace(vec![table]), ..Commit::default() };
    store.commit(&fence, 1, commit).await.unwrap();
    let commit = Commit { seen: SeenChange::Append(vec![entry(7, 2)]), ..Commit::default() };
    store.commit(&fence, 2, commit).await.unwrap();
    store.export(&file, &key, None, 5, QUIET).await.unwrap();
    let two = folder.path().join("two");
    upkeep::restore(&file, &key, options(&two, &key), QUIET).await.unwrap();
    upkeep::compact(options(&two, &key), None, QUIET).await.unwrap();
    let restored = open(&two, &key).await.unwrap();
    let found = restored.look_up("f", &[entry(7, 0).key, entry(8, 0).key]).await.unwrap();
    assert_eq!(found.entries, [entry(7, 2), entry(8, 1)]);
    assert_eq!(found, store.look_up("f", &[entry(7, 0).key, entry(8, 0).key]).await.unwrap());
}

/// A compaction that is killed leaves one good store, wherever it was: the old one until it was
/// decided, the new one from then on.
#[tokio::test]
async fn a_compaction_that_is_killed_leaves_one_good_store() {
    let folder = tempfile::tempdir().unwrap();
    let (key, path, other) =
        (MasterKey::generate(), folder.path().join("store"), folder.path().join("other"));
    let store = open(&path, &key).await.unwrap();
    fill(&store).await;
    let before = everything(&store).await;
    let file = folder.path().join("backup");
    store.export(&file, &key, None, 5, QUIET).await.unwrap();
    drop(store);
    // Killed while the new store was being built.
    fs::create_dir_all(path.join("fresh/sled")).unwrap();
    fs::write(path.join("fresh/sled/db"), b"half").unwrap();
    let store = open(&path, &key).await.unwrap();
    assert_eq!(everything(&store).await, before);
    assert!(!path.join("fresh").exists());
    drop(store);
    // Killed between the decision and each of the moves behind it.
    for moved in 0..4 {
        upkeep::restore(&file, &key, options(&other, &key), QUIET).await.unwrap();
        fs::create_dir(path.join("fresh")).unwrap();
        for part in ["blobs", "mark", "sled"] {
            fs::rename(other.join(part), path.join("fresh").join(part)).unwrap();
        }
        fs::remove_dir_all(&other).unwrap();
        fs::write(path.join("fresh/whole"), b"").unwrap();
        for part in ["blobs", "mark", "sled"].iter().take(moved) {
            fs::create_dir_all(path.join("old")).unwrap();
            fs::rename(path.join(part), path.join("old").join(part)).unwrap();
            fs::rename(path.join("fresh").join(part), path.join(part)).unwrap();
        }
        assert!(SledStore::exists(&path), "{moved}");
        let store = open(&path, &key).await.unwrap();
        assert_eq!(everything(&store).await, before, "{moved}");
        assert_eq!(store.verify().await.unwrap().damage, []);
        assert!(!path.join("fresh").exists() && !path.join("old").exists(), "{moved}");
    }
}
