//! What the binary keeps between its processes: looked at, and brought to where it is hardest.

use std::collections::HashMap;

use serde_json::Value;
use store::{
    Commit, DeadLetter, Durability, MasterKey, Name, NamesChange, Seen, SeenChange, SledOptions,
    SledStore, Store,
};

use crate::story::{KEY, NAME, Story};

/// So many seen entries are kept in loose blocks; one more, and they are rolled.
const LOOSE: usize = 5_000;

/// More names than twice the live ones and so many are written anew.
const NAMES: usize = 4_096;

impl Story {
    async fn store(&self) -> SledStore {
        let key = MasterKey::from_text(KEY).unwrap();
        SledStore::open(SledOptions {
            path: self.store_folder(),
            key: &key,
            durability: Durability::Full,
        })
        .await
        .unwrap()
    }

    /// Brings the store to where the next commit rolls its blocks, the end of the next scan writes
    /// them anew, and the next deletes the names, by entries that repeat what is there.
    pub(crate) fn age(&self) {
        self.runtime.block_on(async {
            let store = self.store().await;
            let mut latest: HashMap<[u8; 16], Seen> = HashMap::new();
            let mut each =
                |entries: &[Seen]| latest.extend(entries.iter().map(|entry| (entry.key, *entry)));
            store.seen(NAME, &mut each).await.unwrap();
            let mut names: Vec<Name> = vec![];
            store
                .names(NAME, &mut |some: &[Name]| names.extend(some.iter().cloned()))
                .await
                .unwrap();
            let many = names.iter().cycle().take(2 * latest.len() + NAMES + 1).cloned().collect();
            let mut names = NamesChange::Append(many);
            let lease = store.lease(NAME).await.unwrap();
            let head = lease.head.unwrap();
            // The first ones are more than loose blocks take, so that these are rolled for sure.
            for (at, entries) in [LOOSE + 1, LOOSE].into_iter().enumerate() {
                let commit = Commit {
                    snapshot: head.snapshot.clone(),
                    seen: SeenChange::Append(
                        latest.values().copied().cycle().take(entries).collect(),
                    ),
                    names: std::mem::take(&mut names),
                    ..Commit::default()
                };
                let sequence = head.sequence + 1 + at as u64;
                store.commit(&lease.fence, sequence, commit).await.unwrap();
            }
        });
    }

    /// The ids of the dead letters that the binary lists.
    pub(crate) fn reported(&self) -> Vec<String> {
        let listed = self.towpath(&["dead-letters", "list", "--state", "any", "--json"]).output();
        let listed = listed.unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let id = |line: &str| {
            let letter: Value = serde_json::from_str(line).unwrap();
            letter["id"].as_str().unwrap().to_owned()
        };
        String::from_utf8(listed.stdout).unwrap().lines().map(id).collect()
    }

    /// Dead letters with everything that is kept of them.
    pub(crate) fn kept(&self, ids: &[String]) -> Vec<DeadLetter> {
        self.runtime.block_on(async {
            let store = self.store().await;
            let mut letters = vec![];
            for id in ids {
                letters.push(store.dead_letter(id).await.unwrap().unwrap());
            }
            letters
        })
    }
}
