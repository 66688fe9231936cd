//! Work of a page on a task of its own, which ends with who waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use connector::Clock;
use tokio::task::JoinHandle;

use crate::{Error, Place, Result, Stop};

/// A page being fetched or delivered on a task of its own; dropping it stops the task.
pub(crate) struct Task<T> {
    task: JoinHandle<Result<T>>,
    place: Place,
    what: &'static str,
}

impl<T: Send + 'static> Task<T> {
    pub(crate) fn of(
        work: impl Future<Output = Result<T>> + Send + 'static,
        place: Place,
        what: &'static str,
    ) -> Self {
        Self { task: tokio::spawn(work), place, what }
    }

    /// Waits for what a task gives; for ever if there is none.
    pub(crate) async fn next(task: Option<&mut Self>) -> Result<T> {
        match task {
            Some(task) => task.await,
            None => std::future::pending().await,
        }
    }

    /// Waits for what it gives; `None` if that takes longer than the grace of a run that is to stop.
    pub(crate) async fn within_grace(
        &mut self,
        stop: &Stop,
        clock: &dyn Clock,
    ) -> Option<Result<T>> {
        let mut stop = stop.clone();
        let over = async {
            stop.wait().await;
            clock.sleep(stop.grace).await;
        };
        tokio::select! {
            biased;
            given = self => Some(given),
            () = over => None,
        }
    }

    /// Stops tasks, and returns when none of them does anything any more.
    pub(crate) async fn stop(tasks: impl IntoIterator<Item = Self>) {
        let tasks: Vec<Self> = tasks.into_iter().collect();
        tasks.iter().for_each(|it| it.task.abort());
        for task in tasks {
            // How it ended does not matter: it is thrown away.
            drop(task.await);
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(cx).map(|joined| {
            joined.unwrap_or_else(|error| {
                let problem = format!("{} stopped: {error}", self.what);
                Err(Error::Internal { place: self.place.clone(), problem })
            })
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
