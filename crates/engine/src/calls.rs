//! Calls that are not broken off with their page: what they sent cannot be taken back.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::{Error, Place, Result};

/// The calls of one run that go on although nobody waits for their answer any more, so that it is
/// written down.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<JoinSet<()>>);

impl Calls {
    /// Runs a call to its end, whether or not the caller goes on waiting.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        place: &Place,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut calls = self.lock();
            while calls.try_join_next().is_some() {}
            calls.spawn(async move {
                // Nobody listens where the page failed meanwhile.
                drop(sender.send(call.await));
            });
        }
        receiver.await.map_err(|_| {
            let problem = "a call stopped without an answer".to_owned();
            Error::Internal { place: place.clone(), problem }
        })?
    }

    /// Waits until every call is answered and written down.
    pub(crate) async fn finish(&self) {
        let mut calls = std::mem::take(&mut *self.lock());
        while calls.join_next().await.is_some() {}
    }

    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
