//! Slows down whoever guesses: so many refused credentials a minute and address, then none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// So many refusals within the window are answered as such.
const MOST: u32 = 10;
/// How long refusals are remembered since the first of them.
const WINDOW: Duration = Duration::from_secs(60);
/// So many addresses are remembered; beyond that the oldest are forgotten.
const ADDRESSES: usize = 10_000;

/// Counts refused credentials by address.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, Refusals>>);

#[derive(Clone, Copy, Debug)]
struct Refusals {
    since: Duration,
    count: u32,
}

impl Throttle {
    /// How long an address has to wait before a credential of it is looked at; `None` is not at all.
    pub(crate) fn wait(&self, peer: IpAddr, now: Duration) -> Option<Duration> {
        let refusals = self.lock().get(&network(peer)).copied()?;
        let left = (refusals.since + WINDOW).checked_sub(now).filter(|left| !left.is_zero())?;
        (refusals.count >= MOST).then_some(left)
    }

    /// Takes note that a credential was refused.
    pub(crate) fn refused(&self, peer: IpAddr, now: Duration) {
        let mut all = self.lock();
        let fresh = Refusals { since: now, count: 0 };
        if all.len() >= ADDRESSES {
            all.retain(|_, refusals| refusals.since + WINDOW > now);
            // Who comes from ten thousand addresses at once gets them forgotten all at once: tokens
            // have 256 bits, so this only keeps logs and CPU quiet.
            if all.len() >= ADDRESSES {
                all.clear();
            }
        }
        let refusals = all.entry(network(peer)).or_insert(fresh);
        if refusals.since + WINDOW <= now {
            *refusals = fresh;
        }
        refusals.count = refusals.count.saturating_add(1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, Refusals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of a machine: of IPv6 the first 64 bits, which one has all addresses of.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(peer) => IpAddr::V6((u128::from(peer) >> 64 << 64).into()),
        peer @ IpAddr::V4(_) => peer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_guess_of_a_minute_waits_and_others_do_not() {
        let throttle = Throttle::default();
        let at = Duration::from_secs;
        let (guesser, other) = ("fe80::1".parse().unwrap(), "fe80:0:0:1::1".parse().unwrap());
        for guess in 0..10 {
            assert_eq!(throttle.wait(guesser, at(guess)), None);
            throttle.refused(guesser, at(guess));
        }
        assert_eq!(throttle.wait("fe80::2".parse().unwrap(), at(10)), Some(at(50)));
        assert_eq!(throttle.wait(other, at(10)), None);
        assert_eq!(throttle.wait(guesser, at(60)), None);
        throttle.refused(guesser, at(60));
        assert_eq!(throttle.wait(guesser, at(61)), None);
    }
}
