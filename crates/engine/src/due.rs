//! Which of what waits at remote systems is asked after, in which parts, and when again.

use std::collections::HashSet;
use std::time::Duration;

use connector::Timestamp;
use store::{Parked, Store};

use crate::{Error, Result};

/// So many are asked after, and committed, together.
const TOGETHER: usize = 100;

/// No more are read together once they have so many bytes: a token may hold a file.
const TOGETHER_BYTES: usize = 32 * 1024 * 1024;

/// So many tokens of one message are kept at once, each before its request: the next one waits.
const MOST_AT_ONCE: u8 = 8;

/// How long a question that failed waits at least until it is asked again, and at most.
const WAITS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(3600)];

/// What is to be asked after: the id of it, and its message's.
pub(crate) struct Due {
    id: String,
    message_id: String,
    /// Of a token that this run kept: what it goes by.
    noted: Option<Noted>,
}

impl Due {
    pub(crate) fn at_once(parked: &Parked, noted: Noted) -> Self {
        let (id, message_id) = (parked.id.clone(), parked.message_id.clone());
        Self { id, message_id, noted: Some(noted) }
    }
}

/// A token that this run kept a moment ago, to be asked by at once.
#[derive(Clone)]
pub(crate) struct Noted {
    /// The token before it, which stays where nothing was carried out.
    pub(crate) before: String,
    /// How many tokens of the message were kept at once, this one included.
    count: u8,
}

/// What is due, in the order in which it is asked after.
#[derive(Default)]
pub(crate) struct AllDue(Vec<Due>);

impl AllDue {
    pub(crate) fn add(&mut self, parked: Parked) {
        self.0.push(Due { id: parked.id, message_id: parked.message_id, noted: None });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Has what was kept just now asked after next: before what else there is, since it was begun.
    pub(crate) fn go_on(&mut self, at_once: Vec<Due>) {
        self.0.splice(0..0, at_once);
    }

    /// Reads those that are asked after next, as many as memory holds: at most one a message, since
    /// what one gives may be what the other waits for. What is not there any more is left out.
    pub(crate) async fn next(
        &mut self,
        store: &dyn Store,
        flow: &str,
    ) -> Result<Vec<(Parked, Option<Noted>)>> {
        let mut messages = HashSet::new();
        let take =
            |it: &mut Due| messages.len() < TOGETHER && messages.insert(it.message_id.clone());
        let mut taken = self.0.extract_if(.., take).collect::<Vec<_>>().into_iter();
        let (mut read, mut bytes) = (vec![], 0_usize);
        while bytes < TOGETHER_BYTES
            && let Some(due) = taken.next()
        {
            let parked = store.parked_one(flow, &due.id).await;
            let parked = parked.map_err(|error| Error::store(flow, &error))?;
            let Some(parked) = parked else { continue };
            bytes = bytes.saturating_add(parked.token.len()).saturating_add(parked.payload.len());
            read.push((parked, due.noted));
        }
        self.0.splice(0..0, taken);
        Ok(read)
    }
}

impl Noted {
    /// What is noted where a token is kept that asks for no wait; `None` where too many were.
    pub(crate) fn behind(before: String, noted: Option<&Self>) -> Option<Self> {
        let count = noted.map_or(0, |noted| noted.count) + 1;
        (count <= MOST_AT_ONCE).then_some(Self { before, count })
    }
}

/// Whether it is to be asked after. What was handed over in the future is, once a run: a clock that
/// was wrong must not keep it waiting.
pub(crate) const fn is_due(parked: &Parked, began: i64) -> bool {
    parked.check_at <= began || parked.deadline <= began || parked.since > began
}

/// When it is asked again. Without a time of the system's own the waits grow with the time that it
/// has been waiting already, which doubles them.
pub(crate) fn again(parked: &Parked, now: Timestamp, after: Option<Duration>) -> i64 {
    let [shortest, longest] = WAITS;
    let own = now.since(Timestamp::from_millis(parked.since)).clamp(shortest, longest);
    let wait = after.unwrap_or(own).max(Duration::from_secs(1));
    now.plus(wait).millis()
}

#[cfg(test)]
mod tests {
    use store::{Commit, MasterKey, MemoryStore, ParkedChange};

    use super::*;

    fn parked(id: &str, message: &str) -> Parked {
        Parked {
            id: format!("{id:0>16}"),
            message_id: message.to_owned(),
            step: String::new(),
            record_key: String::new(),
            partition_key: [0; 16],
            since: 0,
            check_at: 0,
            deadline: 0,
            token: String::new(),
            payload: vec![],
        }
    }

    #[tokio::test]
    async fn no_more_is_read_together_than_memory_holds_and_one_a_message() {
        let token = "x".repeat(TOGETHER_BYTES / 2);
        let payload = vec![0; TOGETHER_BYTES - token.len()];
        let all = [
            Parked { token, ..parked("a", "1") },
            Parked { payload, ..parked("b", "2") },
            parked("c", "3"),
            parked("d", "3"),
            parked("e", "4"),
        ];
        let store = MemoryStore::new(MasterKey::generate());
        let fence = store.lease("flow").await.unwrap().fence;
        let put = all.iter().cloned().map(ParkedChange::Put).collect();
        store.commit(&fence, 1, Commit { parked: put, ..Commit::default() }).await.unwrap();
        let mut due = AllDue::default();
        all.into_iter().for_each(|it| due.add(it));
        for expected in [&["a", "b"][..], &["c", "e"], &["d"], &[]] {
            let read = due.next(&store, "flow").await.unwrap();
            let ids: Vec<_> = read.iter().map(|(it, _)| it.id.trim_start_matches('0')).collect();
            assert_eq!(ids, expected);
        }
        assert!(due.is_empty());
    }

    #[test]
    fn waits_double_up_to_an_hour_and_follow_what_the_system_says() {
        let parked = parked("", "");
        let wait = |now: i64, after: Option<u64>| {
            let now = Timestamp::from_secs(now);
            again(&parked, now, after.map(Duration::from_secs)) / 1000 - now.millis() / 1000
        };
        assert_eq!([3, 10, 60, 9000].map(|now| wait(now, None)), [10, 10, 60, 3600]);
        assert_eq!([0, 30].map(|after| wait(60, Some(after))), [1, 30]);
    }
}
