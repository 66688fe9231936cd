//! Signals: the first lets runs finish, the second ends the process.

use engine::{Stop, Stopper};
use std::time::Duration;

use crate::progress::say;

/// A stop that the first signal sets; a second one ends the process at once.
///
/// Leaving at once is safe: what is not committed is found again by the next run.
pub(crate) fn stop_on_signal(grace: Duration) -> Stop {
    let (stopper, stop) = Stop::new(grace);
    tokio::spawn(listen(stopper, grace));
    stop
}

async fn listen(stopper: Stopper, grace: Duration) {
    signal().await;
    say(&format!(
        "stopping: finishing what was fetched, for {} s at most (a second signal ends it at once)",
        grace.as_secs()
    ));
    stopper.stop();
    signal().await;
    std::process::exit(130);
}

/// Waits for ctrl-c or a request to terminate.
pub(crate) async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    // Without a way to hear signals there is none to wait for.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
