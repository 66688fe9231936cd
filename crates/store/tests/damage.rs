//! What a damaged disk leaves: errors that say so, never a panic, never anything made up.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod full;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use towpath_store::conformance::noise;
use towpath_store::{Commit, Error, MasterKey, Result, Seen, SledStore, Store, upkeep};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Every question that can be asked of the store, with its answer or error.
async fn answers(store: &SledStore) -> BTreeMap<String, Result<String>> {
    let mut found = BTreeMap::new();
    let mut add = |name: String, answer: Result<String>| found.insert(name, answer);
    let text = |answer: &dyn std::fmt::Debug| format!("{answer:?}");
    add("flows".to_owned(), store.flows().await.map(|it| text(&it)));
    for flow in ["busy", "letters", "table"] {
        add(format!("{flow} head"), store.head(flow).await.map(|it| text(&it)));
        add(format!("{flow} runs"), store.runs(flow).await.map(|it| text(&it)));
        add(format!("{flow} parked"), store.parked(flow).await.map(|it| text(&it)));
        add(format!("{flow} journal"), store.journaled(flow).await.map(|it| text(&it)));
        add(format!("{flow} history"), store.history(flow).await.map(|it| text(&it)));
        add(format!("{flow} letters"), store.dead_letters(Some(flow)).await.map(|it| text(&it)));
        let mut seen = Vec::new();
        let read = store.seen(flow, &mut |entries: &[Seen]| seen.extend_from_slice(entries)).await;
        add(format!("{flow} seen"), read.map(|()| text(&seen)));
        let mut trail = Vec::new();
        let mut each = |block| {
            trail.push(block);
            true
        };
        let read = store.trail(flow, &mut each).await;
        add(format!("{flow} trail"), read.map(|()| text(&trail)));
    }
    add("vault".to_owned(), store.vault_get("secret/example").await.map(|it| text(&it)));
    found
}

/// A store with some of everything and a log of several segments, closed.
async fn made(path: &Path, key: &MasterKey, commits: u64) -> BTreeMap<String, Result<String>> {
    let store = full::open(path, key).await.unwrap();
    full::fill(&store).await;
    let fence = store.lease("busy").await.unwrap().fence;
    for sequence in 1..=commits {
        let commit = Commit { snapshot: noise(sequence, 4_000), ..full::busy(sequence) };
        store.commit(&fence, sequence, commit).await.unwrap();
    }
    answers(&store).await
}

