//! What all flows share of the accounts: limits, circuit breakers, pauses, holds and outages.
//!
//! Breakers belong to the credentials' identity and a limit class, as limits do; a pause and a hold
//! belong to an account. They are asked before every request. They and outages learn from every
//! answer, and are kept in the store at the end of a run, a hold at once. Waits are reckoned by what has
//! elapsed: a clock that is set makes none of them longer or shorter.

mod breaker;
mod desk;
mod keeping;
mod kept;
mod outage;
mod pause;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use connector::{Clock, Limiter, OutageAdvice, Timestamp};
use store::Store;
use tokio::sync::{Notify, OnceCell};

use crate::limits::{Limits, Turn};
use crate::watch::AccountChange;
use crate::{Error, Event, Place, Result, Watch};
use breaker::Breaker;
use desk::Desk;
use keeping::Entry;
pub use kept::{AccountState, Held, Open, Outage, Rest};
pub(crate) use kept::{resume, states};
pub(crate) use outage::Lasted;
use outage::Ongoing;
use pause::{Hold, Pause};

/// The accounts as all flows see them.
pub(crate) struct Accounts {
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    limits: Limits,
    state: Mutex<State>,
    loaded: OnceCell<()>,
    /// Held by who writes: whoever comes next finds what it wrote.
    writing: tokio::sync::Mutex<()>,
    watch: OnceLock<Arc<dyn Watch>>,
    /// An outage has lasted for as long as its connector says.
    lasts: Notify,
}

#[derive(Default)]
struct State {
    /// Which credentials an account has now, by its name.
    fingerprints: HashMap<String, Known>,
    /// By account.
    pauses: HashMap<String, Pause>,
    /// By account.
    holds: HashMap<String, Hold>,
    /// By identity and class.
    breakers: HashMap<String, HashMap<String, Guarded>>,
    /// By identity and class.
    outages: HashMap<String, HashMap<String, Ongoing>>,
    /// What the store does not know yet.
    unkept: BTreeSet<Entry>,
    /// What is being written: the store knows it in a moment.
    in_writing: BTreeSet<Entry>,
}

struct Known {
    identity: String,
    fingerprint: String,
    /// What its connector says of outages.
    advice: Option<OutageAdvice>,
}

/// A breaker, and whom it was opened by.
#[derive(Default)]
struct Guarded {
    breaker: Breaker,
    account: String,
    since: Timestamp,
    reason: String,
}

/// A use of an account that a run is about to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use<'a> {
    pub(crate) place: &'a Place,
    /// Whether it must not be made again once the account was refused.
    pub(crate) held: bool,
}

impl Accounts {
    pub(crate) fn new(clock: Arc<dyn Clock>, store: Arc<dyn Store>) -> Self {
        Self {
            limits: Limits::new(clock.clone()),
            clock,
            store,
            state: Mutex::default(),
            loaded: OnceCell::new(),
            writing: tokio::sync::Mutex::default(),
            watch: OnceLock::new(),
            lasts: Notify::new(),
        }
    }

    /// Tells `watch` of pauses and breakers from now on; the first one stays.
    pub(crate) fn tell(&self, watch: Arc<dyn Watch>) {
        // A second one would not be told of what the first was.
        drop(self.watch.set(watch));
    }

    /// The limiter of an account with these credentials, which may be others than before.
    /// `advice` is what its connector says of outages.
    pub(crate) fn limiter(
        self: &Arc<Self>,
        account: &connector::Account,
        advice: Option<OutageAdvice>,
    ) -> Arc<dyn Limiter> {
        let name = account.name();
        let (identity, fingerprint) = (account.identity(), self.fingerprint(account));
        let known = Known { identity, fingerprint, advice };
        self.state().fingerprints.insert(name.to_owned(), known);
        self.limiter_of(name, Turn::First, false)
    }

    /// A limiter of an account whose credentials are known, for requests that let all others go
    /// first, such as those of a backfill, or that are `held` once they were refused.
    pub(crate) fn limiter_of(
        self: &Arc<Self>,
        account: &str,
        turn: Turn,
        held: bool,
    ) -> Arc<dyn Limiter> {
        Arc::new(Desk { accounts: self.clone(), account: account.into(), turn, held })
    }

    /// Which credentials these are, so that nobody can guess them.
    pub(crate) fn fingerprint(&self, account: &connector::Account) -> String {
        let hash = account.fingerprint(|parts| self.store.keyed_hash("account", parts));
        blake3::Hash::from_bytes(hash).to_hex().chars().take(32).collect()
    }

    /// Whether an account's credentials are these.
    pub(crate) fn has(&self, account: &str, fingerprint: &str) -> bool {
        let state = self.state();
        state.fingerprints.get(account).is_some_and(|known| known.fingerprint == fingerprint)
    }

