//! A request's way past what is known of its account: its turn, whether it may start, and what its
//! answer tells.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector::{Admission, Answer, Error as Call, Limit, Limiter, Permit, Timestamp};

use super::breaker::{Change, Pass};
use super::keeping::Entry;
use super::pause::{Closed, Hold};
use super::{Accounts, Guarded, State};
use crate::limits::{self, Turn};
use crate::watch::AccountChange;

/// What is held in the middle of a run lets its flow alone for so long: no run waits for that.
const HELD: Duration = Duration::from_secs(600);

/// The limiter of one account.
pub(super) struct Desk {
    pub(super) accounts: Arc<Accounts>,
    pub(super) account: Arc<str>,
    pub(super) turn: Turn,
    /// Whether its requests are held once the account was refused.
    pub(super) held: bool,
}

/// A request under way.
pub(super) struct Admitted {
    pub(super) accounts: Arc<Accounts>,
    pub(super) account: Arc<str>,
    pub(super) identity: String,
    pub(super) class: &'static str,
    pub(super) began: Timestamp,
    place: limits::Place,
    pass: Pass,
    /// Whether it probes a paused account.
    probes: bool,
    told: bool,
}

impl Hold {
    /// What a request meets that is held.
    fn back(&self, account: &str) -> Call {
        let reason = format!(
            "account \"{account}\" was refused at {} ({}), and what was refused is not sent again \
             by itself; once that is corrected: `towpath account resume {account}`",
            self.since, self.reason
        );
        Call::HeldBack { reason, after: Some(HELD) }
    }
}

impl Accounts {
    /// Whether a request may start, as the probe of a paused account or not; and as what the
    /// breaker counts it.
    fn pass(
        &self,
        account: &str,
        identity: &str,
        class: &str,
        held: bool,
    ) -> Result<(bool, Pass), Call> {
        let now = self.clock.elapsed();
        let mut state = self.state();
        let State { pauses, holds, breakers, .. } = &mut *state;
        let mut paused = pauses.get_mut(account);
        if held && let Some(hold) = holds.get(account) {
            return Err(hold.back(account));
        }
        if held && let Some(pause) = &paused {
            let reason = format!(
                "account \"{account}\" is paused since {}, because its credentials were refused \
                 ({}); this is not sent before a request of another kind passes, or `towpath \
                 account resume {account}`",
                pause.since, pause.reason
            );
            return Err(Call::HeldBack { reason, after: Some(HELD) });
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
        let (probes, pass) = self.accounts.pass(&self.account, identity, limit.class, self.held)?;
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
