//! Which accounts are paused, or held in part: told of once it has lasted.

use std::collections::BTreeMap;
use std::time::Duration;

use connector::Timestamp;
use store::Result;

use super::alert::Alert;
use super::conditions::{Lasting, Turn, turn};
use super::kept::{Mark, Told};
use super::record::{AccountPaused, Rests};
use super::teller::Teller;
use crate::AccountState;
use crate::accounts;

/// Since when an account is left alone: what is held since its pause lasts, though that is over, and
/// another pause is told for itself.
fn since(state: &AccountState) -> Option<Timestamp> {
    let paused = state.paused.as_ref().map(|rest| rest.since);
    paused.or_else(|| state.held.as_ref().map(|held| held.since))
}

impl Teller {
    /// Lets wait what there is to tell of accounts that are paused, and of those that are used again.
    pub(super) async fn paused(
        &mut self,
        alert: &Alert,
        told: &mut Told,
    ) -> Result<Option<Duration>> {
        let (now, elapsed) = (self.now(), self.engine.clock().elapsed());
        let states = accounts::states(self.store()).await?.into_iter();
        let rests: BTreeMap<String, AccountState> = states
            .filter_map(|state| since(&state).map(|_| (state.account.clone(), state)))
            .collect();
        self.noticed.retain(|account, (begun, _)| {
            rests.get(account).is_some_and(|rest| since(rest) == Some(*begun))
        });
        let lasting = rests.iter().filter_map(|(account, rest)| {
            let since = since(rest)?;
            let known = self.noticed.entry(account.clone()).or_insert((since, elapsed));
            let lasted = now.since(since).max(elapsed.saturating_sub(known.1));
            Some((account.clone(), Lasting { since, lasted }))
        });
        let lasting = lasting.collect();
        let Turn { begun, ended, next } = turn(alert, &told.marks, &lasting, |_| false);
        let record = |account: &str, state: Rests, since: Timestamp| AccountPaused {
            account: account.to_owned(),
            state,
            since,
            at: now,
            next_probe: rests
                .get(account)
                .filter(|_| state == Rests::Paused)
                .and_then(|rest| Some(rest.paused.as_ref()?.next.max(now))),
            message: match state {
                Rests::Paused => "its credentials were refused: nothing is asked or sent with it",
                Rests::Held => "what its system refused is not sent again by itself",
                Rests::Resumed => "it is used again",
            }
            .to_owned(),
            command: match state {
                Rests::Held => "towpath account".to_owned(),
                _ => format!("towpath account test {account}"),
            },
        };
        for account in ended {
            let Some(mark) = told.forget(&account) else { continue };
            if alert.ends && alert.is_about(&account) {
                let record = record(&account, Rests::Resumed, mark.at);
                told.tell(("resumed", &account), mark.at.millis(), &record);
            }
        }
        for account in begun {
            let Some(rest) = rests.get(&account) else { continue };
            let Some(since) = since(rest) else { continue };
            let state = if rest.paused.is_some() { Rests::Paused } else { Rests::Held };
            told.tell(("paused", &account), since.millis(), &record(&account, state, since));
            told.mark(account, Mark { at: since, ..Mark::default() });
        }
        Ok(next)
    }
}
