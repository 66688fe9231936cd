//! Computation: it runs off the reactor's threads, on as many as there are cores.

use std::sync::Arc;
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, Place, Result};

/// Runs mapping and hashing where they cannot hold up requests. Cheap to clone.
///
/// More at once than there are cores would only hold more records in memory.
#[derive(Clone, Debug)]
pub(crate) struct Workers(Arc<Semaphore>);

impl Workers {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(cores())))
    }

    /// Runs a computation to its end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        place: &Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let permit = permit(&self.0, place).await?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.map_err(|error| stopped(place, &error.to_string()))
    }
}

/// Bounds the pages of raw records that one run holds, fetched or being fetched: what takes
/// memory is a record before its mapping. One a core, and at least one that is fetched while
/// another is mapped.
#[derive(Debug)]
pub(crate) struct Unmapped(Arc<Semaphore>);

impl Unmapped {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(cores().max(2))))
    }

    /// Waits until there is room for one more page; it counts until dropped.
    pub(crate) async fn page(&self, place: &Place) -> Result<OwnedSemaphorePermit> {
        permit(&self.0, place).await
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

async fn permit(of: &Arc<Semaphore>, place: &Place) -> Result<OwnedSemaphorePermit> {
    of.clone().acquire_owned().await.map_err(|error| stopped(place, &error.to_string()))
}

fn stopped(place: &Place, problem: &str) -> Error {
    Error::Internal { place: place.clone(), problem: format!("a computation stopped: {problem}") }
}
