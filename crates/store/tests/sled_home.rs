//! What is particular to the sled home: its folder, its lock, its key file and its files.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use towpath_store::conformance::{noise, seen_of};
use towpath_store::{
    Commit, Durability, Error, MasterKey, Result, Seen, SeenChange, SledOptions, SledStore, Store,
};

async fn open(path: &Path, key: &MasterKey) -> Result<SledStore> {
    let path = path.to_owned();
    SledStore::open(SledOptions { path, key, durability: Durability::Full }).await
}

fn page(sequence: u64, entries: u64, snapshot: Vec<u8>) -> Commit {
    let entry = |number: u64| {
        let mut key = [0; 16];
        // Spread like the hashes that keys are.
        key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        key[8..].copy_from_slice(&sequence.to_be_bytes());
        Seen { key, content: [1; 8], version: 1, sequence }
    };
    Commit {
        snapshot,
        seen: SeenChange::Append((0..entries).map(entry).collect()),
        ..Commit::default()
    }
}

fn size(folder: &Path) -> u64 {
    let sizes = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() }
    });
    sizes.sum()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_held_store_says_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let _held = open(folder.path(), &key).await.unwrap();
    let error = open(folder.path(), &key).await.map(drop).unwrap_err();
    let process = format!("process {}", std::process::id());
    assert!(matches!(&error, Error::Locked { holder, .. } if *holder == process), "{error}");
}

#[tokio::test]
async fn a_store_whose_key_is_gone_gets_no_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path().join("state"), folder.path().join("config/key"));
    let made = SledStore::key_file(&path, &file).await.unwrap();
    assert!(made.created);
    drop(open(&path, &made.key).await.unwrap());
    assert!(!SledStore::key_file(&path, &file).await.unwrap().created);

    fs::remove_file(&file).unwrap();
    let error = SledStore::key_file(&path, &file).await.unwrap_err();
    assert!(
        matches!(error, Error::WrongKey { wants, given: None } if wants == made.key.id()),
        "{error}"
    );
    assert!(!file.exists());
    let error = open(&path, &MasterKey::generate()).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::WrongKey { wants, .. } if wants == made.key.id()), "{error}");
    open(&path, &made.key).await.unwrap();
}

#[tokio::test]
async fn a_half_written_snapshot_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = open(folder.path(), &key).await.unwrap();
    let fence = store.lease("f").await.unwrap().fence;
    store.commit(&fence, 1, page(1, 10, b"{}".to_vec())).await.unwrap();
    drop(store);
    let left_over = folder.path().join("sled/snap.0000000000001234.generating");
    fs::write(&left_over, b"cut off").unwrap();
    let store = open(folder.path(), &key).await.unwrap();
    assert_eq!(seen_of(&store, "f").await.unwrap().len(), 10);
    assert!(!left_over.exists());
    assert!(folder.path().join("sled/aside.snap.0000000000001234.generating").exists());
}

#[tokio::test]
async fn files_of_large_values_live_as_long_as_their_entries() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let blobs = folder.path().join("blobs");
    let store = open(folder.path(), &key).await.unwrap();
    let fence = store.lease("f").await.unwrap().fence;
    for sequence in 1..=3 {
        store.commit(&fence, sequence, page(sequence, 0, noise(7, 200_000))).await.unwrap();
        let kept = usize::try_from(sequence).unwrap().min(2);
        assert_eq!(files(&blobs).len(), kept, "the older snapshot's file waits for the next one");
    }
    drop(store);
    fs::write(blobs.join("0123.tmp"), b"cut off").unwrap();
    let store = open(folder.path(), &key).await.unwrap();
    assert_eq!(files(&blobs).len(), 1, "what no entry names is swept up");
    assert_eq!(store.head("f").await.unwrap().unwrap().snapshot, noise(7, 200_000));

    fs::remove_file(&files(&blobs)[0]).unwrap();
    let error = store.head("f").await.unwrap_err().to_string();
    assert!(error.contains("damaged at heads, flow `f`: its file blobs/"), "{error}");
    let fence = store.lease("g").await.unwrap().fence;
    store.commit(&fence, 1, page(1, 0, b"{}".to_vec())).await.unwrap();
}

/// A value too long for its entry and too short for a file costs no sync of its own.
#[tokio::test]
async fn longer_values_lie_in_pieces_as_long_as_their_entries() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = open(folder.path(), &key).await.unwrap();
    let fence = store.lease("f").await.unwrap().fence;
    for (sequence, len) in (1..).zip([5_000, 6_000, 40_000, 8_192, 64_000, 5_100, 60_000]) {
        let snapshot = noise(sequence, len);
        store.commit(&fence, sequence, page(sequence, 0, snapshot.clone())).await.unwrap();
        assert_eq!(store.head("f").await.unwrap().unwrap().snapshot, snapshot);
    }
    drop(store);
    let store = open(folder.path(), &key).await.unwrap();
    assert_eq!(store.head("f").await.unwrap().unwrap().snapshot, noise(7, 60_000));
    for folder in ["blobs", "sled/blobs"].map(|it| folder.path().join(it)) {
        assert!(!folder.exists() || files(&folder).is_empty(), "{} holds files", folder.display());
    }
}