/// Opens a damaged copy, and checks that it says the truth or that it is damaged. Returns whether
/// something was refused.
async fn says_the_truth_or_nothing(
    path: PathBuf,
    key: MasterKey,
    truth: &BTreeMap<String, Result<String>>,
    what: &str,
) -> bool {
    let work = tokio::spawn(async move {
        let store = full::open(&path, &key).await?;
        Ok::<_, Error>((answers(&store).await, store.verify().await?.damage.len()))
    });
    let done = tokio::time::timeout(Duration::from_secs(60), work).await;
    let done = done.unwrap_or_else(|_| panic!("{what}: it hangs")).unwrap();
    let (found, damage) = match done {
        Ok(found) => found,
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("restore a backup") || error.contains("start again"), "{error}");
            return true;
        }
    };
    let mut refused = damage > 0;
    for (name, answer) in found {
        match (answer, &truth[&name]) {
            (Ok(answer), Ok(right)) => assert!(answer == *right, "{what}: {name} is made up"),
            (answer, _) => {
                assert!(answer.is_err());
                refused = true;
            }
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_database_file_is_told_or_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    // One that was never opened again, whose log is all there is, and one with a snapshot.
    for (name, commits) in [("young", 1), ("old", 150)] {
        let good = folder.path().join(name);
        let truth = made(&good, &key, commits).await;
        if name == "old" {
            drop(full::open(&good, &key).await.unwrap());
        }
        let file = fs::read(good.join("sled/db")).unwrap();
        let mut refused = 0;
        for number in 0..16 {
            let at = (file.len() / 16) * number + number * 37 % 500;
            let bad = folder.path().join(format!("{name}-{number}"));
            copy(&good, &bad);
            let mut bytes = file.clone();
            bytes[at] ^= 1 << (number % 8);
            fs::write(bad.join("sled/db"), bytes).unwrap();
            let what = format!("{name}, bit at {at}");
            refused += usize::from(
                says_the_truth_or_nothing(bad.clone(), key.clone(), &truth, &what).await,
            );
            fs::remove_dir_all(bad).unwrap();
        }
        // Of a log that is not covered by a snapshot every byte counts; in an older file most
        // places hold what nothing needs any more.
        assert!(refused > 8 || name == "old", "{name}: only {refused} were told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_or_lost_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (key, good) = (MasterKey::generate(), folder.path().join("good"));
    let truth = made(&good, &key, 60).await;
    let length = fs::metadata(good.join("sled/db")).unwrap().len();
    for (number, left) in [0, 1, 4_096, length / 3, length / 2, length - 5].into_iter().enumerate()
    {
        let bad = folder.path().join(number.to_string());
        copy(&good, &bad);
        fs::File::options().write(true).open(bad.join("sled/db")).unwrap().set_len(left).unwrap();
        let what = format!("cut to {left}");
        assert!(
            says_the_truth_or_nothing(bad, key.clone(), &truth, &what).await || left == length - 5
        );
    }
    for lost in ["sled", "sled/db", "sled/conf"] {
        let bad = folder.path().join(format!("lost-{}", lost.replace('/', "-")));
        copy(&good, &bad);
        let path = bad.join(lost);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        assert!(SledStore::exists(&bad), "it is not taken for a place without a store");
        let refused = says_the_truth_or_nothing(bad, key.clone(), &truth, lost).await;
        assert!(refused || lost == "sled/conf", "{lost}");
    }
    for file in fs::read_dir(good.join("blobs")).unwrap() {
        let name = file.unwrap().file_name();
        let bad = folder.path().join(&name);
        copy(&good, &bad);
        fs::write(bad.join("blobs").join(&name), b"cut").unwrap();
        assert!(says_the_truth_or_nothing(bad, key.clone(), &truth, "a large value").await);
    }
}

/// The database goes on from before a damaged end of its log without a word; the mark tells.
#[tokio::test]
async fn an_older_database_in_the_place_of_a_newer_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (key, path, old) =
        (MasterKey::generate(), folder.path().join("store"), folder.path().join("old"));
    let store = full::open(&path, &key).await.unwrap();
    let fence = store.lease("busy").await.unwrap().fence;
    store.commit(&fence, 1, full::busy(1)).await.unwrap();
    drop(store);
    copy(&path.join("sled"), &old);
    let store = full::open(&path, &key).await.unwrap();
    let fence = store.lease("busy").await.unwrap().fence;
    store.commit(&fence, 2, full::busy(2)).await.unwrap();
    drop(store);
    fs::remove_dir_all(path.join("sled")).unwrap();
    copy(&old, &path.join("sled"));
    for _ in 0..2 {
        let error = full::open(&path, &key).await.map(drop).unwrap_err();
        // The opening is durable as well.
        assert!(matches!(error, Error::RolledBack { lost: 2, .. }), "{error}");
    }
    // The way out that the error names.
    fs::remove_file(path.join("mark")).unwrap();
    let store = full::open(&path, &key).await.unwrap();
    full::is_whole(&store, "busy", 1).await;
    let fence = store.lease("busy").await.unwrap().fence;
    store.commit(&fence, 2, full::busy(2)).await.unwrap();
    drop(store);
    drop(full::open(&path, &key).await.unwrap());
}

#[tokio::test]
async fn what_is_damaged_is_in_no_backup_and_the_other_flows_are() {
    let folder = tempfile::tempdir().unwrap();
    let (key, path) = (MasterKey::generate(), folder.path().join("store"));
    let store = full::open(&path, &key).await.unwrap();
    full::fill(&store).await;
    // The large values are the table's segment and a letter's payload.
    let table = fs::read_dir(path.join("blobs")).unwrap().map(|it| it.unwrap().path());
    let table = table.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    fs::remove_file(table).unwrap();
    let file = folder.path().join("backup");
    let error = store.export(&file, &key, None, 5, &|_, _| {}).await.unwrap_err().to_string();
    assert!(error.contains("flow `table`") && error.contains("store verify"), "{error}");
    assert!(!file.exists());
    let flows = ["letters".to_owned()];
    store.export(&file, &key, Some(&flows), 5, &|_, _| {}).await.unwrap();
    let fence = store.lease("letters").await.unwrap();
    let next = fence.head.unwrap().sequence + 1;
    store.commit(&fence.fence, next, Commit::default()).await.unwrap();
    drop(store);
    let compacted = upkeep::compact(full::options(&path, &key), None, &|_, _| {}).await;
    assert!(matches!(compacted, Err(Error::Corrupt { .. })), "{compacted:?}");
    let store = full::open(&path, &key).await.unwrap();
    assert!(!path.join("fresh").exists());
    assert_eq!(store.head("letters").await.unwrap().unwrap().sequence, next);
}
