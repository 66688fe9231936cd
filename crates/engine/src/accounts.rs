//! What all flows share of the accounts: limits, circuit breakers, pauses and outages.
//!
//! Breakers belong to the credentials' identity and a limit class, as limits do; a pause belongs to
//! an account. Both are asked before every request. They and outages learn from every answer, and
//! are kept in the store at the end of a run. Waits are reckoned by what has elapsed: a clock that is set
//! makes none of them longer or shorter.

mod breaker;
mod kept;
mod outage;
mod pause;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use connector::{
    Admission, Answer, Clock, Error as Call, Limit, Limiter, OutageAdvice, Permit, Timestamp,
};
use store::Store;
use tokio::sync::OnceCell;

use crate::limits::{self, Limits, Turn};
use crate::watch::AccountChange;
use crate::{Error, Event, Place, Result, Watch};
use breaker::{Breaker, Change, Pass};
pub use kept::{AccountState, Open, Outage, Rest};
pub(crate) use kept::{resume, states};
use outage::Ongoing;
use pause::{Closed, Pause};

/// The accounts as all flows see them.
pub(crate) struct Accounts {
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    limits: Limits,
    state: Mutex<State>,
    loaded: OnceCell<()>,
    watch: OnceLock<Arc<dyn Watch>>,
}

#[derive(Default)]
struct State {
    /// Which credentials an account has now, by its name.
    fingerprints: HashMap<String, Known>,
    /// By account.
    pauses: HashMap<String, Pause>,
    /// By identity and class.
    breakers: HashMap<String, HashMap<String, Guarded>>,
    /// By identity and class.
    outages: HashMap<String, HashMap<String, Ongoing>>,
    /// What the store does not know yet.
    unkept: BTreeSet<Entry>,
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

/// Something that the store keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Pause(String),
    Breaker(String, String),
    Outage(String, String),
}

impl Entry {
    fn name(&self) -> String {
        match self {
            Self::Pause(account) => kept::pause_name(account),
            Self::Breaker(identity, class) => kept::breaker_name(identity, class),
            Self::Outage(identity, class) => kept::outage_name(identity, class),
        }
    }
}

/// The limiter of one account.
struct Desk {
    accounts: Arc<Accounts>,
    account: Arc<str>,
    turn: Turn,
}

/// A request under way.
struct Admitted {
    accounts: Arc<Accounts>,
    account: Arc<str>,
    identity: String,
    class: &'static str,
    began: Timestamp,
    place: limits::Place,
    pass: Pass,
    /// Whether it probes a paused account.
    probes: bool,
    told: bool,
}

