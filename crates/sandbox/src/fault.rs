//! Failures on demand: which requests fail, how, and how often.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::gathering::{Gathering, Place};
use crate::lock::lock;
use crate::stats::Vendor;

/// A failure that is applied to the requests that match it.
///
/// Faults are tried in the order in which they were set; the first that applies decides, except
/// that [`Action::Delay`] and [`Action::Gather`] add up with what follows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Whose requests.
    pub vendor: Vendor,
    /// Only this method, in capitals; every one without it.
    #[serde(default)]
    pub method: Option<String>,
    /// What path and query must contain, as sent; empty matches all.
    #[serde(default)]
    pub path: String,
    /// What happens.
    pub action: Action,
    /// How many matching requests pass first.
    #[serde(default)]
    pub after: u64,
    /// How many matching requests fail then.
    #[serde(default)]
    pub times: Times,
}

impl Fault {
    /// Describes a fault of the next request whose path contains `path`.
    pub fn new(vendor: Vendor, path: impl Into<String>, action: Action) -> Self {
        Self { vendor, method: None, path: path.into(), action, after: 0, times: Times::default() }
    }

    /// Restricts the fault to one method.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Lets the first `matches` pass.
    #[must_use]
    pub fn after(mut self, matches: u64) -> Self {
        self.after = matches;
        self
    }

    /// Fails `times` requests instead of one.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Times::Count(times);
        self
    }

    /// Fails every request until the faults are cleared.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.times = Times::Forever;
        self
    }

    fn matches(&self, vendor: Vendor, method: &str, target: &str) -> bool {
        self.vendor == vendor
            && self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && target.contains(&self.path)
    }
}

/// How many requests a fault applies to: a number, or `"forever"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// So many.
    Count(u64),
    /// All, until the faults are cleared.
    Forever,
}

impl Default for Times {
    fn default() -> Self {
        Self::Count(1)
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Forever => serializer.serialize_str("forever"),
        }
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Times;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a number or \"forever\"")
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Times, E> {
                Ok(Times::Count(count))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Times, E> {
                if text == "forever" {
                    return Ok(Times::Forever);
                }
                Err(E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What a fault does to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Action {
    /// Answers this instead; the request is not processed.
    Status {
        /// The HTTP status.
        status: u16,
        /// Headers to send along.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// The body, as is.
        #[serde(default)]
        body: String,
    },
    /// Waits first, then goes on as usual.
    Delay {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Holds requests until so many have come, then lets these go on as usual, and holds the next
    /// ones; clearing the faults lets go of all. It shows how many a client has under way at once.
    Gather {
        /// How many go on together.
        requests: NonZeroU64,
    },
    /// Processes the request and closes the connection inside the answer's body, whose
    /// `Content-Length` promised all of it.
    CutBody {
        /// How many bytes of the body are sent at most.
        after_bytes: usize,
    },
    /// Closes the connection before any byte of the answer.
    CloseConnection {
        /// Whether the request is processed all the same.
        #[serde(default)]
        process: bool,
    },
    /// Answers 429 with the vendor's body; the request is not processed.
    TooManyRequests {
        /// The header `Retry-After` in seconds; neither vendor documents one.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Makes every access token issued so far invalid, then goes on as usual.
    ExpireTokens,
    /// Answers a list request with the page before the one it asks for.
    RepeatPage,
    /// Answers this body instead, as if all were well; the request is not processed.
    Body {
        /// The HTTP status.
        #[serde(default = "ok")]
        status: u16,
        /// The body, as is: an error envelope, what is not JSON, a wrong type.
        body: String,
    },
    /// Answers 200 with a JSON string of this size; the request is not processed.
    HugeBody {
        /// The body's size.
        bytes: usize,
    },
}

impl Action {
    /// Describes a bare status without headers or body.
    pub fn status(status: u16) -> Self {
        Self::Status { status, headers: BTreeMap::new(), body: String::new() }
    }

    /// Describes a 200 with this body.
    pub fn body(body: impl Into<String>) -> Self {
        Self::Body { status: 200, body: body.into() }
    }
}

fn ok() -> u16 {
    200
}

/// A fault and how often it matched and was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultState {
    /// What was asked for.
    pub fault: Fault,
    /// Requests that matched, including those that passed.
    pub matched: u64,
    /// Requests it was applied to.
    pub applied: u64,
}

/// What befalls one request.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) delay: Duration,
    /// Where it waits for others, one place a fault.
    pub(crate) gathered: Vec<Place>,
    pub(crate) action: Option<Action>,
}

impl Verdict {
    pub(crate) fn is_fault(&self) -> bool {
        self.action.is_some() || !self.delay.is_zero() || !self.gathered.is_empty()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Set>>);

/// A fault that was set.
#[derive(Debug)]
struct Set {
    state: FaultState,
    /// The requests that it holds, if it gathers them.
    gathering: Gathering,
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        let state = FaultState { fault, matched: 0, applied: 0 };
        lock(&self.0).push(Set { state, gathering: Gathering::default() });
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }

    pub(crate) fn list(&self) -> Vec<FaultState> {
        lock(&self.0).iter().map(|set| set.state.clone()).collect()
    }

    pub(crate) fn judge(&self, vendor: Vendor, method: &str, target: &str) -> Verdict {
        let mut verdict = Verdict::default();
        for Set { state, gathering } in lock(&self.0).iter_mut() {
            if !state.fault.matches(vendor, method, target) {
                continue;
            }
            state.matched += 1;
            let spent = match state.fault.times {
                Times::Count(count) => state.applied >= count,
                Times::Forever => false,
            };
            if state.matched <= state.fault.after || spent {
                continue;
            }
            state.applied += 1;
            match &state.fault.action {
                Action::Delay { ms } => verdict.delay += Duration::from_millis(*ms),
                Action::Gather { requests } => verdict.gathered.push(gathering.join(*requests)),
                action => {
                    verdict.action = Some(action.clone());
                    break;
                }
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_waits_counts_and_ends() {
        let faults = Faults::default();
        let path = "/1/upload";
        faults.add(Fault::new(Vendor::CleverTap, "upload", Action::ExpireTokens).after(1).times(2));
        let hits: Vec<bool> =
            (0..5).map(|_| faults.judge(Vendor::CleverTap, "POST", path).is_fault()).collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert!(!faults.judge(Vendor::CleverReach, "POST", path).is_fault());
    }

    #[test]
    fn faults_are_readable_json() {
        let fault: Fault = serde_json::from_str(
            r#"{"vendor":"clevertap","action":{"cutBody":{"afterBytes":7}},"times":"forever"}"#,
        )
        .unwrap();
        assert_eq!(fault.times, Times::Forever);
        assert_eq!(fault.action, Action::CutBody { after_bytes: 7 });
    }
}
