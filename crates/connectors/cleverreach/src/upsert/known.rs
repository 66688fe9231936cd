//! What the source of a known receiver says of the mail that asks it to confirm.

use crate::members::Member;

/// As long after its creation may a receiver that was created here still get its mail: a call
/// that is repeated, after a failure or a crash, finds it there already. Later nobody expects it.
const MAIL_WINDOW: i64 = 60 * 60;
/// Ends the source of a receiver whose mail has not left yet.
const PENDING: &str = " (mail pending)";
/// Ends the source of a receiver whose mail did not leave while it was expected.
const NEVER: &str = " (mail never sent)";

impl Member {
    /// What its source and its dates say of the mail that asks it to confirm.
    pub(super) fn mail(&self, now: i64) -> Mail {
        if self.bare_source().is_none() {
            return Mail::Left;
        }
        if self.activated > 0 || self.deactivated > 0 {
            return Mail::Answered;
        }
        if self.source.ends_with(NEVER) {
            return Mail::Never;
        }
        let young = now.saturating_sub(self.registered) < MAIL_WINDOW;
        if young { Mail::Due } else { Mail::Late }
    }

    /// The source without the mark of a mail; `None` if it has none.
    pub(super) fn bare_source(&self) -> Option<&str> {
        self.source.strip_suffix(PENDING).or_else(|| self.source.strip_suffix(NEVER))
    }
}

/// What became of the mail that asks a known receiver to confirm.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mail {
    /// It left, or it was never to be sent from here.
    Left,
    /// The receiver was marked, and confirmed or unsubscribed since.
    Answered,
    /// It has not left, and is still expected.
    Due,
    /// It has not left, and is expected no more.
    Late,
    /// It was late before, and that is noted.
    Never,
}

/// The source of a receiver whose mail has not left yet.
pub(super) fn pending(source: &str) -> String {
    format!("{source}{PENDING}")
}

/// The source of a receiver whose mail did not leave while it was expected.
pub(super) fn never(source: &str) -> String {
    format!("{source}{NEVER}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_due_while_the_source_is_marked_and_the_receiver_is_young() {
        let state = |activated, deactivated, source: &str| Member {
            registered: 10_000,
            activated,
            deactivated,
            source: source.to_owned(),
            ..Member::default()
        };
        let (due, late) = (pending("Towpath"), never("Towpath"));
        assert_eq!(state(0, 0, &due).mail(13_599), Mail::Due);
        assert_eq!(state(0, 0, &due).mail(13_600), Mail::Late);
        assert_eq!(state(0, 0, &late).mail(10_001), Mail::Never);
        assert_eq!(state(0, 0, "Towpath").mail(10_001), Mail::Left);
        assert_eq!(state(10_001, 0, &due).mail(10_002), Mail::Answered);
        assert_eq!(state(0, 10_001, &late).mail(20_000), Mail::Answered);
        assert_eq!(state(0, 0, &late).bare_source(), Some("Towpath"));
    }
}
