//! Checks how a trigger or a step tries again.

use std::time::Duration;

use crate::Retry;
use crate::check::{Checker, count};
use crate::duration::written;
use crate::file::{RetryFile, Spanned};
use crate::finding::code;

impl Checker<'_, '_, '_> {
    /// What is written, the rest by default; tells what cannot be kept to.
    pub(crate) fn retry(&mut self, file: Option<&RetryFile>) -> Retry {
        let default = Retry::default();
        let Some(file) = file else { return default };
        let second = Duration::from_secs(1);
        let base = self.duration(file.base.as_ref(), second);
        let cap = self.duration(file.cap.as_ref(), second);
        let time = self.duration(file.time.as_ref(), second);
        let base = base.unwrap_or_else(|| default.base.min(cap.unwrap_or(default.base)));
        let retry = Retry {
            attempts: count(file.attempts.as_ref()).unwrap_or(default.attempts),
            base,
            cap: cap.unwrap_or(default.cap.max(base)),
            time: time.unwrap_or(default.time.max(base)),
            jitter: file.jitter.as_ref().map_or(default.jitter, |jitter| jitter.value),
        };
        if retry.cap < retry.base {
            self.never(file.cap.as_ref(), "`cap` is shorter than `base`: no wait could be both");
        }
        if retry.time < retry.base && retry.attempts.get() > 1 {
            let message = format!(
                "`time` is over before the first wait of {}: no second try could begin",
                written(retry.base)
            );
            self.never(file.time.as_ref(), &message);
        }
        retry
    }

    fn never(&mut self, place: Option<&Spanned<String>>, message: &str) {
        if let Some(place) = place {
            self.source.error(code::DURATION, place.span.clone(), message, None);
        }
    }
}
