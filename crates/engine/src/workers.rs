//! Computation: it runs off the reactor's threads, on as many as there are cores.

use std::sync::Arc;
use std::thread;

use tokio::sync::Semaphore;

use crate::{Error, Place, Result};

/// Runs mapping and hashing where they cannot hold up requests. Cheap to clone.
///
/// More at once than there are cores would only hold more records in memory.
#[derive(Clone, Debug)]
pub(crate) struct Workers(Arc<Semaphore>);

impl Workers {
    pub(crate) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores)))
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        place: &Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let stopped = |problem: String| Error::Internal {
            place: place.clone(),
            problem: format!("a computation stopped: {problem}"),
        };
        let permit = self.0.clone().acquire_owned().await;
        let permit = permit.map_err(|error| stopped(error.to_string()))?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.map_err(|error| stopped(error.to_string()))
    }
}