    /// Whether an account is paused, or something of it held.
    pub(crate) fn is_left_alone(&self, account: &str) -> bool {
        let state = self.state();
        state.pauses.contains_key(account) || state.holds.contains_key(account)
    }

    /// Refuses a run that uses its accounts so, in this order, if one of them is paused, unless a
    /// request of the run may be the next probe; and if what it uses is held.
    ///
    /// A pause and a hold end where the credentials are others than those that were refused, or
    /// where somebody took them out of the store.
    pub(crate) async fn admit(&self, uses: &[Use<'_>]) -> Result<()> {
        let mut probed = BTreeSet::new();
        for &Use { place, held } in uses {
            let failed = |error: store::Error| Error::store(&place.flow, &error);
            self.loaded.get_or_try_init(|| self.load()).await.map_err(failed)?;
            self.look_again(&place.account).await.map_err(failed)?;
            let probes = !held || probed.contains(place.account.as_str());
            self.admit_one(place, held, probes)?;
            if !held {
                probed.insert(place.account.as_str());
            }
        }
        Ok(())
    }

    fn admit_one(&self, place: &Place, held: bool, probes: bool) -> Result<()> {
        let paused = |since, reason: &str, after| {
            Err(Error::Paused { place: place.clone(), since, reason: reason.into(), after })
        };
        let state = self.state();
        if held && let Some(hold) = state.holds.get(&place.account) {
            return paused(hold.since, &hold.reason, None);
        }
        let Some(pause) = state.pauses.get(&place.account) else { return Ok(()) };
        let left = pause.left(self.clock.elapsed());
        if left.is_zero() && probes {
            return Ok(());
        }
        // A probe of others may be under way.
        let after = if left.is_zero() { pause::FIRST } else { left };
        paused(pause.since, &pause.reason, Some(after))
    }

    /// Ends what is kept no more, and what is about other credentials than the account has now.
    async fn look_again(&self, account: &str) -> store::Result<()> {
        for entry in self.of(account) {
            if self.store.vault_get(&entry.name()).await?.is_none() {
                self.forget(&entry);
            }
        }
        for entry in self.outdated(account) {
            self.forget(&entry);
        }
        Ok(())
    }

    fn outdated(&self, account: &str) -> Vec<Entry> {
        let state = self.state();
        let Some(known) = state.fingerprints.get(account) else { return vec![] };
        let hold = state.holds.get(account).filter(|it| it.fingerprint != known.fingerprint);
        let pause = state.pauses.get(account).filter(|it| it.fingerprint != known.fingerprint);
        let hold = hold.map(|_| Entry::Hold(account.to_owned()));
        hold.into_iter().chain(pause.map(|_| Entry::Pause(account.to_owned()))).collect()
    }

    /// Pauses an account after a connector found that its credentials are refused, where the
    /// answer itself did not say so.
    pub(crate) fn refused(&self, account: &str, reason: &str) {
        self.pause(account, reason);
    }

    /// Pauses an account and holds what must not be sent again with it, after a request of that kind
    /// was refused; says whether the store knows of it. The next process has to know, since it cannot
    /// find out without sending once more.
    ///
    /// Where the account's settings are others by now than those that were refused, nothing is held.
    pub(crate) async fn hold(&self, account: &connector::Account, reason: &str) -> bool {
        let (name, fingerprint) = (account.name(), self.fingerprint(account));
        if !self.has(name, &fingerprint) {
            return true;
        }
        self.pause(name, reason);
        let is_new = {
            let mut state = self.state();
            let is_new = !state.holds.contains_key(name);
            if is_new {
                let since = state.pauses.get(name).map_or_else(|| self.clock.now(), |it| it.since);
                let hold = Hold { since, reason: reason.to_owned(), fingerprint };
                state.holds.insert(name.to_owned(), hold);
                state.unkept.insert(Entry::Hold(name.to_owned()));
            }
            is_new
        };
        if is_new {
            self.say(name, &AccountChange::Held { reason });
        }
        // Also of one that another request began: it may be on its way to the store.
        self.keep().await;
        !self.state().unkept.contains(&Entry::Hold(name.to_owned()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, account: &str, change: &AccountChange<'_>) {
        if let Some(watch) = self.watch.get() {
            watch.on(&Event::Account { account, change });
        }
    }

    fn pause(&self, account: &str, reason: &str) {
        let mut state = self.state();
        let Some(known) = state.fingerprints.get(account) else { return };
        let fingerprint = known.fingerprint.clone();
        if state.pauses.contains_key(account) {
            return;
        }
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let pause = Pause::new(now, elapsed, reason.to_owned(), fingerprint);
        state.pauses.insert(account.to_owned(), pause);
        state.unkept.insert(Entry::Pause(account.to_owned()));
        drop(state);
        self.say(account, &AccountChange::Paused { reason, wait: pause::FIRST });
    }
}
