//! Plays requests that come in against a webhook trigger, and what may be wrong with them.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connector::prelude::{Method, StatusCode};
use connector::{
    Account, Connector, Proof, Received, Record, Secret, Timestamp, TriggerDescriptor, Unproven,
};

use crate::promise::{Ledger, Promise};
use crate::story::{Incoming, Story, System, Taken};

/// The time here in stories that do not say.
const NOW: Timestamp = Timestamp::from_secs(1_763_700_000);

/// What a recorded signature is too old after, whatever its window.
const LATER: Duration = Duration::from_secs(8 * 24 * 3600);

/// Plays the requests of a story; gives the records that they brought.
pub(crate) fn check(
    connector: &Connector,
    descriptor: &TriggerDescriptor,
    system: &System,
    story: &Story,
    ledger: &mut Ledger,
) -> Vec<Record> {
    let configured = (descriptor.configure)(story.fields());
    let accounts = [system.account.clone(), BTreeMap::new()];
    let [account, bare] = accounts.map(|values| connector.account("testkit", None, values));
    let (trigger, account) = match (configured, account) {
        (Ok(trigger), Ok(account)) => (trigger, account),
        (Err(problem), _) => {
            ledger.breaks(Promise::Stories, "fields that the trigger takes", problem);
            return vec![];
        }
        (_, Err(problem)) => {
            ledger.breaks(Promise::Stories, "an account of the connector", problem.to_string());
            return vec![];
        }
    };
    let Some(hook) = trigger.webhook() else { return vec![] };
    // What a registration would have given.
    let kept = trigger.heard().map(|heard| heard.kept()).unwrap_or_default();
    let kept = kept.iter().map(|name| (*name, Secret::new(format!("not-a-real-{name}"))));
    let account = account.with_kept(kept);
    let proof = hook.proof();
    let mut records = vec![];
    for incoming in &story.requests {
        ledger.mutation = "as recorded".to_owned();
        let Some(request) = proven(incoming, story.now.unwrap_or(NOW), &proof, &account) else {
            ledger.breaks(Promise::Stories, "a method and headers of HTTP", "others");
            continue;
        };
        let broken = |ledger: &mut Ledger, expected: &str, got: String| {
            ledger.breaks(Promise::Proven, expected, got);
        };
        if !hook.methods().contains(&request.method) {
            let got = format!("{:?}", hook.methods());
            ledger.breaks(Promise::Stories, format!("{} among its methods", request.method), got);
        }
        if let Err(problem) = proof.check(&account, &request) {
            broken(ledger, "a request that proves who sent it is believed", problem.to_string());
        }
        let received = hook.receive(&request);
        let delivery = hook.key(&request);
        match (&received, &incoming.expect) {
            (Ok(found), Taken::Records { keys, delivery: expected }) => {
                let found: Vec<_> = found.iter().map(|record| record.key.clone()).collect();
                if found != *keys {
                    ledger.breaks(Promise::Records, format!("{keys:?}"), format!("{found:?}"));
                }
                if delivery != *expected {
                    let (expected, got) = (format!("{expected:?}"), format!("{delivery:?}"));
                    ledger.breaks(Promise::Repeated, expected, got);
                }
            }
            (Err(refusal), Taken::Refused { refused }) => {
                if refusal.status.as_u16() != *refused {
                    let got = refusal.status.as_u16().to_string();
                    ledger.breaks(Promise::Refusals, refused.to_string(), got);
                }
            }
            (got, expected) => {
                let got = got.as_ref().map(Vec::len);
                let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
                ledger.breaks(Promise::Records, expected, got);
            }
        }
        doubt(&proof, (&account, bare.as_ref().ok()), &request, ledger);
        if let Ok(found) = received {
            torn(&request, found.len(), |request| hook.receive(request), ledger);
            records.extend(found);
        }
    }
    records
}

/// What does not prove who sent it is not believed.
fn doubt(
    proof: &Proof,
    (account, bare): (&Account, Option<&Account>),
    request: &Received,
    ledger: &mut Ledger,
) {
    let mut hold = |mutation: &str, account: &Account, request: &Received, expected: &str| {
        ledger.mutate(mutation);
        let got = proof.check(account, request);
        let fits = match &got {
            Ok(()) => *proof == Proof::None,
            Err(Unproven::Missing(_)) => expected != "wrong",
            Err(Unproven::Wrong(_)) => expected != "missing",
            Err(Unproven::Unset { .. }) => expected == "unset",
        };
        if !fits {
            ledger.breaks(Promise::Proven, format!("the proof is {expected}"), format!("{got:?}"));
        }
    };
    let mut unproven = request.clone();
    for name in headers_of(proof) {
        unproven.headers.remove(name);
    }
    hold("it brings no proof", account, &unproven, "missing");
    for name in headers_of(proof).into_iter().take(1) {
        let mut wrong = request.clone();
        let value = wrong.header(name).unwrap_or_default();
        let mut altered: Vec<u8> = value.bytes().collect();
        // A digit of the middle: neither a prefix nor padding.
        if let Some(byte) = altered.get_mut(value.len().saturating_sub(6)) {
            *byte = if *byte == b'0' { b'1' } else { b'0' };
        }
        if let Ok(value) = altered.as_slice().try_into() {
            wrong.headers.insert(header(name), value);
        }
        hold("its proof is altered", account, &wrong, "wrong");
    }
    if let Some(bare) = bare {
        let values = proof.settings();
        if !values.is_empty() {
            hold("the account has no secret", bare, request, "unset");
        }
    }
    if let Proof::Hmac(signed) = proof {
        let mut altered = request.clone();
        altered.body = [&request.body[..], b" "].concat().into();
        hold("its body is altered", account, &altered, "wrong");
        if signed.time.is_some() {
            let mut late = request.clone();
            late.at = request.at.plus(LATER);
            hold("it comes again much later", account, &late, "wrong");
        }
    }
}

