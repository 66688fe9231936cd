//! Signals: the first lets runs finish, the second ends the process.

#[cfg(unix)]
use std::task::Poll;
use std::time::Duration;

use engine::{Stop, Stopper};

use crate::progress::say;

/// A stop that the first signal sets; a second one ends the process at once.
///
/// Leaving at once is safe: what is not committed is found again by the next run.
pub(crate) fn stop_on_signal(grace: Duration) -> Stop {
    let (stopper, stop) = Stop::new(grace);
    // Heard from here on: a signal that came before the task has begun would end the process.
    tokio::spawn(listen(Signals::listen(), stopper, grace));
    stop
}

async fn listen(mut signals: Signals, stopper: Stopper, grace: Duration) {
    signals.next().await;
    say(&format!(
        "stopping: finishing what was fetched, for {} s at most (a second signal ends it at once)",
        grace.as_secs()
    ));
    stopper.stop();
    signals.next().await;
    std::process::exit(130);
}

/// Waits for ctrl-c or a request to terminate.
pub(crate) async fn signal() {
    Signals::listen().next().await;
}

/// Ctrl-c and requests to terminate, heard since this was made.
#[cfg(unix)]
struct Signals(Vec<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::terminate(), SignalKind::interrupt()];
        // Without a way to hear a signal there is none to wait for.
        Self(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    async fn next(&mut self) {
        std::future::poll_fn(|context| {
            let mut signals = self.0.iter_mut();
            match signals.any(|signal| signal.poll_recv(context) == Poll::Ready(Some(()))) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    const fn listen() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
