//! What a store says about itself: its format, whose key it is sealed with, how often it opened.

use crate::error::{Error, Result};
use crate::seal::Sealer;
use crate::trees::{Tree, Trees, Wait, Write};
use crate::vault::KeyId;

/// The format that this program writes.
const FORMAT: u32 = 2;

const FORMAT_KEY: &[u8] = b"format";
const CHECK_KEY: &[u8] = b"check";
const OPENINGS_KEY: &[u8] = b"openings";
const CHECK: &[u8] = b"towpath";

/// Checks that format and key fit, sets a new store up, and returns the number of this opening.
pub(crate) async fn open(trees: &impl Trees, sealer: &Sealer) -> Result<u64> {
    match found(trees).await? {
        None => {
            refuse_entries_without_format(trees).await?;
            trees.apply(first_writes(sealer)?, Wait::Durable).await?;
            return Ok(1);
        }
        Some(FORMAT | 1) => {}
        Some(found) if found > FORMAT => {
            return Err(Error::NewerFormat { found, known: FORMAT });
        }
        Some(found) => {
            let reason = format!("there was never a format {found}");
            return Err(Error::corrupt(Tree::Meta, FORMAT_KEY, reason));
        }
    }
    let check = key_check(trees).await?;
    if sealer.open(Tree::Meta, CHECK_KEY, &check)? != CHECK {
        return Err(Error::corrupt(Tree::Meta, CHECK_KEY, "the key check holds something else"));
    }
    migrate(trees).await?;
    let opening = number::<8>(trees, OPENINGS_KEY).await?.map_or(0, u64::from_be_bytes);
    let opening = opening.saturating_add(1);
    trees.apply(vec![openings(opening)], Wait::Durable).await?;
    Ok(opening)
}

/// Brings a store of an earlier format to this one, one step a format, each of which ends with the
/// write of its format.
async fn migrate(trees: &impl Trees) -> Result<()> {
    if found(trees).await? == Some(1) {
        // The second format only adds: a journal, parked work, a history and a trail, which are
        // empty, and fields of dead letters that may be absent.
        let format = Write::Put(Tree::Meta, FORMAT_KEY.to_vec(), 2_u32.to_be_bytes().to_vec());
        trees.apply(vec![format], Wait::Durable).await?;
    }
    Ok(())
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
    let check = sealer.seal(Tree::Meta, CHECK_KEY, CHECK)?;
    Ok(vec![
        Write::Put(Tree::Meta, CHECK_KEY.to_vec(), check),
        openings(1),
        Write::Put(Tree::Meta, FORMAT_KEY.to_vec(), FORMAT.to_be_bytes().to_vec()),
    ])
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
        let sealer = Sealer::new(&MasterKey::generate());
        open(&trees, &sealer).await?;
        trees.apply(vec![write], Wait::Durable).await?;
        open(&trees, &sealer).await
    }

    #[tokio::test]
    async fn a_store_that_does_not_fit_is_refused() {
        let put = |key: &[u8], value: &[u8]| Write::Put(Tree::Meta, key.into(), value.into());
        let newer = opened_with(put(FORMAT_KEY, &9_u32.to_be_bytes())).await.unwrap_err();
        assert!(matches!(newer, Error::NewerFormat { found: 9, known: FORMAT }), "{newer}");
        for damage in [
            put(FORMAT_KEY, b"x"),
            put(FORMAT_KEY, &0_u32.to_be_bytes()),
            put(CHECK_KEY, b""),
            put(OPENINGS_KEY, b"x"),
            Write::Delete(Tree::Meta, CHECK_KEY.into()),
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
        let error = open(&trees, &Sealer::new(&MasterKey::generate())).await.unwrap_err();
        assert!(error.to_string().contains("meta, entry `format`"), "{error}");
    }
}
