//! Computation: it runs off the reactor's threads, on as many as there are cores.

use std::sync::Arc;
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, Place, Result};

/// Runs mapping and hashing where they cannot hold up requests. Cheap to clone.
///
/// More at once than there are cores would only hold more records in memory.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    /// `None` computes on the caller's thread.
    threads: Option<Arc<Semaphore>>,
}

impl Workers {
    pub(crate) fn new() -> Self {
        Self { threads: Some(Arc::new(Semaphore::new(cores()))) }
    }

    /// Computes where it is asked to, so that a single thread does the same at every start.
    pub(crate) const fn inline() -> Self {
        Self { threads: None }
    }

    /// The bound of raw pages that fits: see [`Unmapped`].
    pub(crate) fn unmapped(&self) -> Unmapped {
        let pages = if self.threads.is_some() { cores().max(2) } else { 2 };
        Unmapped(Arc::new(Semaphore::new(pages)))
    }

    /// Runs a computation to its end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        place: &Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let Some(threads) = &self.threads else { return Ok(work()) };
        let permit = permit(threads, place).await?;
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
