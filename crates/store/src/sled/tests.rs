//! Damage at every kind of entry, and stores of formats to come, seen from inside.

use std::fs;
use std::path::Path;

use super::*;
use crate::layout;
use crate::store::Store as _;

#[path = "../../tests/full/mod.rs"]
mod full;

async fn filled(path: &Path, key: &MasterKey) -> SledStore {
    let store = full::open(path, key).await.unwrap();
    full::fill(&store).await;
    store
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        names.map(|it| it.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Whatever bit is flipped in an entry, verifying names its flow and kind and nothing else, no
/// reader gets anything but what was kept, and the other flows go on.
#[tokio::test]
async fn a_flipped_bit_is_named_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = filled(folder.path(), &key).await;
    let trees = &store.core.trees;
    let truth = (full::flow(&store, "letters").await, full::flow(&store, "table").await);
    let mut kinds = 0;
    for tree in Tree::ALL.into_iter().filter(|tree| *tree != Tree::Meta) {
        let keys = trees.keys(tree, &[]).await.unwrap();
        kinds += usize::from(!keys.is_empty());
        for entry in keys.iter().take(4) {
            let good = trees.get(tree, entry).await.unwrap().unwrap();
            for at in [1, 9, good.len() / 2, good.len() - 1] {
                let mut flipped = good.clone();
                flipped[at] ^= 1;
                let put = |value| vec![Write::Put(tree, entry.clone(), value)];
                trees.apply(put(flipped), Wait::Visible).await.unwrap();
                let verified = store.verify().await.unwrap();
                let [damage] = &verified.damage[..] else {
                    panic!("{tree:?} at {at}: {:?}", verified.damage);
                };
                assert_eq!(damage.kind, tree.name());
                let flow = layout::split_flow(entry).map(|(flow, _)| flow.to_owned());
                assert_eq!(damage.flow, flow.filter(|_| tree != Tree::Vault));
                if damage.flow.as_deref() == Some("letters") {
                    assert_eq!(full::flow(&store, "table").await, truth.1, "the other goes on");
                }
                trees.apply(put(good.clone()), Wait::Visible).await.unwrap();
            }
        }
    }
    assert!(kinds >= 10, "{kinds} kinds of entries");
    assert_eq!(store.verify().await.unwrap().damage, []);
    assert_eq!(full::flow(&store, "letters").await, truth.0);
}

/// A block that is gone as a whole has no check of its own: the head's count tells.
#[tokio::test]
async fn a_lost_block_is_told_by_the_head() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &MasterKey::generate()).await;
    let keys = store.core.trees.keys(Tree::Seen, &layout::flow_prefix("letters")).await.unwrap();
    let delete = vec![Write::Delete(Tree::Seen, keys[1].clone())];
    store.core.trees.apply(delete, Wait::Visible).await.unwrap();
    let verified = store.verify().await.unwrap();
    assert_eq!(verified.damage.len(), 1, "{verified:?}");
    assert!(verified.damage[0].what.contains("of 900 entries are there"), "{verified:?}");
}

/// A newer program may lay out everything otherwise: its store is left as it is, files included
/// that no entry names in a way that this program knows.
#[tokio::test]
async fn a_newer_format_is_refused_and_nothing_of_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = filled(folder.path(), &key).await;
    let newer = Write::Put(Tree::Meta, b"format".to_vec(), 11_u32.to_be_bytes().to_vec());
    store.core.trees.apply(vec![newer], Wait::Durable).await.unwrap();
    drop(store);
    fs::write(folder.path().join("blobs/of-a-newer-kind"), b"kept").unwrap();
    let before = files(&folder.path().join("blobs"));
    for _ in 0..2 {
        let refused = full::open(folder.path(), &key).await.map(drop);
        assert!(matches!(refused, Err(Error::NewerFormat { found: 11, .. })), "{refused:?}");
        let refused = crate::upkeep::verify(full::options(folder.path(), &key)).await;
        assert!(matches!(refused, Err(Error::NewerFormat { found: 11, .. })), "{refused:?}");
        let refused = crate::upkeep::compact(full::options(folder.path(), &key), None, &|_, _| {});
        assert!(matches!(refused.await, Err(Error::NewerFormat { found: 11, .. })));
    }
    assert_eq!(files(&folder.path().join("blobs")), before);
    let trees = SledTrees::open(folder.path().to_owned(), Durability::Full, None).await.unwrap();
    let openings = trees.get(Tree::Meta, b"openings").await.unwrap().unwrap();
    assert_eq!(openings, 1_u64.to_be_bytes(), "no opening was counted");
}

