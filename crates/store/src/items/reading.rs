//! Reading items: one by its id, or all of a flow, some of them in memory at once.

use crate::error::{Error, Result};
use crate::items::{newest_versions, version};
use crate::layout::{self, StoredLetter, StoredParked, Version};
use crate::protocol::Core;
use crate::store::{DeadLetter, DeadLetterSummary, Parked};
use crate::trees::{Tree, Trees};

/// The ids that an error about an ambiguous one names at most.
const CANDIDATES_NAMED: usize = 10;

/// So many bytes of items are in memory at once, and the item that comes to it.
const BYTES_READ_AT_ONCE: usize = 256 * 1024;

/// Takes id, key and value of an item, and says whether it wants more.
type Each<'a> = dyn FnMut(&str, &[u8], &[u8]) -> Result<bool> + Send + 'a;

/// The versions of one item, as far as they were read.
struct Versions {
    id: String,
    /// Key and value of the newest committed one, unless the item is gone by then.
    newest: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether none of those so far was committed when the reading began.
    is_new: bool,
}

impl<T: Trees> Core<T> {
    pub(crate) async fn each_dead_letter(
        &self,
        flow: Option<&str>,
        each: &mut (dyn FnMut(DeadLetterSummary) -> bool + Send),
    ) -> Result<()> {
        let tree = Tree::DeadLetters;
        let flows = match flow {
            Some(flow) => vec![flow.to_owned()],
            None => self.flows_in(tree).await?,
        };
        for flow in flows {
            let mut summary = |id: &str, key: &[u8], plain: &[u8]| {
                let (stored, _) = stored_letter(key, plain)?;
                Ok(each(DeadLetterSummary {
                    id: id.to_owned(),
                    flow: flow.clone(),
                    attempts: stored.tried(),
                    step: stored.step,
                    code: stored.code,
                    at: stored.at,
                    state: stored.state,
                    edited: stored.edited,
                    partition_key: stored.partition_key,
                }))
            };
            if !self.each_item(tree, &flow, &mut summary).await? {
                break;
            }
        }
        Ok(())
    }

    pub(crate) async fn dead_letter(&self, prefix: &str) -> Result<Option<DeadLetter>> {
        let tree = Tree::DeadLetters;
        if prefix.len() == layout::ID_LEN {
            // A whole id needs no list of all others.
            for flow in self.flows_in(tree).await? {
                if let Some(letter) = self.letter(&flow, prefix).await? {
                    return Ok(Some(letter));
                }
            }
            return Ok(None);
        }
        let mut found = Vec::new();
        for flow in self.flows_in(tree).await? {
            let versions = self.trees.keys(tree, &layout::item_prefix(&flow, prefix)).await?;
            let committed = self.stored_head(&flow).await?.map_or(0, |head| head.tip.sequence);
            let begin_so = newest_versions(tree, &versions, |_| committed)?;
            for key in begin_so {
                found.push((flow.clone(), version(tree, key)?.id.to_owned()));
            }
        }
        match &found[..] {
            [] => Ok(None),
            [(flow, id)] => self.letter(flow, id).await,
            _ => {
                found.sort();
                let candidates = found.into_iter().map(|(_, id)| id).take(CANDIDATES_NAMED);
                let candidates = candidates.collect();
                Err(Error::AmbiguousId { prefix: prefix.to_owned(), candidates })
            }
        }
    }

    pub(crate) async fn each_parked(
        &self,
        flow: &str,
        each: &mut (dyn FnMut(Parked) -> bool + Send),
    ) -> Result<()> {
        let mut parked =
            |id: &str, key: &[u8], plain: &[u8]| Ok(each(stored_parked(id, key, plain)?));
        self.each_item(Tree::Parked, flow, &mut parked).await.map(drop)
    }

    pub(crate) async fn parked_one(&self, flow: &str, id: &str) -> Result<Option<Parked>> {
        let found = self.item(Tree::Parked, flow, id).await?;
        found.map(|(key, plain)| stored_parked(id, &key, &plain)).transpose()
    }

