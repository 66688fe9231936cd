//! The seen tables of flows that ran lately: a service does not read them at every poll.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::seen::SeenTable;

/// Smaller tables are read from the store faster than they are worth keeping.
const WORTH_KEEPING: usize = 4_096;
/// All kept tables together have no more entries: 50 MB.
const ENTRIES_AT_MOST: usize = 1_250_000;

/// Tables as they were when their runs ended. Cheap to ask.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    flow: String,
    /// The commit that the table stands at.
    sequence: u64,
    table: SeenTable,
}

impl Tables {
    /// Takes the table of a flow that still stands at this commit; one that does not is dropped.
    pub(crate) fn take(&self, flow: &str, sequence: u64) -> Option<SeenTable> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|kept| kept.flow == flow)?;
        kept.remove(at).filter(|kept| kept.sequence == sequence).map(|kept| kept.table)
    }

    /// Keeps a flow's table; those that were not used the longest make room for it.
    pub(crate) fn keep(&self, flow: &str, sequence: u64, mut table: SeenTable) {
        if !(WORTH_KEEPING..=ENTRIES_AT_MOST).contains(&table.len()) {
            return;
        }
        table.settle();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.flow != flow);
        kept.push_back(Kept { flow: flow.to_owned(), sequence, table });
        let mut entries: usize = kept.iter().map(|kept| kept.table.len()).sum();
        while entries > ENTRIES_AT_MOST {
            let Some(oldest) = kept.pop_front() else { return };
            entries -= oldest.table.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::Entry;

    fn table(entries: u32) -> SeenTable {
        let mut table = SeenTable::default();
        for n in 0..entries {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&n.to_le_bytes());
            table.set(key, Some(Entry { content: [0; 8], version: 0, sequence: 1 }));
        }
        table
    }

    #[test]
    fn a_table_is_good_only_at_its_commit_and_the_oldest_makes_room() {
        let tables = Tables::default();
        tables.keep("small", 1, table(10));
        assert!(tables.take("small", 1).is_none());

        tables.keep("a", 7, table(5_000));
        assert!(tables.take("a", 8).is_none(), "somebody else committed");
        assert!(tables.take("a", 7).is_none(), "it is gone");

        for flow in ["a", "b", "c"] {
            tables.keep(flow, 1, table(500_000));
        }
        assert!(tables.take("a", 1).is_none());
        assert_eq!(tables.take("b", 1).map(|table| table.len()), Some(500_000));
        assert!(tables.take("c", 1).is_some());
    }
}
