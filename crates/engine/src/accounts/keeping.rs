//! What is known of accounts, taken to the store and back.

use std::time::Duration;

use super::breaker::Breaker;
use super::outage::{LONGEST_GAP, Ongoing};
use super::pause::{Hold, Pause};
use super::{Accounts, Guarded, kept};
use crate::watch::AccountChange;

/// Something that the store keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    /// Before its pause: what is held goes on by nobody, whatever comes between the two writes.
    Hold(String),
    Pause(String),
    Breaker(String, String),
    Outage(String, String),
}

impl Entry {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Hold(account) => kept::hold_name(account),
            Self::Pause(account) => kept::pause_name(account),
            Self::Breaker(identity, class) => kept::breaker_name(identity, class),
            Self::Outage(identity, class) => kept::outage_name(identity, class),
        }
    }
}

impl Accounts {
    /// Writes what changed. What fails is written at the end of the next run: until then it is
    /// known here. Without it the next process finds out by itself, but for a hold: who begins one
    /// looks whether it was written.
    pub(crate) async fn keep(&self) {
        let _writing = self.writing.lock().await;
        let entries = {
            let mut state = self.state();
            // Who was broken off in the middle of writing left some.
            let new = std::mem::take(&mut state.unkept);
            state.in_writing.extend(new);
            state.in_writing.clone()
        };
        for entry in entries {
            let written = match self.value(&entry) {
                Some(value) => self.store.vault_put(&entry.name(), &value).await,
                None => self.store.vault_remove(&entry.name()).await.map(drop),
            };
            let mut state = self.state();
            state.in_writing.remove(&entry);
            if let Err(error) = written {
                tracing::debug!(%error, "an account's state was not kept");
                state.unkept.insert(entry);
            }
        }
    }

    /// Takes over what the process before kept.
    pub(super) async fn load(&self) -> store::Result<()> {
        let kept::All { pauses, holds, breakers, outages } = kept::all(&*self.store).await?;
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let mut state = self.state();
        for it in pauses {
            // A pause of the future was begun by a clock that was wrong: it is probed at once, lest
            // processes that run once each wait until that future comes.
            let left = if it.since > now { Duration::ZERO } else { it.next.since(now) };
            let waits = (Duration::from_secs(it.wait_seconds), left);
            let pause = Pause::resumed(it.since, elapsed, (it.reason, it.fingerprint), waits);
            state.pauses.entry(it.account).or_insert(pause);
        }
        for kept::KeptHold { account, since, reason, fingerprint } in holds {
            let hold = Hold { since, reason, fingerprint };
            state.holds.entry(account).or_insert(hold);
        }
        for it in breakers {
            let breaker = Breaker::reopened(Duration::from_secs(it.wait_seconds));
            let (account, since, reason) = (it.account, it.since, it.reason);
            let guarded = Guarded { breaker, account, since, reason };
            state.breakers.entry(it.identity).or_default().entry(it.class).or_insert(guarded);
        }
        for it in outages {
            if now.since(it.last) > LONGEST_GAP {
                // Nobody will ask again what an identity that is not used any more would answer.
                state.unkept.insert(Entry::Outage(it.identity, it.class));
                continue;
            }
            let (account, since, last, advice) = (it.account, it.since, it.last, it.advice);
            let lasted = last.since(since);
            let outage =
                Ongoing { account, since, last, noticed: elapsed, lasted, kept: last, advice };
            state.outages.entry(it.identity).or_default().entry(it.class).or_insert(outage);
        }
        Ok(())
    }

    /// What the store keeps of an account, as far as it knows already.
    pub(super) fn of(&self, account: &str) -> Vec<Entry> {
        let state = self.state();
        let mut entries = vec![];
        if state.holds.contains_key(account) {
            entries.push(Entry::Hold(account.to_owned()));
        }
        if state.pauses.contains_key(account) {
            entries.push(Entry::Pause(account.to_owned()));
        }
        let identity = state.fingerprints.get(account).map(|known| known.identity.as_str());
        let breakers =
            identity.and_then(|identity| Some((identity, state.breakers.get(identity)?)));
        if let Some((identity, breakers)) = breakers {
            let open = breakers.iter().filter(|(_, guarded)| guarded.breaker.is_open());
            entries
                .extend(open.map(|(class, _)| Entry::Breaker(identity.to_owned(), class.clone())));
        }
        let outages = identity.and_then(|it| Some((it, state.outages.get(it)?)));
        if let Some((identity, outages)) = outages {
            let kept =
                outages.keys().map(|class| Entry::Outage(identity.to_owned(), class.clone()));
            entries.extend(kept);
        }
        let unknown = |it: &Entry| state.unkept.contains(it) || state.in_writing.contains(it);
        entries.retain(|entry| !unknown(entry));
        entries
    }

    /// Ends a pause, a hold or an outage, or closes a breaker.
    pub(super) fn forget(&self, entry: &Entry) {
        let mut state = self.state();
        match entry {
            Entry::Pause(account) => {
                state.pauses.remove(account);
                state.unkept.insert(entry.clone());
                let holds = state.holds.contains_key(account);
                drop(state);
                self.say(account, &AccountChange::Resumed { holds });
            }
            Entry::Hold(account) => {
                state.holds.remove(account);
                state.unkept.insert(entry.clone());
                drop(state);
                self.say(account, &AccountChange::Released);
            }
            Entry::Breaker(identity, class) => {
                let breakers = state.breakers.get_mut(identity);
                let guarded = breakers.and_then(|breakers| breakers.remove(class));
                drop(state);
                if let Some(guarded) = guarded {
                    self.say(&guarded.account, &AccountChange::BreakerClosed { class });
                }
            }
            Entry::Outage(identity, class) => {
                let outages = state.outages.get_mut(identity);
                let outage = outages.and_then(|outages| outages.remove(class));
                drop(state);
                if let Some(outage) = outage.filter(|it| it.advice.is_some()) {
                    self.say(&outage.account, &AccountChange::OutageOver { class });
                }
            }
        }
    }

    fn value(&self, entry: &Entry) -> Option<Vec<u8>> {
        let state = self.state();
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let written = match entry {
            Entry::Pause(account) => {
                let pause = state.pauses.get(account)?;
                serde_json::to_vec(&kept::KeptPause {
                    account: account.clone(),
                    since: pause.since,
                    next: now.plus(pause.left(elapsed)),
                    wait_seconds: kept::seconds(pause.wait),
                    reason: pause.reason.clone(),
                    fingerprint: pause.fingerprint.clone(),
                })
            }
            Entry::Hold(account) => {
                let Hold { since, reason, fingerprint } = state.holds.get(account)?.clone();
                let account = account.clone();
                serde_json::to_vec(&kept::KeptHold { account, since, reason, fingerprint })
            }
            Entry::Breaker(identity, class) => {
                let guarded = state.breakers.get(identity)?.get(class)?;
                if !guarded.breaker.is_open() {
                    return None;
                }
                serde_json::to_vec(&kept::KeptBreaker {
                    account: guarded.account.clone(),
                    identity: identity.clone(),
                    class: class.clone(),
                    since: guarded.since,
                    next: now.plus(guarded.breaker.open_for(elapsed)),
                    wait_seconds: kept::seconds(guarded.breaker.wait()),
                    reason: guarded.reason.clone(),
                })
            }
            Entry::Outage(identity, class) => {
                let outage = state.outages.get(identity)?.get(class)?;
                serde_json::to_vec(&Self::kept_outage(outage, identity, class))
            }
        };
        written.ok()
    }
}
