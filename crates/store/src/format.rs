//! What a store says about itself: its format, whose key it is sealed with, how often it opened.

use crate::error::{Error, Result};
use crate::seal::Sealer;
use crate::trees::{Tree, Trees, Wait, Write};
use crate::vault::KeyId;

/// The format that this program writes.
pub(crate) const FORMAT: u32 = 10;

/// From this format on a flow's entries are as this program has them, or as it still reads them.
pub(crate) const SAME_ENTRIES_SINCE: u32 = 4;

const FORMAT_KEY: &[u8] = b"format";
const CHECK_KEY: &[u8] = b"check";
const OPENINGS_KEY: &[u8] = b"openings";
const HASHES_KEY: &[u8] = b"hashes";
const TIDIED_KEY: &[u8] = b"tidied";
const CHECK: &[u8] = b"towpath";

/// The entry that says how many syncs the database has seen; the home keeps it.
pub(crate) const SYNCS_KEY: &[u8] = b"syncs";

/// Checks that format and key fit, or sets a new store up. Returns the number of this opening, and
/// the seal with the store's own hashes.
pub(crate) async fn open(trees: &impl Trees, sealer: Sealer) -> Result<(u64, Sealer)> {
    match found(trees).await? {
        None => {
            refuse_entries_without_format(trees).await?;
            trees.apply(first_writes(&sealer)?, Wait::Durable).await?;
            return Ok((1, sealer));
        }
        Some(1..=FORMAT) => {}
        Some(found) if found > FORMAT => {
            return Err(Error::NewerFormat { found, known: FORMAT });
        }
        Some(found) => {
            let reason = format!("there was never a format {found}");
            return Err(Error::corrupt(Tree::Meta, FORMAT_KEY, reason));
        }
    }
    check_key(trees, &sealer).await?;
    migrate(trees, &sealer).await?;
    let sealer = with_hashes(trees, sealer).await?;
    let opening = opened(trees).await?.saturating_add(1);
    trees.apply(vec![openings(opening)], Wait::Durable).await?;
    Ok((opening, sealer))
}

/// Returns the seal of a store that is only looked at: nothing is counted or migrated.
pub(crate) async fn look(trees: &impl Trees, sealer: Sealer) -> Result<(u32, Sealer)> {
    let format = found(trees).await?;
    let gone = || Error::corrupt(Tree::Meta, FORMAT_KEY, "it is gone");
    match format.ok_or_else(gone)? {
        found if found > FORMAT => Err(Error::NewerFormat { found, known: FORMAT }),
        found => {
            check_key(trees, &sealer).await?;
            let sealer = if found < 3 { sealer } else { with_hashes(trees, sealer).await? };
            Ok((found, sealer))
        }
    }
}

/// Returns the format of a store that was opened.
pub(crate) async fn of(trees: &impl Trees) -> Result<u32> {
    Ok(found(trees).await?.unwrap_or(FORMAT))
}

/// Returns how often the store was opened.
pub(crate) async fn opened(trees: &impl Trees) -> Result<u64> {
    Ok(number::<8>(trees, OPENINGS_KEY).await?.map_or(0, u64::from_be_bytes))
}

/// Returns when the store was last looked through for what is kept too long.
pub(crate) async fn tidied(trees: &impl Trees) -> Result<Option<i64>> {
    Ok(number::<8>(trees, TIDIED_KEY).await?.map(i64::from_be_bytes))
}

pub(crate) fn tidied_at(now: i64) -> Write {
    Write::Put(Tree::Meta, TIDIED_KEY.to_vec(), now.to_be_bytes().to_vec())
}

async fn check_key(trees: &impl Trees, sealer: &Sealer) -> Result<()> {
    let check = key_check(trees).await?;
    if sealer.open(Tree::Meta, CHECK_KEY, &check)? != CHECK {
        return Err(Error::corrupt(Tree::Meta, CHECK_KEY, "the key check holds something else"));
    }
    Ok(())
}

async fn with_hashes(trees: &impl Trees, sealer: Sealer) -> Result<Sealer> {
    let corrupt = |reason| Error::corrupt(Tree::Meta, HASHES_KEY, reason);
    let sealed = trees.get(Tree::Meta, HASHES_KEY).await?.ok_or_else(|| corrupt("it is gone"))?;
    let hashes = sealer.open(Tree::Meta, HASHES_KEY, &sealed)?;
    sealer.with_hashes(&hashes).ok_or_else(|| corrupt("it has an impossible length"))
}

/// Brings a store of an earlier format to this one, one step a format, each of which ends with the
/// write of its format.
async fn migrate(trees: &impl Trees, sealer: &Sealer) -> Result<()> {
    if found(trees).await? == Some(1) {
        // The second format only adds: a journal, parked work, a history and a trail, which are
        // empty, and fields of dead letters that may be absent.
        trees.apply(vec![format(2)], Wait::Durable).await?;
    }
    if found(trees).await? == Some(2) {
        // The third format keeps the keys of its hashes, which were derived from the master key
        // before, so that the master key can change.
        trees.apply(vec![hashes(sealer)?, format(3)], Wait::Durable).await?;
    }
    // The fourth format has a catalogue: it is made once the store's entries can be read, and its
    // last write is this program's format.
    if found(trees).await? == Some(4) {
        // The fifth format only adds: a trail in pieces.
        trees.apply(vec![format(5)], Wait::Durable).await?;
    }
    if found(trees).await? == Some(5) {
        // So does the sixth: an inbox, which is empty.
        trees.apply(vec![format(6)], Wait::Durable).await?;
    }
    if found(trees).await? == Some(6) {
        // And the seventh: envelopes of compressed text.
        trees.apply(vec![format(7)], Wait::Durable).await?;
    }
    if found(trees).await? == Some(7) {
        // And the eighth: values in pieces beside their entries.
        trees.apply(vec![format(8)], Wait::Durable).await?;
    }
    if found(trees).await? == Some(8) {
        // And the ninth: echoes, of which there are none, and heads that count them.
        trees.apply(vec![format(9)], Wait::Durable).await?;
    }
    if found(trees).await? == Some(9) {
        // And the tenth: files that are longer than their values.
        trees.apply(vec![format(10)], Wait::Durable).await?;
    }
    Ok(())
}