    /// Gives id, key and value of every committed item of a flow, by id, until `each` says `false`;
    /// returns whether it never did.
    async fn each_item(&self, tree: Tree, flow: &str, each: &mut Each<'_>) -> Result<bool> {
        let committed = self.stored_head(flow).await?.map_or(0, |head| head.tip.sequence);
        let (mut from, until) = (layout::flow_prefix(flow), layout::behind_flow(flow));
        let mut held: Option<Versions> = None;
        loop {
            let entries = self.trees.entries(tree, &from, &until, BYTES_READ_AT_ONCE).await?;
            let Some((last, _)) = entries.last() else { break };
            // The first key behind the last one.
            from = [&last[..], &[0]].concat();
            for (key, value) in entries {
                let Version { id, sequence, is_gone, .. } = version(tree, &key)?;
                if held.as_ref().is_none_or(|held| held.id != id) {
                    let next = Versions { id: id.to_owned(), newest: None, is_new: true };
                    if let Some(whole) = held.replace(next)
                        && !self.give(tree, flow, whole, each).await?
                    {
                        return Ok(false);
                    }
                }
                if let Some(held) = held.as_mut().filter(|_| sequence <= committed) {
                    held.is_new = false;
                    held.newest = (!is_gone).then_some((key, value));
                }
            }
        }
        match held {
            Some(whole) => self.give(tree, flow, whole, each).await,
            None => Ok(true),
        }
    }

    async fn give(
        &self,
        tree: Tree,
        flow: &str,
        item: Versions,
        each: &mut Each<'_>,
    ) -> Result<bool> {
        let found = match item.newest {
            Some((key, sealed)) => {
                let plain = self.sealer.open(tree, &key, &sealed)?;
                Some((key, plain))
            }
            // A commit took its place meanwhile, or began to.
            None if item.is_new => self.item(tree, flow, &item.id).await?,
            None => None,
        };
        found.map_or(Ok(true), |(key, plain)| each(&item.id, &key, &plain))
    }

    /// Lists the flows that a tree has anything of.
    async fn flows_in(&self, tree: Tree) -> Result<Vec<String>> {
        let mut flows = Vec::new();
        let mut from = Vec::new();
        while let Some(key) = self.trees.next(tree, &from).await? {
            let Version { flow, .. } = version(tree, &key)?;
            from = layout::behind_flow(flow);
            flows.push(flow.to_owned());
        }
        Ok(flows)
    }

    /// Returns key and value of the newest committed version of an item.
    async fn item(&self, tree: Tree, flow: &str, id: &str) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        loop {
            let committed = self.stored_head(flow).await?.map_or(0, |head| head.tip.sequence);
            let versions = self.trees.keys(tree, &layout::item_prefix(flow, id)).await?;
            let Some(key) = newest_versions(tree, &versions, |_| committed)?.next() else {
                return Ok(None);
            };
            // A newer version may have taken this one's place meanwhile: look again.
            if let Some(plain) = self.opened_entry(tree, key).await? {
                return Ok(Some((key.clone(), plain)));
            }
        }
    }

    /// Returns the newest committed version of a dead letter.
    pub(super) async fn letter(&self, flow: &str, id: &str) -> Result<Option<DeadLetter>> {
        let tree = Tree::DeadLetters;
        let Some((key, plain)) = self.item(tree, flow, id).await? else { return Ok(None) };
        let (stored, payload) = stored_letter(&key, &plain)?;
        Ok(Some(DeadLetter {
            id: id.to_owned(),
            flow: flow.to_owned(),
            sequence: version(tree, &key)?.sequence,
            attempts: stored.tried(),
            message_id: stored.message_id,
            step: stored.step,
            code: stored.code,
            reason: stored.reason,
            at: stored.at,
            payload: payload.to_vec(),
            record_key: stored.record_key,
            partition_key: stored.partition_key,
            state: stored.state,
            edited: stored.edited,
        }))
    }
}

impl StoredLetter {
    /// When it was tried: letters of the first format say nothing of it.
    fn tried(&self) -> Vec<i64> {
        if self.attempts.is_empty() { vec![self.at] } else { self.attempts.clone() }
    }
}

fn stored_letter<'a>(key: &[u8], plain: &'a [u8]) -> Result<(StoredLetter, &'a [u8])> {
    let unreadable = || Error::corrupt(Tree::DeadLetters, key, "the entry does not parse");
    layout::split(plain).ok_or_else(unreadable)
}

fn stored_parked(id: &str, key: &[u8], plain: &[u8]) -> Result<Parked> {
    let unreadable = || Error::corrupt(Tree::Parked, key, "the entry does not parse");
    let (stored, payload): (StoredParked, _) = layout::split(plain).ok_or_else(unreadable)?;
    Ok(Parked {
        id: id.to_owned(),
        message_id: stored.message_id,
        step: stored.step,
        record_key: stored.record_key,
        partition_key: stored.partition_key,
        since: stored.since,
        check_at: stored.check_at,
        deadline: stored.deadline,
        token: stored.token,
        payload: payload.to_vec(),
    })
}