/// A body that was cut off is refused, and not taken in part.
fn torn(
    request: &Received,
    records: usize,
    receive: impl Fn(&Received) -> Result<Vec<Record>, connector::Refusal>,
    ledger: &mut Ledger,
) {
    let is_form = request.media_type() == "application/x-www-form-urlencoded";
    for share in [1, 2, 3] {
        ledger.mutate(format!("{share}/4 of its body come"));
        let mut torn = request.clone();
        torn.body = request.body.slice(..request.body.len() * share / 4);
        match receive(&torn) {
            Err(refusal) if refusal.status.is_client_error() => {
                let body = String::from_utf8_lossy(&torn.body).into_owned();
                if body.len() > 8 && refusal.reason.contains(&body) {
                    ledger.breaks(Promise::Refusals, "no content in what is said", refusal.reason);
                }
            }
            Err(refusal) => {
                let got = refusal.status.as_u16().to_string();
                ledger.breaks(Promise::Refusals, "a status of 4xx", got);
            }
            // Of a form nobody can tell that it was cut, and its length is HTTP's business.
            Ok(_) if is_form || records == 0 => {}
            Ok(found) => {
                let got = format!("{} of {records} records", found.len());
                ledger.breaks(Promise::Refusals, "a status of 4xx", got);
            }
        }
    }
    ledger.mutate("its body is noise");
    let mut noise = request.clone();
    noise.body = (0..=255).collect::<Vec<u8>>().into();
    if let Err(refusal) = receive(&noise)
        && refusal.status == StatusCode::INTERNAL_SERVER_ERROR
    {
        ledger.breaks(Promise::Refusals, "a status of 4xx", "500");
    }
}

/// A request as its sender makes it, proof and all.
fn proven(
    incoming: &Incoming,
    at: Timestamp,
    proof: &Proof,
    account: &Account,
) -> Option<Received> {
    let method: Method = incoming.method.parse().ok()?;
    let body = match (&incoming.body, &incoming.text) {
        (Some(body), _) => body.to_string().into_bytes(),
        (None, Some(text)) => text.clone().into_bytes(),
        (None, None) => vec![],
    };
    let query = incoming.query.iter().map(|(name, value)| (name.clone(), value.clone()));
    let mut request = Received {
        method,
        query: query.collect(),
        headers: Default::default(),
        body: body.into(),
        at,
    };
    let mut headers: Vec<(String, String)> =
        incoming.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let value = |setting: &str| account.values().get(setting).to_owned();
    match proof {
        Proof::None => {}
        Proof::Header { name, prefix, secret } => {
            headers.push((name.clone(), format!("{prefix}{}", value(secret))));
        }
        Proof::Basic { user, password } => {
            let pair = STANDARD.encode(format!("{}:{}", value(user), value(password)));
            headers.push(("authorization".to_owned(), format!("Basic {pair}")));
        }
        Proof::Hmac(signed) => {
            let signature = signed.sign(&value(signed.secret), at, &request.body);
            headers.push((signed.header.clone(), signature));
            if let Some(time) = &signed.time {
                headers.push((time.header.clone(), at.secs().to_string()));
            }
        }
    }
    for (name, value) in headers {
        let name: connector::prelude::HeaderName = name.parse().ok()?;
        request.headers.insert(name, value.parse().ok()?);
    }
    Some(request)
}

/// The headers that a proof stands in, that with the secret or signature first.
fn headers_of(proof: &Proof) -> Vec<&str> {
    match proof {
        Proof::None => vec![],
        Proof::Header { name, .. } => vec![name],
        Proof::Basic { .. } => vec!["authorization"],
        Proof::Hmac(signed) => {
            let time = signed.time.as_ref().map(|time| time.header.as_str());
            [signed.header.as_str()].into_iter().chain(time).collect()
        }
    }
}

fn header(name: &str) -> connector::prelude::HeaderName {
    name.parse().unwrap_or(connector::prelude::HeaderName::from_static("x-none"))
}
