//! Commits what is settled beside pages: the snapshot stays as it is.

use std::collections::HashMap;

use store::{
    Commit, Counts, LetterChange, LetterMark, LetterState, NamesChange, ParkedChange, SeenChange,
};

use crate::age::Before;
use crate::run::Run;
use crate::settled::Settled;
use crate::{Error, Event, Result};

/// What was settled beside pages.
#[derive(Default)]
pub(crate) struct Beside {
    pub(crate) settled: Settled,
    /// What becomes of work that was parked before.
    pub(crate) parked: Vec<ParkedChange>,
    pub(crate) seen: SeenChange,
    pub(crate) names: NamesChange,
    /// Messages that were made for it.
    pub(crate) emitted: u64,
    /// The messages that are not new, by the tags of their ids.
    pub(crate) before: HashMap<[u8; 8], Before>,
    /// What becomes of dead letters that were sent again.
    pub(crate) letters: Vec<LetterChange>,
}

impl Beside {
    /// Takes note of a message that is not new.
    pub(crate) fn was_before(&mut self, message: Before) {
        self.before.insert(message.message, message);
    }
}

impl Run {
    /// Commits it under the flow's lease, as one.
    pub(crate) async fn commit_beside(&mut self, beside: Beside) -> Result<()> {
        let flow = self.context.flow.clone();
        let Beside { mut settled, mut parked, seen, names, emitted, before, mut letters } = beside;
        for overtaken in self.overtaken(&mut settled, &before).await? {
            let own = letters.iter().position(|own| own.id == overtaken.id);
            match own.and_then(|own| letters.get_mut(own)) {
                // What was sent is sent; what was refused again is overtaken.
                Some(LetterChange { change: LetterMark::Failed { state, .. }, .. }) => {
                    *state = LetterState::Superseded;
                }
                Some(_) => {}
                None => letters.push(overtaken),
            }
        }
        self.tell_others(&settled, &before, &mut parked, &mut letters).await?;
        let counts = Counts {
            emitted,
            filtered: settled.filtered,
            echoed: settled.echoed,
            overruled: settled.overruled,
            delivered: settled.delivered,
            dead_lettered: settled.dead_letters.len() as u64,
            ..Counts::default()
        };
        self.report.parked += settled.parked.len() as u64;
        let (echoes, _turn) = self.context.echoes_of(&mut settled).await?;
        let trail = settled.trail(self.context.clock.now());
        parked.extend(settled.parked.into_iter().map(ParkedChange::Put));
        let (stored, appended) = match &seen {
            SeenChange::Append(entries) => {
                let added = entries.len() as u64;
                (self.stored + added, self.appended + added)
            }
            SeenChange::Replace(parts) => (parts.iter().map(|part| part.len() as u64).sum(), 0),
        };
        let journal = self.context.journal.clone();
        let mut settling = vec![];
        if let Some(journal) = &journal {
            settling.push(journal.settle(false, &settled.journaled).await?);
            settling.push(journal.settle(true, &settled.resumed).await?);
        }
        let obsolete = settling.iter().flat_map(|it| it.obsolete.iter().copied());
        let forgotten = settled.journal.iter().copied().chain(obsolete).collect();
        let commit = Commit {
            journal: forgotten,
            snapshot: self.snapshot.write(&flow.name)?,
            dead_letters: settled.dead_letters,
            letters,
            parked,
            seen,
            names,
            echoes,
            trail,
            counts,
            ..Commit::default()
        };
        self.context.watch.at("engine.commit.next");
        let began = self.context.clock.now();
        let done = self.context.store.commit(&self.fence, self.sequence + 1, commit).await;
        self.context.watch.at("engine.commit.done");
        if let Err(error) = done {
            // What the table holds may not be what the store has.
            self.seen = None;
            return Err(Error::store(&flow.name, &error));
        }
        if let Some(journal) = &journal {
            journal.forgotten(&settled.journal);
            settling.into_iter().for_each(|it| journal.settled(it));
        }
        self.sequence += 1;
        (self.stored, self.appended) = (stored, appended);
        self.report.add(counts);
        let took = Some(self.context.clock.now().since(began));
        self.context.watch.on(&Event::Committed { flow: &flow.name, counts, took });
        Ok(())
    }
}
