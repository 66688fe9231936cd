//! What looks after a store while flows run: requests of other processes, and retention.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connector::Clock;
use engine::{Handle, Request};
use serde_json::Value;
use server::accounts::Logins;
use store::upkeep::Desk;
use store::{MasterKey, SledStore};
use tokio::task::JoinHandle;

use crate::connect::{self, Ask};
use crate::progress::say;

/// How often requests are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// So many looks lie between two questions whether the store is to be tidied: an hour.
const TIDY: u32 = 3600;

/// Looks after a store until it is dropped.
pub(crate) struct Keeper {
    looking: JoinHandle<()>,
    logins: Arc<Mutex<Option<Logins>>>,
}

impl Keeper {
    /// Removes what was kept long enough, and looks after the store from then on.
    pub(crate) async fn start(
        store: SledStore,
        key: MasterKey,
        clock: Arc<dyn Clock>,
    ) -> store::Result<Self> {
        store.tidy(clock.now().millis()).await?;
        let holder = Handle::new(Arc::new(store.clone()));
        let logins = Arc::<Mutex<Option<Logins>>>::default();
        let known = logins.clone();
        let desk = Desk::new(
            store.clone(),
            key,
            Arc::new(move |asked| {
                let holder = holder.clone();
                let logins = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Box::pin(async move { answer(&holder, logins.as_ref(), asked).await })
            }),
        );
        let looking = tokio::spawn(async move {
            for looks in 1_u32.. {
                clock.sleep(LOOK).await;
                if let Err(error) = desk.look().await {
                    say(&format!("a request about the store was not answered: {error}"));
                }
                if looks.is_multiple_of(TIDY)
                    && let Err(error) = store.tidy(clock.now().millis()).await
                {
                    say(&format!("what is kept too long was not removed: {error}"));
                }
            }
        });
        Ok(Self { looking, logins })
    }

    /// Lets it answer what is asked of accounts and logins, too, from now on by these.
    pub(crate) fn answer_by(&self, logins: Logins) {
        *self.logins.lock().unwrap_or_else(PoisonError::into_inner) = Some(logins);
    }
}

/// Answers what another process asks of the accounts in use.
async fn answer(holder: &Handle, logins: Option<&Logins>, asked: Value) -> Result<Value, String> {
    if let (Some(logins), Some(ask)) = (logins, asked.get("accounts").cloned())
        && let Ok(ask) = serde_json::from_value::<Ask>(ask)
    {
        return connect::answer(logins, ask).await.map_err(|refusal| refusal.to_string());
    }
    match serde_json::from_value(asked) {
        Ok(request @ (Request::Accounts | Request::Health | Request::Resume { .. })) => {
            let answer = holder.ask(request).await.map_err(|error| error.to_string())?;
            serde_json::to_value(answer).map_err(|error| error.to_string())
        }
        _ => Err("it was asked what it does not answer: stop it, and ask again".to_owned()),
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.looking.abort();
    }
}
