//! Sessions of browsers, and the one-time codes that begin them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Result;
use crate::identity::Identity;
use crate::random;
use crate::token::hash;

/// How long a session lasts.
pub(crate) const LASTS: Duration = Duration::from_secs(12 * 3600);
/// How long a code can be used.
const CODE_LASTS: Duration = Duration::from_secs(300);
/// So many sessions and codes there are at most: the oldest give way.
const MOST: usize = 1_000;

/// A browser that has signed in.
#[derive(Clone, Debug)]
pub struct Session {
    /// What forms carry as `csrf`, and scripts in the header `X-CSRF-Token`.
    pub csrf: String,
    pub(crate) identity: Identity,
    /// By the clock that nobody sets.
    ends: Duration,
}

/// The sessions of a process: they end with it.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// By the hash of the cookie, so that no look-up compares it piece by piece.
    sessions: Mutex<HashMap<[u8; 32], Session>>,
    codes: Mutex<HashMap<[u8; 32], (Identity, Duration)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// Makes a code that begins one session of this identity.
    pub(crate) fn code(&self, identity: Identity, now: Duration) -> Result<String> {
        let code = random::unguessable()?;
        let mut codes = lock(&self.codes);
        make_room(&mut codes, |(_, ends)| *ends, now);
        codes.insert(hash(&code), (identity, now + CODE_LASTS));
        Ok(code)
    }

    /// Uses a code up, and gives whom it is of.
    pub(crate) fn redeem(&self, code: &str, now: Duration) -> Option<Identity> {
        let (identity, ends) = lock(&self.codes).remove(&hash(code))?;
        (now < ends).then_some(identity)
    }

    /// Begins a session, and gives what its cookie holds.
    pub(crate) fn begin(&self, identity: Identity, now: Duration) -> Result<String> {
        let cookie = random::unguessable()?;
        let session = Session { csrf: random::unguessable()?, identity, ends: now + LASTS };
        let mut sessions = lock(&self.sessions);
        make_room(&mut sessions, |session| session.ends, now);
        sessions.insert(hash(&cookie), session);
        Ok(cookie)
    }

    pub(crate) fn find(&self, cookie: &str, now: Duration) -> Option<Session> {
        let session = lock(&self.sessions).get(&hash(cookie)).cloned();
        session.filter(|session| now < session.ends)
    }

    pub(crate) fn end(&self, cookie: &str) {
        lock(&self.sessions).remove(&hash(cookie));
    }

    /// Ends all sessions and codes that came of a token.
    pub(crate) fn end_of(&self, name: &str) {
        lock(&self.sessions).retain(|_, session| session.identity.name() != name);
        lock(&self.codes).retain(|_, (identity, _)| identity.name() != name);
    }
}

impl Session {
    /// Whether a text is the one that forms of this session carry, compared in constant time.
    pub(crate) fn is_csrf(&self, text: &str) -> bool {
        blake3::hash(self.csrf.as_bytes()) == blake3::hash(text.as_bytes())
    }
}

fn make_room<T>(all: &mut HashMap<[u8; 32], T>, ends: impl Fn(&T) -> Duration, now: Duration) {
    if all.len() < MOST {
        return;
    }
    all.retain(|_, one| now < ends(one));
    while all.len() >= MOST {
        let Some(oldest) = all.iter().min_by_key(|(_, one)| ends(one)).map(|(key, _)| *key) else {
            return;
        };
        all.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scopes;

    #[test]
    fn a_code_begins_one_session_which_ends() {
        let sessions = Sessions::default();
        let at = Duration::from_secs;
        let identity = Identity::new("laptop", Scopes::all());
        let code = sessions.code(identity.clone(), at(0)).unwrap();
        let late = sessions.code(identity, at(0)).unwrap();
        let redeemed = sessions.redeem(&code, at(299)).unwrap();
        assert!(sessions.redeem(&code, at(299)).is_none(), "a code is used once");
        assert!(sessions.redeem(&late, at(300)).is_none());
        let cookie = sessions.begin(redeemed, at(0)).unwrap();
        let session = sessions.find(&cookie, at(1)).unwrap();
        assert!(session.is_csrf(&session.csrf) && !session.is_csrf(""));
        assert!(sessions.find(&cookie, LASTS).is_none());
        sessions.end_of("laptop");
        assert!(sessions.find(&cookie, at(1)).is_none());
    }

    #[test]
    fn the_oldest_give_way() {
        let sessions = Sessions::default();
        let identity = Identity::new("laptop", Scopes::all());
        let at = |n: usize| Duration::from_secs(n as u64);
        let cookies: Vec<_> =
            (0..=MOST).map(|n| sessions.begin(identity.clone(), at(n)).unwrap()).collect();
        assert!(sessions.find(&cookies[0], at(MOST)).is_none());
        assert!(sessions.find(&cookies[1], at(MOST)).is_some());
    }
}