/// A migration that is cut off between any two of its writes is done by the next opening.
#[tokio::test]
async fn a_migration_that_was_cut_off_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    drop(filled(folder.path(), &key).await);
    for (format, hashes) in [(1, false), (2, false), (2, true)] {
        let trees =
            SledTrees::open(folder.path().to_owned(), Durability::Full, None).await.unwrap();
        let before = trees.get(Tree::Meta, b"hashes").await.unwrap().unwrap();
        let mut writes =
            vec![Write::Put(Tree::Meta, b"format".to_vec(), u32::to_be_bytes(format).to_vec())];
        if !hashes {
            writes.push(Write::Delete(Tree::Meta, b"hashes".to_vec()));
        }
        trees.apply(writes, Wait::Durable).await.unwrap();
        drop(trees);
        let store = full::open(folder.path(), &key).await.unwrap();
        assert_eq!(store.verify().await.unwrap().damage, [], "{format} {hashes}");
        assert_eq!(store.runs("letters").await.unwrap().len(), 3);
        let after = store.core.trees.get(Tree::Meta, b"hashes").await.unwrap().unwrap();
        let open = |sealed: &[u8]| store.core.sealer.open(Tree::Meta, b"hashes", sealed).unwrap();
        assert_eq!(open(&before), open(&after), "the hashes are those of before");
    }
}

/// However far a commit comes before the disk is full: the error says so, what was committed stays,
/// and once there is room everything goes on, in this process or in the next one.
#[tokio::test]
async fn a_disk_that_is_full_at_any_step_of_a_commit_loses_nothing() {
    const FLOW: &str = "busy";
    // The seventh commit writes its seen entries anew, and takes the place of all before.
    for steps in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let key = MasterKey::generate();
        let mut store = full::open(folder.path(), &key).await.unwrap();
        let mut fence = store.lease(FLOW).await.unwrap().fence;
        for sequence in 1..=6 {
            store.commit(&fence, sequence, full::busy(sequence)).await.unwrap();
        }
        *store.core.trees.0.disk.left.lock().unwrap() = Some(steps);
        let done = store.commit(&fence, 7, full::busy(7)).await;
        let was_done = done.is_ok();
        if let Err(error) = done {
            let said = error.to_string();
            assert!(matches!(error, Error::Full { .. }), "{steps}: {said}");
            assert!(said.contains("the disk is full") && said.contains("sled"), "{steps}: {said}");
            let again = store.commit(&fence, 7, full::busy(7)).await.unwrap_err();
            assert!(!matches!(again, Error::Corrupt { .. }), "{steps}: {again}");
        }
        *store.core.trees.0.disk.left.lock().unwrap() = None;
        let committed = store.head(FLOW).await.unwrap().unwrap().sequence;
        full::is_whole(&store, FLOW, committed).await;
        // What failed while it was synced is not trusted before the next start.
        let next = store.lease(FLOW).await.unwrap();
        let goes_on = store.commit(&next.fence, committed + 1, full::busy(committed + 1)).await;
        if let Err(error) = goes_on {
            assert!(matches!(error, Error::Untrusted), "{steps}: {error}");
            drop(store);
            store = full::open(folder.path(), &key).await.unwrap();
        }
        let next = store.lease(FLOW).await.unwrap();
        fence = next.fence;
        let committed = next.head.unwrap().sequence;
        full::is_whole(&store, FLOW, committed).await;
        for sequence in committed + 1..committed + 3 {
            store.commit(&fence, sequence, full::busy(sequence)).await.unwrap();
        }
        drop(store);
        let store = full::open(folder.path(), &key).await.unwrap();
        full::is_whole(&store, FLOW, committed + 2).await;
        assert_eq!(store.verify().await.unwrap().damage, []);
        if was_done {
            assert!(steps > 10, "{steps} steps are too few for a commit");
            break;
        }
    }
}

