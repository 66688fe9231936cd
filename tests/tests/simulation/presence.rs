//! Which records a system shows, and since when: what may be told to be gone.

use std::collections::BTreeMap;

use crate::shape::{self, GONE};
use crate::world::{Place, World};

/// What a system shows; moments are counted in events of the world.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// Since when each record that is there is.
    since: BTreeMap<Place, usize>,
    /// When each record that is not there was for the last time.
    until: BTreeMap<Place, usize>,
    /// How often each key went from everywhere.
    went: BTreeMap<u32, u32>,
    /// How often each record came to count as gone.
    pub(crate) buried: BTreeMap<Place, u32>,
    moment: usize,
    /// When the last run asked what partitions there are.
    listed: usize,
}

impl World {
    /// Notes what is there now.
    pub(crate) fn take_stock(&mut self) {
        if !self.shape.deletes {
            return;
        }
        self.presence.moment += 1;
        let now = self.presence.moment;
        let there: Vec<Place> = self.wanted().map(|(place, _)| place).collect();
        let Presence { since, until, went, .. } = &mut self.presence;
        let gone: Vec<Place> = since.keys().filter(|it| !there.contains(it)).copied().collect();
        for place in &gone {
            since.remove(place);
            until.insert(*place, now);
        }
        for place in there {
            since.entry(place).or_insert(now);
        }
        let mut keys: Vec<u32> = gone.into_iter().map(|(_, key)| key).collect();
        keys.dedup();
        for key in keys.into_iter().filter(|key| since.keys().all(|(_, other)| other != key)) {
            *went.entry(key).or_default() += 1;
        }
    }

    /// A run asks what partitions there are: from here on it may find out what is gone.
    pub(crate) fn begin_listing(&mut self) {
        self.presence.moment += 1;
        self.presence.listed = self.presence.moment;
    }

    /// How often a key went from everywhere.
    pub(crate) fn went(&self, key: u32) -> u32 {
        self.presence.went.get(&key).copied().unwrap_or(0)
    }

    pub(crate) fn is_there(&self, place: Place) -> bool {
        self.presence.since.contains_key(&place)
    }

    /// Says that a key is gone: in every partition it must not have been there for a moment of
    /// this run.
    pub(crate) fn watch_gone(&mut self, key: u32) {
        let Presence { since, listed, .. } = &self.presence;
        let all_along = |place| since.get(&place).is_some_and(|since| since < listed);
        let found = (0..self.held.len()).find(|partition| all_along((*partition, key)));
        if let Some(partition) = found {
            self.breaks(|| format!("{key} is told to be gone, and is in partition {partition}"));
        }
    }

    /// A record counts as gone: that was told, or it was somewhere else when this run looked.
    pub(crate) fn is_told(&self, (_, key): Place, is_held: impl Fn(i64, usize) -> bool) -> bool {
        let value = shape::gone(key);
        let Presence { since, until, listed, .. } = &self.presence;
        let elsewhere = since.keys().any(|(_, other)| *other == key)
            || until.iter().any(|((_, other), until)| *other == key && until > listed);
        self.targets[GONE].done.contains_key(&value) || is_held(value, GONE) || elsewhere
    }
}
