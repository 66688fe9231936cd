//! The signal to stop: finish what was fetched, then leave.

use std::time::Duration;

use tokio::sync::watch;

/// Tells runs to stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Learns when to stop, and how long finishing may take.
#[derive(Clone, Debug)]
pub struct Stop {
    signal: watch::Receiver<bool>,
    /// How long fetched pages may take to be delivered and committed after the signal.
    pub grace: Duration,
}

impl Stop {
    /// A signal and its receiver.
    pub fn new(grace: Duration) -> (Stopper, Self) {
        let (sender, signal) = watch::channel(false);
        (Stopper(sender), Self { signal, grace })
    }

    /// Whether the signal came.
    pub fn is_set(&self) -> bool {
        *self.signal.borrow()
    }

    /// Waits for the signal; for ever if nobody can give it any more.
    pub async fn wait(&mut self) {
        if self.signal.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Stopper {
    /// Gives the signal.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}