/// Pieces go with their entries; those of a write that was cut off are swept up, and a piece that is
/// lost or cut is damage, not another value.
#[tokio::test]
async fn pieces_live_as_long_as_their_entries() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = full::open(folder.path(), &key).await.unwrap();
    let trees = &store.core.trees;
    let disk = &trees.0.disk;
    let value = |seed: u8| (0..20_000_u32).map(|at| at.to_le_bytes()[0] ^ seed).collect::<Vec<_>>();
    let put = |seed| vec![Write::Put(Tree::Journal, b"k".to_vec(), value(seed))];
    for seed in [1, 2] {
        trees.apply(put(seed), Wait::Visible).await.unwrap();
        assert_eq!(disk.pieces.len(), 5, "those of the older value are gone");
        assert_eq!(trees.get(Tree::Journal, b"k").await.unwrap(), Some(value(seed)));
    }
    for range in [0..0, 0..1, 4_095..4_097, 5_000..13_000, 19_999..20_000, 19_000..usize::MAX] {
        let parts = trees.parts(Tree::Journal, vec![(b"k".to_vec(), range.clone())]).await.unwrap();
        let whole = value(2);
        let until = range.end.min(whole.len());
        assert_eq!(parts, [Some(whole[range.start.min(until)..until].to_vec())]);
    }

    let kept: Vec<_> = disk.pieces.iter().map(Result::unwrap).collect();
    let (last, piece) = kept.last().unwrap();
    for nobodys in [&b"journal\0k"[..], b"journal\0otherNAMENAME\0\0\0\0", b"?"] {
        disk.pieces.insert(nobodys, piece.clone()).unwrap();
    }
    let cut_off = [&last[..last.len() - 12], b"NEWNAMES", &[0; 4]].concat();
    disk.pieces.insert(cut_off, piece.clone()).unwrap();
    disk.clear_up().unwrap();
    assert_eq!(disk.pieces.len(), 5);
    assert_eq!(trees.get(Tree::Journal, b"k").await.unwrap(), Some(value(2)));

    for damage in [None, Some(&piece[..piece.len() - 1])] {
        match damage {
            None => drop(disk.pieces.remove(last).unwrap()),
            Some(cut) => drop(disk.pieces.insert(last, cut).unwrap()),
        }
        let error = trees.get(Tree::Journal, b"k").await.unwrap_err().to_string();
        assert!(error.contains("journal") && error.contains("a piece of it is"), "{error}");
    }
    trees.apply(vec![Write::Delete(Tree::Journal, b"k".to_vec())], Wait::Visible).await.unwrap();
    assert_eq!(disk.pieces.len(), 0);
}

/// What stays is no burden of the database's, and what cannot be read keeps nobody from the rest.
#[tokio::test]
async fn only_what_goes_soon_lies_in_pieces_and_their_loss_stops_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = filled(folder.path(), &key).await;
    let disk = &store.core.trees.0.disk;
    assert_eq!(disk.pieces.len(), 3, "the snapshot of `table`, and no letter's payload");
    let truth = full::flow(&store, "letters").await;
    disk.pieces.clear().unwrap();
    drop(store);
    let store = full::open(folder.path(), &key).await.unwrap();
    assert_eq!(full::flow(&store, "letters").await, truth);
    let error = store.head("table").await.unwrap_err().to_string();
    assert!(error.contains("damaged at heads, flow `table`: a piece of it is gone"), "{error}");
}

