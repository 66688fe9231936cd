//! Systems that answer nothing but 5xx: since when, so that what their connectors say of that is
//! said once it has lasted.

use std::time::Duration;

use connector::{Answer, OutageAdvice, Timestamp};

use super::desk::Admitted;
use super::keeping::Entry;
use super::{Accounts, kept};
use crate::watch::AccountChange;

/// Failures that lie further apart are not one outage: nobody asked in between.
pub(super) const LONGEST_GAP: Duration = Duration::from_secs(2 * 3600);
/// So often at most the store is told that an outage goes on.
const KEPT_EACH: Duration = Duration::from_secs(60);

/// A limit class whose requests were answered with nothing but 5xx.
///
/// Whatever else becomes of one ends it: an answer of another kind, and none at all. What the
/// connector says is about a system that is there and fails by itself; of one that does not answer
/// nobody knows that.
#[derive(Clone, Debug)]
pub(super) struct Ongoing {
    pub(super) account: String,
    /// When the first of these requests began.
    pub(super) since: Timestamp,
    /// When the last one began.
    pub(super) last: Timestamp,
    /// When the first one was noticed, by what has elapsed: a clock that is set back makes it no
    /// younger.
    pub(super) noticed: Duration,
    /// How long it had lasted at the last answer: what has not been asked since, nobody knows of.
    pub(super) lasted: Duration,
    /// The last one that the store was told of.
    pub(super) kept: Timestamp,
    /// What its connector says, once it has lasted for that.
    pub(super) advice: Option<String>,
}

/// How long a system has answered nothing but 5xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lasted {
    /// From the first of these answers to the last one.
    pub(crate) answered: Duration,
    /// From the first one until now.
    pub(crate) begun: Duration,
}

impl Accounts {
    /// How long a limit class of an account has been answered with nothing but 5xx, of those outages in
    /// which it was answered since a moment; the longest one.
    pub(crate) async fn outage(
        &self,
        account: &str,
        answered_since: Timestamp,
    ) -> store::Result<Option<Lasted>> {
        self.loaded.get_or_try_init(|| self.load()).await?;
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let state = self.state();
        let identity = state.fingerprints.get(account).map(|known| known.identity.as_str());
        let of = state.outages.iter().flat_map(|(of, classes)| {
            classes
                .values()
                .filter(move |it| identity == Some(of.as_str()) || it.account == account)
        });
        let of = of.filter(|it| it.last >= answered_since);
        let lasted = |it: &Ongoing| {
            let begun = now.since(it.since).max(elapsed.saturating_sub(it.noticed));
            Lasted { answered: it.lasted, begun }
        };
        Ok(of.map(lasted).max())
    }

    /// Waits until an outage has lasted for as long as its connector says.
    pub(crate) async fn outage_lasts(&self) {
        self.lasts.notified().await;
    }

    /// What the store keeps of an outage.
    pub(super) fn kept_outage(outage: &Ongoing, identity: &str, class: &str) -> kept::KeptOutage {
        kept::KeptOutage {
            account: outage.account.clone(),
            identity: identity.to_owned(),
            class: class.to_owned(),
            since: outage.since,
            last: outage.last,
            advice: outage.advice.clone(),
        }
    }
}

impl Admitted {
    /// Takes note of an outage: that it goes on, or that it is over.
    pub(super) fn outage(&self, answer: &Answer) {
        let fails = matches!(answer, Answer::Failed { status: Some(500..), .. });
        let mut state = self.accounts.state();
        if !fails {
            let classes = state.outages.get_mut(&self.identity);
            let Some(outage) = classes.and_then(|classes| classes.remove(self.class)) else {
                return;
            };
            state.unkept.insert(self.entry());
            drop(state);
            if outage.advice.is_some() {
                let change = AccountChange::OutageOver { class: self.class };
                self.accounts.say(&self.account, &change);
            }
            return;
        }
        let known = state.fingerprints.get(&*self.account);
        let Some(OutageAdvice { after, advice }) = known.and_then(|known| known.advice) else {
            return;
        };
        let Accounts { clock, .. } = &*self.accounts;
        let (now, elapsed) = (clock.now(), clock.elapsed());
        let classes = state.outages.entry(self.identity.clone()).or_default();
        let begins = Ongoing {
            account: self.account.to_string(),
            since: self.began,
            last: self.began,
            noticed: elapsed,
            lasted: Duration::ZERO,
            kept: Timestamp::default(),
            advice: None,
        };
        let outage = classes.entry(self.class.to_owned()).or_insert_with(|| begins.clone());
        let mut over = false;
        if self.began.since(outage.last) > LONGEST_GAP {
            over = outage.advice.is_some();
            *outage = begins;
        }
        outage.last = outage.last.max(self.began);
        let since = outage.since;
        outage.lasted = now.since(since).max(elapsed.saturating_sub(outage.noticed));
        let told = outage.advice.is_none() && outage.lasted >= after;
        if told {
            outage.advice = Some(advice.to_owned());
        }
        if told || outage.last.since(outage.kept) >= KEPT_EACH {
            outage.kept = outage.last;
            state.unkept.insert(self.entry());
        }
        drop(state);
        if over {
            self.accounts.say(&self.account, &AccountChange::OutageOver { class: self.class });
        }
        if told {
            let change = AccountChange::Outage { class: self.class, since, advice };
            self.accounts.say(&self.account, &change);
            self.accounts.lasts.notify_one();
        }
    }

    fn entry(&self) -> Entry {
        Entry::Outage(self.identity.clone(), self.class.to_owned())
    }
}