impl Accounts {
    pub(crate) fn new(clock: Arc<dyn Clock>, store: Arc<dyn Store>) -> Self {
        Self {
            limits: Limits::new(clock.clone()),
            clock,
            store,
            state: Mutex::default(),
            loaded: OnceCell::new(),
            watch: OnceLock::new(),
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
        self.desk(name, Turn::First)
    }

    /// The limiter of an account for requests that let all others go first, such as those of a
    /// backfill.
    pub(crate) fn behind(self: &Arc<Self>, account: &str) -> Arc<dyn Limiter> {
        self.desk(account, Turn::Behind)
    }

    fn desk(self: &Arc<Self>, account: &str, turn: Turn) -> Arc<dyn Limiter> {
        Arc::new(Desk { accounts: self.clone(), account: account.into(), turn })
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

    pub(crate) fn is_paused(&self, account: &str) -> bool {
        self.state().pauses.contains_key(account)
    }

    /// Refuses a run whose account is paused, unless a request of it may be the next probe.
    ///
    /// A pause ends where the credentials are others than those that were refused, or where
    /// somebody took it out of the store.
    pub(crate) async fn admit(&self, place: &Place) -> Result<()> {
        let failed = |error: store::Error| Error::store(&place.flow, &error);
        self.loaded.get_or_try_init(|| self.load()).await.map_err(failed)?;
        let account = &place.account;
        for entry in self.of(account) {
            if self.store.vault_get(&entry.name()).await.map_err(failed)?.is_none() {
                self.forget(&entry);
            }
        }
        let state = self.state();
        let Some(pause) = state.pauses.get(account) else { return Ok(()) };
        let known = state.fingerprints.get(account);
        if known.is_some_and(|known| known.fingerprint != pause.fingerprint) {
            drop(state);
            self.forget(&Entry::Pause(account.clone()));
            return Ok(());
        }
        let after = pause.left(self.clock.elapsed());
        if after.is_zero() {
            return Ok(());
        }
        let (since, reason) = (pause.since, pause.reason.as_str().into());
        Err(Error::Paused { place: place.clone(), since, reason, after })
    }

    /// Pauses an account after a connector found that its credentials are refused, where the
    /// answer itself did not say so.
    pub(crate) fn refused(&self, account: &str, reason: &str) {
        self.pause(account, reason);
    }

    /// Writes what changed. What fails is written at the end of the next run: until then it is
    /// known here, and without it the next process finds out by itself.
    pub(crate) async fn keep(&self) {
        let unkept = std::mem::take(&mut self.state().unkept);
        for entry in unkept {
            let written = match self.value(&entry) {
                Some(value) => self.store.vault_put(&entry.name(), &value).await,
                None => self.store.vault_remove(&entry.name()).await.map(drop),
            };
            if let Err(error) = written {
                tracing::debug!(%error, "an account's state was not kept");
                self.state().unkept.insert(entry);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what the process before kept.
    async fn load(&self) -> store::Result<()> {
        let pauses = kept::all::<kept::KeptPause>(&*self.store, kept::PAUSE).await?;
        let breakers = kept::all::<kept::KeptBreaker>(&*self.store, kept::BREAKER).await?;
        let outages = kept::all::<kept::KeptOutage>(&*self.store, kept::OUTAGE).await?;
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
        for it in breakers {
            let breaker = Breaker::reopened(Duration::from_secs(it.wait_seconds));
            let (account, since, reason) = (it.account, it.since, it.reason);
            let guarded = Guarded { breaker, account, since, reason };
            state.breakers.entry(it.identity).or_default().entry(it.class).or_insert(guarded);
        }
        for it in outages {
            let (account, since, last, advice) = (it.account, it.since, it.last, it.advice);
            let outage = Ongoing { account, since, last, noticed: elapsed, advice };
            state.outages.entry(it.identity).or_default().entry(it.class).or_insert(outage);
        }
        Ok(())
    }

    /// What the store keeps of an account, as far as it knows already.
    fn of(&self, account: &str) -> Vec<Entry> {
        let state = self.state();
        let mut entries = vec![];
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
        entries.retain(|entry| !state.unkept.contains(entry));
        entries
    }

    /// Ends a pause, or closes a breaker.
    fn forget(&self, entry: &Entry) {
        let mut state = self.state();
        match entry {
            Entry::Pause(account) => {
                state.pauses.remove(account);
                state.unkept.insert(entry.clone());
                drop(state);
                self.say(account, &AccountChange::Resumed);
            }
            Entry::Breaker(identity, class) => {
                let breakers = state.breakers.get_mut(identity);
                let guarded = breakers.and_then(|breakers| breakers.remove(class));
                drop(state);
                if let Some(guarded) = guarded {
                    self.say(&guarded.account, &AccountChange::BreakerClosed { class });
                }
            }
            // It is over with the next answer, and with nothing that anybody does here.
            Entry::Outage(..) => {}
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

    /// Whether a request may start, as the probe of a paused account or not; and as what the
    /// breaker counts it.
    fn pass(&self, account: &str, identity: &str, limit: Limit) -> Result<(bool, Pass), Call> {
        let (now, class) = (self.clock.elapsed(), limit.class);
        let mut state = self.state();
        let State { pauses, breakers, .. } = &mut *state;
        let mut paused = pauses.get_mut(account);
        if let Some(pause) = paused.as_ref().filter(|_| !limit.probes) {
            return Err(Call::Unauthorized {
                reason: format!(
                    "account \"{account}\" is paused since {}, because its credentials were \
                     refused ({}); this is not sent before the pause is over: `towpath account \
                     resume {account}`, other settings of the account and a request of another \
                     kind that passes end it",
                    pause.since, pause.reason
                ),
            });
        }
        if let Some(pause) = &mut paused
            && let Err(closed) = pause.probe(now)
        {
            let (next, after) = match closed {
                Closed::For(wait) => (format!("the next probe is in {} s", wait.as_secs()), None),
                Closed::Probed(wait) => ("it is being probed".to_owned(), Some(wait)),
            };
            let reason = format!(
                "account \"{account}\" is paused since {}, because its credentials were refused \
                 ({}); {next}",
                pause.since, pause.reason
            );
            return Err(Call::HeldBack { reason, after });
        }
        let guarded = breakers.get_mut(identity).and_then(|breakers| breakers.get_mut(class));
        let pass = guarded.map_or(Ok(Pass::Ordinary), |guarded| {
            guarded.breaker.pass(now).map_err(|wait| (wait, guarded.reason.clone()))
        });
        match pass {
            Ok(pass) => Ok((paused.is_some(), pass)),
            Err((wait, reason)) => {
                if let Some(pause) = paused {
                    pause.given_up();
                }
                let reason = format!(
                    "account \"{account}\" is left alone by its circuit breaker, since most \
                     requests of class {class} failed lately, one with: {reason}"
                );
                Err(Call::HeldBack { reason, after: Some(wait) })
            }
        }
    }
}

#[async_trait]
impl Limiter for Desk {
    async fn acquire(&self, identity: &str, limit: Limit) -> Result<Permit, Call> {
        let place = self.accounts.limits.place(identity, limit, self.turn).await;
        // Asked once its turn has come: what it waited for may have told something.
        let (probes, pass) = self.accounts.pass(&self.account, identity, limit)?;
        let admitted = Admitted {
            accounts: self.accounts.clone(),
            account: self.account.clone(),
            identity: identity.to_owned(),
            class: limit.class,
            began: self.accounts.clock.now(),
            place,
            pass,
            probes,
            told: false,
        };
        self.accounts.limits.pace(&admitted.place).await;
        Ok(Permit::new(admitted))
    }
}

impl Admission for Admitted {
    fn learn(&mut self, answer: &Answer) {
        self.told = true;
        match answer {
            Answer::Taken => self.place.accepted(),
            Answer::Throttled { .. } => self.place.throttled(),
            _ => {}
        }
        self.breaker(answer);
        self.pause(answer);
        self.outage(answer);
    }
}

impl Admitted {
    fn breaker(&self, answer: &Answer) {
        let failed = match answer {
            Answer::Throttled { after, reason } | Answer::Failed { after, reason, .. } => {
                Some((after.unwrap_or_default(), reason))
            }
            Answer::Taken | Answer::Refused | Answer::Unauthorized { .. } => None,
        };
        let Accounts { clock, .. } = &*self.accounts;
        let (now, elapsed) = (clock.now(), clock.elapsed());
        let mut state = self.accounts.state();
        if !state.breakers.contains_key(&self.identity) {
            state.breakers.insert(self.identity.clone(), HashMap::new());
        }
        let Some(breakers) = state.breakers.get_mut(&self.identity) else { return };
        if !breakers.contains_key(self.class) {
            breakers.insert(self.class.to_owned(), Guarded::default());
        }
        let Some(guarded) = breakers.get_mut(self.class) else { return };
        let was_open = guarded.breaker.is_open();
        let change = match failed {
            None => guarded.breaker.passed(elapsed, self.pass),
            Some((asked, _)) => guarded.breaker.failed(elapsed, self.pass, asked),
        };
        let Some(change) = change else { return };
        if let Some((_, reason)) = failed {
            guarded.account = self.account.to_string();
            guarded.reason.clone_from(reason);
            if !was_open {
                guarded.since = now;
            }
        }
        state.unkept.insert(Entry::Breaker(self.identity.clone(), self.class.to_owned()));
        drop(state);
        let class = self.class;
        let change = match (change, failed) {
            (Change::Opened(wait), Some((_, reason))) => {
                AccountChange::BreakerOpened { class, reason, wait, again: was_open }
            }
            _ => AccountChange::BreakerClosed { class },
        };
        self.accounts.say(&self.account, &change);
    }

    fn pause(&self, answer: &Answer) {
        if !self.probes {
            if let Answer::Unauthorized { reason } = answer {
                self.accounts.pause(&self.account, reason);
            }
            return;
        }
        let elapsed = self.accounts.clock.elapsed();
        let mut state = self.accounts.state();
        let State { pauses, unkept, .. } = &mut *state;
        let Some(pause) = pauses.get_mut(&*self.account) else { return };
        unkept.insert(Entry::Pause(self.account.to_string()));
        match answer {
            Answer::Taken => {
                drop(state);
                self.accounts.forget(&Entry::Pause(self.account.to_string()));
            }
            Answer::Refused | Answer::Unauthorized { .. } => pause.refused(elapsed),
            Answer::Throttled { .. } | Answer::Failed { .. } => pause.unanswered(elapsed),
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let elapsed = self.accounts.clock.elapsed();
        let mut state = self.accounts.state();
        if self.probes
            && let Some(pause) = state.pauses.get_mut(&*self.account)
        {
            pause.given_up();
        }
        let breakers = state.breakers.get_mut(&self.identity);
        if let Some(guarded) = breakers.and_then(|breakers| breakers.get_mut(self.class)) {
            guarded.breaker.given_up(elapsed, self.pass);
        }
    }
}