/// A file whose value is gone holds the next value, whatever its length, and nobody reads what was
/// there before.
#[tokio::test]
async fn a_file_whose_value_is_gone_holds_another() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let store = full::open(folder.path(), &key).await.unwrap();
    let blobs = folder.path().join("blobs");
    let trees = &store.core.trees;
    let value = |seed: u8, len: usize| vec![seed; len];
    let apply = async |write| trees.apply(vec![write], Wait::Durable).await.unwrap();
    let put =
        async |name: &[u8], value| apply(Write::Put(Tree::Journal, name.to_vec(), value)).await;
    let get = async |name: &[u8]| trees.get(Tree::Journal, name).await.unwrap();
    put(b"a", value(1, 100_000)).await;
    let [first] = &files(&blobs)[..] else { panic!("one file") };
    for (seed, len) in [(2, 90_000), (3, 120_000), (4, 100_000)] {
        apply(Write::Delete(Tree::Journal, b"a".to_vec())).await;
        assert_eq!(get(b"a").await, None);
        put(b"a", value(seed, len)).await;
        assert_eq!(get(b"a").await, Some(value(seed, len)));
        assert_eq!(files(&blobs), std::slice::from_ref(first), "{len}");
    }
    let range = |range| vec![(b"a".to_vec(), range)];
    let part = trees.parts(Tree::Journal, range(99_990..usize::MAX)).await.unwrap();
    assert_eq!(part, [Some(value(4, 10))], "the file has 120,000 bytes by now");

    put(b"b", value(5, 100_000)).await;
    put(b"a", value(6, 100_000)).await;
    assert_eq!(files(&blobs).len(), 3, "a value's file is not written over while it counts");
    put(b"c", value(7, 70_000)).await;
    assert_eq!(files(&blobs).len(), 3, "that of the value before is");
    put(b"d", value(8, 4_000_000)).await;
    apply(Write::Delete(Tree::Journal, b"d".to_vec())).await;
    assert_eq!(files(&blobs).len(), 3, "a large one is not kept without a value");
    apply(Write::Delete(Tree::Journal, b"c".to_vec())).await;
    assert_eq!(files(&blobs).len(), 3);
    drop(store);
    let store = full::open(folder.path(), &key).await.unwrap();
    assert_eq!(files(&blobs).len(), 2, "one without a value is swept up");
    let trees = &store.core.trees;
    assert_eq!(trees.get(Tree::Journal, b"a").await.unwrap(), Some(value(6, 100_000)));
    assert_eq!(trees.get(Tree::Journal, b"b").await.unwrap(), Some(value(5, 100_000)));
}

/// Who reads a value while its file is given to another one reads it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_get_half_of_another_value() {
    let folder = tempfile::tempdir().unwrap();
    let store = full::open(folder.path(), &MasterKey::generate()).await.unwrap();
    let value = |seed: u8| vec![seed; 70_000];
    let put = move |seed: u8| vec![Write::Put(Tree::Journal, b"k".to_vec(), value(seed))];
    store.core.trees.apply(put(0), Wait::Visible).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for seed in 1..=200 {
                let trees = &store.core.trees;
                trees.apply(put(seed), Wait::Visible).await.unwrap();
                if seed % 2 == 0 {
                    trees.apply(vec![], Wait::Durable).await.unwrap();
                }
            }
        })
    };
    while !writer.is_finished() {
        let read = store.core.trees.get(Tree::Journal, b"k").await.unwrap().unwrap();
        assert_eq!(read.len(), 70_000);
        assert!(read.iter().all(|byte| *byte == read[0]), "bytes of two values");
    }
    writer.await.unwrap();
    assert!(files(&folder.path().join("blobs")).len() <= 10);
}
