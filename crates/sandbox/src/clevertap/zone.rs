//! A project's time zone, in which CleverTap writes times without saying so.

use std::fmt;
use std::str::FromStr;

use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time zone, by its IANA name; UTC without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Zone(Tz);

impl Zone {
    /// A moment in epoch seconds as `yyyyMMddHHmmss` there. Where clocks are set back an hour is
    /// written twice.
    pub(super) fn written(self, second: i64) -> Option<u64> {
        let moment = chrono::DateTime::from_timestamp(second, 0)?;
        moment.with_timezone(&self.0).format("%Y%m%d%H%M%S").to_string().parse().ok()
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = name.parse().map(Self);
        known.map_err(|_| format!("there is no time zone \"{name}\"; give an IANA name"))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
