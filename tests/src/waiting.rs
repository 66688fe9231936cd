//! A clock on which time passes only when the test says so.

use std::sync::Arc;
use std::time::Duration;

use connector::{Clock, ManualClock, Timestamp};

/// The time of another clock, on which waits end when it has come to their end.
pub struct Waiting(pub Arc<ManualClock>);

#[async_trait::async_trait]
impl Clock for Waiting {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.elapsed() + duration;
        while self.elapsed() < until {
            tokio::task::yield_now().await;
        }
    }
}