/// Whether the store has a catalogue of its items, which the fourth format brought.
pub(crate) async fn has_catalogue(trees: &impl Trees) -> Result<bool> {
    Ok(found(trees).await?.is_some_and(|format| format >= 4))
}

/// Returns the write that says so.
pub(crate) fn with_catalogue() -> Write {
    format(FORMAT)
}

/// Returns which key a store is sealed with; `None` for one that was never set up.
pub(crate) async fn wanted_key(trees: &impl Trees) -> Result<Option<KeyId>> {
    if found(trees).await?.is_none() {
        return Ok(None);
    }
    Sealer::sealed_by(Tree::Meta, CHECK_KEY, &key_check(trees).await?).map(Some)
}

/// Returns the writes that set a new store up. The format comes last: without it the store is
/// empty, so stopping in between does no harm.
pub(crate) fn first_writes(sealer: &Sealer) -> Result<Vec<Write>> {
    all_writes(sealer, FORMAT, 1)
}

/// Returns everything that a store of some format says about itself.
pub(crate) fn all_writes(sealer: &Sealer, version: u32, opening: u64) -> Result<Vec<Write>> {
    let check = sealer.seal(Tree::Meta, CHECK_KEY, CHECK)?;
    let check = Write::Put(Tree::Meta, CHECK_KEY.to_vec(), check);
    Ok(vec![check, hashes(sealer)?, openings(opening), format(version)])
}

fn hashes(sealer: &Sealer) -> Result<Write> {
    let sealed = sealer.seal(Tree::Meta, HASHES_KEY, &sealer.hashes())?;
    Ok(Write::Put(Tree::Meta, HASHES_KEY.to_vec(), sealed))
}

fn format(version: u32) -> Write {
    Write::Put(Tree::Meta, FORMAT_KEY.to_vec(), version.to_be_bytes().to_vec())
}

fn openings(opening: u64) -> Write {
    Write::Put(Tree::Meta, OPENINGS_KEY.to_vec(), opening.to_be_bytes().to_vec())
}

async fn found(trees: &impl Trees) -> Result<Option<u32>> {
    Ok(number::<4>(trees, FORMAT_KEY).await?.map(u32::from_be_bytes))
}

async fn key_check(trees: &impl Trees) -> Result<Vec<u8>> {
    let check = trees.get(Tree::Meta, CHECK_KEY).await?;
    check.ok_or_else(|| Error::corrupt(Tree::Meta, CHECK_KEY, "the key check is gone"))
}

async fn number<const N: usize>(trees: &impl Trees, key: &[u8]) -> Result<Option<[u8; N]>> {
    let Some(bytes) = trees.get(Tree::Meta, key).await? else { return Ok(None) };
    let number = bytes.try_into();
    number.map(Some).map_err(|_| Error::corrupt(Tree::Meta, key, "it is not a number"))
}

/// A store that lost its format must not be taken for a new one: its key check would be lost.
async fn refuse_entries_without_format(trees: &impl Trees) -> Result<()> {
    for tree in Tree::ALL.into_iter().filter(|tree| *tree != Tree::Meta) {
        if trees.next(tree, &[]).await?.is_some() {
            let reason = format!("it is gone, but there are {}", tree.name());
            return Err(Error::corrupt(Tree::Meta, FORMAT_KEY, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryTrees;
    use crate::vault::MasterKey;

    async fn opened_with(write: Write) -> Result<u64> {
        let trees = MemoryTrees::default();
        let key = MasterKey::generate();
        open(&trees, Sealer::new(&key)).await?;
        trees.apply(vec![write], Wait::Durable).await?;
        open(&trees, Sealer::new(&key)).await.map(|(opening, _)| opening)
    }

    #[tokio::test]
    async fn a_store_that_does_not_fit_is_refused() {
        let put = |key: &[u8], value: &[u8]| Write::Put(Tree::Meta, key.into(), value.into());
        let newer = opened_with(put(FORMAT_KEY, &11_u32.to_be_bytes())).await.unwrap_err();
        assert!(matches!(newer, Error::NewerFormat { found: 11, known: FORMAT }), "{newer}");
        for damage in [
            put(FORMAT_KEY, b"x"),
            put(FORMAT_KEY, &0_u32.to_be_bytes()),
            put(CHECK_KEY, b""),
            put(OPENINGS_KEY, b"x"),
            Write::Delete(Tree::Meta, CHECK_KEY.into()),
            put(HASHES_KEY, b""),
            Write::Delete(Tree::Meta, HASHES_KEY.into()),
        ] {
            let error = opened_with(damage.clone()).await.unwrap_err();
            assert!(matches!(error, Error::Corrupt { tree: "meta", .. }), "{damage:?}: {error}");
        }
        assert_eq!(opened_with(put(b"unknown", b"x")).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_store_without_its_format_is_not_taken_for_a_new_one() {
        let trees = MemoryTrees::default();
        let entry = Write::Put(Tree::Heads, b"f".into(), b"x".into());
        trees.apply(vec![entry], Wait::Durable).await.unwrap();
        let error = open(&trees, Sealer::new(&MasterKey::generate())).await;
        let error = error.map(drop).unwrap_err();
        assert!(error.to_string().contains("meta, entry `format`"), "{error}");
    }
}
