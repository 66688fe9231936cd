//! A store of the first format, as the program of that time left it, opens and behaves.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::Path;

use towpath_store::conformance::seen_of;
use towpath_store::{
    Commit, Durability, Error, LetterState, MasterKey, SledOptions, SledStore, Store, upkeep,
};

/// The key of the store that is checked in: no secret.
fn key() -> MasterKey {
    MasterKey::from_hex(&"0f".repeat(32)).unwrap()
}

fn copied(to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format-1");
    for part in ["sled", "blobs"] {
        fs::create_dir_all(to.join(part)).unwrap();
        for entry in fs::read_dir(from.join(part)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(part).join(entry.file_name())).unwrap();
        }
    }
}

async fn open(path: &Path) -> SledStore {
    let key = key();
    let options = SledOptions { path: path.to_owned(), key: &key, durability: Durability::Full };
    SledStore::open(options).await.unwrap()
}

async fn holds_what_it_held(store: &SledStore) {
    assert_eq!(store.flows().await.unwrap(), ["newsletter", "orders"]);
    let head = store.head("newsletter").await.unwrap().unwrap();
    assert_eq!((head.sequence, &head.snapshot[..]), (4, &b"{\"lastUpdated\":4}"[..]));
    assert_eq!((head.counts.records, head.counts.dead_lettered), (40, 4));
    let seen = seen_of(store, "newsletter").await.unwrap();
    assert_eq!((seen.len(), seen[799].version, seen[799].sequence), (800, 1_700_000_000_199, 4));
    assert_eq!(seen_of(store, "orders").await.unwrap().len(), 300);
    assert_eq!(store.head("orders").await.unwrap().unwrap().snapshot.len(), 7_011);
    let letters = store.dead_letters(Some("newsletter")).await.unwrap();
    assert_eq!(letters.len(), 4);
    for summary in letters {
        let letter = store.dead_letter(&summary.id).await.unwrap().unwrap();
        assert_eq!((letter.state, letter.attempts), (LetterState::Open, vec![letter.at]));
        assert_eq!(letter.reason, format!("the address of {} is refused", letter.message_id));
        assert!(serde_json::from_slice::<serde_json::Value>(&letter.payload).is_ok());
    }
    assert_eq!(store.runs("newsletter").await.unwrap().len(), 3);
    assert_eq!(store.vault_names("").await.unwrap(), ["secret/example", "token/example"]);
    assert_eq!(store.vault_get("secret/example").await.unwrap().unwrap(), b"not-a-secret");
    assert_eq!(store.parked("newsletter").await.unwrap(), []);
    assert_eq!(store.journaled("newsletter").await.unwrap(), []);
}

#[tokio::test]
async fn it_is_migrated_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    copied(folder.path());
    for opening in 0..3 {
        let store = open(folder.path()).await;
        holds_what_it_held(&store).await;
        assert_eq!(store.overview().await.unwrap().openings, 2 + opening);
    }
    let store = open(folder.path()).await;
    let fence = store.lease("newsletter").await.unwrap().fence;
    store.commit(&fence, 5, Commit::default()).await.unwrap();
    assert_eq!(store.verify().await.unwrap().damage, []);
}

/// Looking changes nothing: the store is as the older program left it, and that one may go on.
#[tokio::test]
async fn it_is_verified_without_being_migrated() {
    let folder = tempfile::tempdir().unwrap();
    copied(folder.path());
    let key = key();
    let options =
        || SledOptions { path: folder.path().to_owned(), key: &key, durability: Durability::Full };
    for _ in 0..2 {
        let verified = upkeep::verify(options()).await.unwrap();
        assert_eq!((verified.flows, verified.damage), (2, vec![]));
        let shown = upkeep::Looked::open(options()).await.unwrap().overview().await.unwrap();
        assert_eq!((shown.format, shown.openings, shown.flows.len()), (1, 1, 2));
    }
    assert_eq!(open(folder.path()).await.overview().await.unwrap().openings, 2);
}

#[tokio::test]
async fn it_can_be_compacted_and_get_a_new_key() {
    let folder = tempfile::tempdir().unwrap();
    copied(folder.path());
    let (old, new) = (key(), MasterKey::generate());
    let options =
        |key| SledOptions { path: folder.path().to_owned(), key, durability: Durability::Full };
    upkeep::compact(options(&old), Some(&new), &|_, _| {}).await.unwrap();
    let refused = SledStore::open(options(&old)).await.map(drop);
    assert!(matches!(refused, Err(Error::WrongKey { .. })), "{refused:?}");
    holds_what_it_held(&SledStore::open(options(&new)).await.unwrap()).await;
}
