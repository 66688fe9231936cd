//! Which accounts are paused: told of once it has lasted.

use std::collections::BTreeMap;
use std::time::Duration;

use connector::Timestamp;
use store::Result;

use super::alert::Alert;
use super::conditions::{Lasting, Turn, turn};
use super::kept::{Mark, Told};
use super::record::{AccountPaused, Rests};
use super::teller::Teller;
use crate::accounts;

impl Teller {
    /// Lets wait what there is to tell of accounts that are paused, and of those that are used again.
    pub(super) async fn paused(
        &mut self,
        alert: &Alert,
        told: &mut Told,
    ) -> Result<Option<Duration>> {
        let (now, elapsed) = (self.now(), self.engine.clock().elapsed());
        let rests: BTreeMap<String, accounts::Rest> = accounts::states(self.store())
            .await?
            .into_iter()
            .filter_map(|state| Some((state.account, state.paused?)))
            .collect();
        self.noticed.retain(|account, (since, _)| {
            rests.get(account).is_some_and(|rest| rest.since == *since)
        });
        let lasting = rests.iter().map(|(account, rest)| {
            let known = self.noticed.entry(account.clone()).or_insert((rest.since, elapsed));
            let lasted = now.since(rest.since).max(elapsed.saturating_sub(known.1));
            (account.clone(), Lasting { since: rest.since, lasted })
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
                .map(|rest| rest.next.max(now)),
            message: match state {
                Rests::Paused => "its credentials were refused: nothing is asked or sent with it",
                Rests::Resumed => "it is used again",
            }
            .to_owned(),
            command: format!("towpath account test {account}"),
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
            let since = rest.since;
            told.tell(
                ("paused", &account),
                since.millis(),
                &record(&account, Rests::Paused, since),
            );
            told.mark(account, Mark { at: since, ..Mark::default() });
        }
        Ok(next)
    }
}
