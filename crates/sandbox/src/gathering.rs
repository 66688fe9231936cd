//! Requests that wait for one another, so that it is seen how many are under way at once.

use std::num::NonZeroU64;

use tokio::sync::watch;

/// Counts the requests that came, and holds each until its round is full.
#[derive(Debug, Default)]
pub(crate) struct Gathering(watch::Sender<u64>);

/// A request's place in its round.
#[derive(Debug)]
pub(crate) struct Place {
    came: watch::Receiver<u64>,
    /// How many have to have come.
    full: u64,
}

impl Gathering {
    /// Takes the next place, in rounds of so many. One who gives up has come all the same.
    pub(crate) fn join(&self, round: NonZeroU64) -> Place {
        let came = self.0.subscribe();
        self.0.send_modify(|came| *came += 1);
        let full = self.0.borrow().div_ceil(round.get()).saturating_mul(round.get());
        Place { came, full }
    }
}

impl Place {
    /// Waits until the round is full, or the gathering is over.
    pub(crate) async fn wait(mut self) {
        // The error says that the gathering is over, which lets go of everybody.
        drop(self.came.wait_for(|came| *came >= self.full).await);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_held(place: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(place).poll(&mut context) == Poll::Pending
    }

    #[test]
    fn rounds_go_on_when_they_are_full_and_all_when_it_is_over() {
        let (gathering, three) = (Gathering::default(), NonZeroU64::new(3).unwrap());
        let join = || Box::pin(gathering.join(three).wait());
        let (mut first, mut second) = (join(), join());
        assert!(is_held(&mut first) && is_held(&mut second));
        let mut third = join();
        assert!(![&mut first, &mut second, &mut third].into_iter().any(is_held));
        let mut fourth = join();
        assert!(is_held(&mut fourth));
        drop(gathering);
        assert!(!is_held(&mut fourth));
    }
}
