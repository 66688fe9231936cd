//! Time: the one place that asks the system for it, and a clock that tests turn by hand.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Written as RFC 3339 in UTC; read from that or from a number of epoch seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The moment `seconds` seconds after the epoch; out of range is cut to the range.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Reads RFC 3339 (`2026-11-21T05:00:00Z`).
    pub fn parse(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|time| Self(time.timestamp_millis()))
    }

    /// Reads the date of an HTTP header (`Sat, 21 Nov 2026 05:00:00 GMT`).
    pub fn parse_http(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc2822(text).ok().map(|time| Self(time.timestamp_millis()))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(duration)))
    }

    /// The moment `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(duration)))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{} ms after the epoch", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match DateTime::from_timestamp_millis(self.0) {
            Some(_) => serializer.collect_str(self),
            None => serializer.serialize_i64(self.secs()),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"2026-11-21T05:00:00Z\" or epoch seconds")
            }
            fn visit_i64<E>(self, seconds: i64) -> Result<Timestamp, E> {
                Ok(Timestamp::from_secs(seconds))
            }
            fn visit_u64<E>(self, seconds: u64) -> Result<Timestamp, E> {
                Ok(Timestamp::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Tells the time and waits; every wait of the runtime goes through it.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The present moment. The clock may be set: a later one may be earlier, or years ahead.
    fn now(&self) -> Timestamp;

    /// How long this clock has been going: what waits are reckoned by, since nobody sets it.
    ///
    /// A clock that nobody sets need not tell it apart.
    fn elapsed(&self) -> Duration {
        self.now().since(Timestamp::default())
    }

    /// Waits for `duration`.
    async fn sleep(&self, duration: Duration);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // This is the clock that everybody else asks.
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map_or(0, millis_of))
    }

    fn elapsed(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// A clock that stands still until told otherwise; a sleep moves it and returns at once.
#[derive(Debug)]
pub struct ManualClock {
    shows: AtomicI64,
    elapsed: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self { shows: AtomicI64::new(start.0), elapsed: AtomicI64::new(0) }
    }

    /// Lets time pass.
    pub fn advance(&self, duration: Duration) {
        self.shows.fetch_add(millis_of(duration), Ordering::SeqCst);
        self.elapsed.fetch_add(millis_of(duration), Ordering::SeqCst);
    }

    /// Sets the clock, as somebody sets a machine's: it shows another moment, and no time passes.
    pub fn set(&self, moment: Timestamp) {
        self.shows.store(moment.0, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.shows.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.elapsed.load(Ordering::SeqCst)).unwrap_or(0))
    }

    async fn sleep(&self, duration: Duration) {
        self.advance(duration);
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_and_read_from_seconds_too() {
        let time = Timestamp::from_secs(1_600_000_000);
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2020-09-13T12:26:40Z\"");
        for text in ["\"2020-09-13T12:26:40Z\"", "\"2020-09-13T14:26:40+02:00\"", "1600000000"] {
            assert_eq!(serde_json::from_str::<Timestamp>(text).unwrap(), time, "{text}");
        }
        let error = serde_json::from_str::<Timestamp>("\"yesterday\"").unwrap_err().to_string();
        assert!(error.contains("epoch seconds"), "{error}");
    }

    #[test]
    fn the_date_header_is_read() {
        let date = Timestamp::parse_http("Sun, 13 Sep 2020 12:26:40 GMT");
        assert_eq!(date, Some(Timestamp::from_secs(1_600_000_000)));
        assert_eq!(Timestamp::parse_http("soon"), None);
    }

    #[test]
    fn arithmetic_stays_in_range() {
        let last = Timestamp::from_millis(i64::MAX);
        assert_eq!(last.plus(Duration::from_secs(1)), last);
        assert_eq!(Timestamp::from_millis(-1).secs(), -1);
        assert_eq!(Timestamp::default().since(last), Duration::ZERO);
        assert!(serde_json::to_string(&last).is_ok());
    }
}
