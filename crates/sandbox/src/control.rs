//! The controls over HTTP, the same on both ports, below `/_sandbox/`.
//!
//! | path | methods |
//! |---|---|
//! | `stats` | GET, DELETE (reset) |
//! | `clock` | GET, PUT `{"now": seconds}` or `{"advance": seconds}` |
//! | `switches` | GET, PUT (those left out return to their default) |
//! | `receivers` | GET `?offset&limit`, POST `{"seed": n}`, PUT a receiver |
//! | `receivers/{id}` | GET, DELETE |
//! | `receivers/{id}/groups/{group}` | PUT attributes of the group's own (join it), DELETE (leave it) |
//! | `groups` | PUT `{"id", "name", "every"}` |
//! | `attributes` | PUT `{"group", "name"}`; account-wide without a group |
//! | `touch` | POST `{"count"` or `"ids", "what", "field", "at", "attributes", "tags"}` |
//! | `mails`, `blacklist` | GET |
//! | `delivered` | GET `?offset&limit`, DELETE (forget) |
//! | `profiles` | GET how many there are |
//! | `profiles/{identity}` | GET |
//! | `profiles/{identity}/devices/{id}` | PUT (take it for one of the person's) |
//! | `ordered`, `uploaded` | GET |
//! | `faults` | GET, POST a fault, DELETE (all) |

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::cleverreach::{Receiver, Touch};
use crate::clevertap::Delivered;
use crate::fault::Fault;
use crate::options::{GroupSeed, Switches};
use crate::sandbox::State;

const DEFAULT_LIMIT: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SetClock {
    Now(i64),
    Advance(i64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Define {
    group: Option<u64>,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    seed: usize,
}

/// Answers a control request.
pub(crate) fn answer(state: &State, call: &Call, body: &[u8]) -> Answer {
    let path = call.path();
    let rest = path.get(1..).unwrap_or_default();
    match (call.method.as_str(), rest) {
        ("GET", ["stats"]) => Answer::json(200, &state.counters.snapshot()),
        ("DELETE", ["stats"]) => {
            state.counters.reset();
            Answer::nothing()
        }
        ("GET", ["clock"]) => show_clock(state),
        ("PUT", ["clock"]) => with(body, |set: SetClock| {
            match set {
                SetClock::Now(now) => state.clock.set(now),
                SetClock::Advance(seconds) => {
                    state.clock.advance(seconds);
                }
            }
            show_clock(state)
        }),
        ("GET", ["switches"]) => Answer::json(200, &*state.switches()),
        ("PUT", ["switches"]) => with(body, |switches: Switches| {
            state.set_switches(switches);
            Answer::json(200, &*state.switches())
        }),
        (_, ["receivers", ..] | ["touch" | "groups" | "attributes" | "mails" | "blacklist"]) => {
            receivers(state, call, body, rest)
        }
        ("GET", ["delivered"]) => {
            let (offset, limit) = range(call);
            let page = state.clevertap.delivered(offset, limit);
            let records: Vec<Value> = page.iter().map(Delivered::show).collect();
            let total = state.clevertap.delivered_count();
            Answer::json(200, &json!({ "total": total, "records": records }))
        }
        ("DELETE", ["delivered"]) => {
            state.clevertap.clear();
            Answer::nothing()
        }
        ("GET", ["ordered"]) => Answer::json(200, &state.clevertap.ordered()),
        ("GET", ["uploaded"]) => Answer::json(200, &state.clevertap.uploaded()),
        ("GET", ["profiles"]) => {
            Answer::json(200, &json!({ "total": state.clevertap.profile_count() }))
        }
        ("GET", ["profiles", identity]) => match state.clevertap.profile(identity) {
            Some(profile) => Answer::json(200, &profile),
            None => unknown(),
        },
        ("PUT", ["profiles", identity, "devices", id]) => {
            state.clevertap.add_device(identity, id);
            Answer::nothing()
        }
        ("GET", ["faults"]) => Answer::json(200, &state.faults.list()),
        ("POST", ["faults"]) => with(body, |fault: Fault| {
            state.faults.add(fault);
            Answer::json(200, &state.faults.list())
        }),
        ("DELETE", ["faults"]) => {
            state.faults.clear();
            Answer::nothing()
        }
        _ => unknown(),
    }
}

fn receivers(state: &State, call: &Call, body: &[u8], rest: &[&str]) -> Answer {
    let data = &state.cleverreach;
    match (&call.method, rest) {
        (&Method::GET, ["receivers"]) => {
            let (offset, limit) = range(call);
            let page = data.receivers(offset, limit);
            Answer::json(200, &json!({ "total": data.len(), "receivers": page }))
        }
        (&Method::POST, ["receivers"]) => with(body, |Seed { seed }| {
            Answer::json(200, &json!({ "total": data.seed(seed, state.clock.now()) }))
        }),
        (&Method::PUT, ["receivers"]) => with(body, |receiver: Receiver| {
            Answer::json(200, &json!({ "id": data.put(&receiver) }))
        }),
        (&Method::GET, ["receivers", id]) => match data.receiver(id) {
            Some(receiver) => Answer::json(200, &receiver),
            None => unknown(),
        },
        (&Method::DELETE, ["receivers", id]) if data.remove(id) => Answer::nothing(),
        (&Method::PUT, ["receivers", id, "groups", group]) => {
            with(body, |own: Map<String, Value>| {
                let now = state.clock.now();
                let joined = group.parse().is_ok_and(|group| data.join(id, group, &own, now));
                if joined { Answer::nothing() } else { unknown() }
            })
        }
        (&Method::DELETE, ["receivers", id, "groups", group])
            if group.parse().is_ok_and(|group| data.leave(id, group)) =>
        {
            Answer::nothing()
        }
        (&Method::PUT, ["groups"]) => with(body, |group: GroupSeed| {
            data.add_group(group, state.clock.now());
            Answer::nothing()
        }),
        (&Method::PUT, ["attributes"]) => with(body, |Define { group, name }| {
            data.define(group.unwrap_or(0), &name);
            Answer::nothing()
        }),
        (&Method::GET, ["blacklist"]) => Answer::json(200, &data.blacklist()),
        (&Method::GET, ["mails"]) => Answer::json(200, &data.mails()),
        (&Method::POST, ["touch"]) => with(body, |touch: Touch| {
            Answer::json(200, &json!({ "ids": data.touch(&touch, state.clock.now()) }))
        }),
        _ => unknown(),
    }
}

fn with<T: DeserializeOwned>(body: &[u8], act: impl FnOnce(T) -> Answer) -> Answer {
    match serde_json::from_slice(body) {
        Ok(value) => act(value),
        Err(error) => Answer::json(400, &json!({ "error": error.to_string() })),
    }
}

fn show_clock(state: &State) -> Answer {
    Answer::json(200, &json!({ "now": state.clock.now() }))
}

fn range(call: &Call) -> (usize, usize) {
    let number = |name| call.parameter(name).and_then(|text| text.parse().ok());
    (number("offset").unwrap_or(0), number("limit").unwrap_or(DEFAULT_LIMIT))
}

fn unknown() -> Answer {
    Answer::json(404, &json!({ "error": "there is no such control or no such thing" }))
}