/// sled writes leaves above an eighth of a megabyte to heap files that it never syncs; none may
/// appear, or an acknowledged commit is not durable. The folder must also not outgrow its content.
#[tokio::test]
async fn pages_of_a_thousand_are_in_synced_files() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = open(folder.path(), &key).await.unwrap();
    let fence = store.lease("f").await.unwrap().fence;
    for sequence in 1..=100 {
        store
            .commit(&fence, sequence, page(sequence, 1_000, noise(sequence, 4_000)))
            .await
            .unwrap();
    }
    assert_eq!(seen_of(&store, "f").await.unwrap().len(), 100_000);
    assert_eq!(files(&folder.path().join("sled/blobs")), Vec::<PathBuf>::new());
    let segments = files(&folder.path().join("blobs")).len();
    assert_eq!(segments, 16, "every six pages are rolled into a file");
    drop(store);
    let megabytes = size(folder.path()) / 1_000_000;
    assert!(megabytes < 20, "4 MB of entries take {megabytes} MB");
    let store = open(folder.path(), &key).await.unwrap();
    assert_eq!(seen_of(&store, "f").await.unwrap().len(), 100_000);
}

/// A poll shows a few records: what is kept of the others is not read for them.
#[tokio::test]
async fn a_look_up_reads_only_the_part_that_can_hold_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = open(folder.path(), &key).await.unwrap();
    let fence = store.lease("f").await.unwrap().fence;
    let mut commit = page(1, 30_000, b"{}".to_vec());
    let SeenChange::Append(mut table) = commit.seen else { unreachable!() };
    table.sort_by_key(|seen| seen.key);
    commit.seen = SeenChange::Replace(vec![Arc::new(table.clone())]);
    store.commit(&fence, 1, commit).await.unwrap();
    // The last bytes of each of the three files belong to their highest keys.
    for file in files(&folder.path().join("blobs")) {
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    assert!(matches!(seen_of(&store, "f").await, Err(Error::Corrupt { .. })));
    for seen in [table[0], table[399], table[12_800], table[25_600]] {
        let found = store.look_up("f", &[seen.key]).await.unwrap();
        assert_eq!((found.entries, found.rewritten, found.read), (vec![seen], 30_000, 400));
    }
    for damaged in [table[12_799], table[12_799 - 300], table[29_999]] {
        let error = store.look_up("f", &[damaged.key]).await.unwrap_err().to_string();
        assert!(error.contains("damaged at seen, flow `f`, page 1: a part"), "{error}");
    }
}

/// Whatever happens to a file, a look-up gives what was committed or says that it is damaged.
#[tokio::test]
async fn a_damaged_file_gives_no_wrong_entry() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = open(folder.path(), &key).await.unwrap();
    let fence = store.lease("f").await.unwrap().fence;
    let mut commit = page(1, 2_000, b"{}".to_vec());
    let SeenChange::Append(mut table) = commit.seen else { unreachable!() };
    table.sort_by_key(|seen| seen.key);
    commit.seen = SeenChange::Replace(vec![Arc::new(table.clone())]);
    store.commit(&fence, 1, commit).await.unwrap();
    let [file] = &files(&folder.path().join("blobs"))[..] else { panic!("one segment") };
    let good = fs::read(file).unwrap();
    let flipped = (0..150).chain((150..good.len()).step_by(997)).flat_map(|at| {
        [1, 3, 0xff].map(|bits| {
            let mut flipped = good.clone();
            flipped[at] ^= bits;
            flipped
        })
    });
    let cut = (0..150).chain((150..good.len()).step_by(997)).map(|len| good[..len].to_vec());
    let longer = std::iter::once([&good[..], &[0; 40]].concat());
    let mut refused = 0;
    for bytes in flipped.chain(cut).chain(longer) {
        fs::write(file, bytes).unwrap();
        for seen in [table[0], table[1_000], table[1_999]] {
            match store.look_up("f", &[seen.key]).await {
                Ok(found) => assert_eq!(found.entries, [seen]),
                Err(Error::Corrupt { .. } | Error::NewerFormat { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        let nobodys = store.look_up("f", &[[0xff; 16]]).await;
        assert!(nobodys.is_err() || nobodys.is_ok_and(|found| found.entries.is_empty()));
    }
    assert!(refused > 1_000, "{refused}");
    fs::remove_file(file).unwrap();
    assert!(matches!(store.look_up("f", &[[0; 16]]).await, Err(Error::Corrupt { .. })));
}
