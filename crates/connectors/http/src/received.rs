//! `received`: takes what another system sends.

use std::time::Duration;

use connector::prelude::*;
use connector::{Answers, Encoding, Hash, Hmac, SignedTime};

use crate::{WEBHOOK_SECRET, WEBHOOK_USER};

/// The largest body that the field `largestBody` allows.
const LARGEST_BODY: usize = 16 * 1024 * 1024;

/// No sender waits longer, in milliseconds: the server gives a request up after that.
const LONGEST_ANSWER: u32 = 25_000;

/// How old a signature may be, unless the field `window` says otherwise.
const WINDOW: u32 = 300;

/// Takes the requests that another system sends to `/hooks/` and the flow's name. Each is kept
/// durably before it is answered with 202, and delivered like a polled record. Bodies are JSON, JSON
/// lines or forms.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [
    { "authentication": "header", "header": "X-Webhook-Token", "keyAt": "/id" }
]))]
pub(crate) struct WebhookReceived {
    /// How the sender proves who it is: by the account's `webhookSecret` in a header, by
    /// `webhookUser` and that as password, by a signature that it makes with that, or, where
    /// anybody who knows the address may send, not at all (`none`).
    authentication: Authentication,
    /// The header with the token or the signature; `X-Webhook-Token` or `X-Signature` without it.
    #[serde(default)]
    header: Option<String>,
    /// What stands before the token or the signature in the header: `Bearer `, `sha256=`.
    #[serde(default)]
    prefix: Option<String>,
    /// The hash of the signature.
    #[serde(default)]
    hash: SignatureHash,
    /// How the signature is written.
    #[serde(default)]
    encoding: SignatureEncoding,
    /// The header with the time of the signature, in seconds since 1970. Then what is signed is that
    /// time, a full stop and the body, and a request that somebody recorded cannot be sent again.
    #[serde(default)]
    timestamp_header: Option<String>,
    /// How many seconds that time may be from ours.
    #[serde(default = "window")]
    #[schemars(range(min = 1, max = 86_400))]
    window: u32,
    /// The methods that are taken.
    #[serde(default = "post")]
    #[schemars(length(min = 1))]
    methods: Vec<Verb>,
    /// The largest body in bytes, at most 16 MiB.
    #[serde(default = "mebibyte")]
    #[schemars(range(min = 1, max = 16_777_216))]
    largest_body: u32,
    /// Where in the body the records are, as a JSON Pointer such as `/events`: a list gives a record
    /// for each of its items. The whole body without it.
    #[serde(default)]
    records_at: Option<String>,
    /// Where in a record its key is, as a JSON Pointer such as `/id`. Records with the same key keep
    /// their order. Without it every record has a key of its own.
    #[serde(default)]
    key_at: Option<String>,
    /// The header that names the delivery: one that comes again within a day is answered like the
    /// first and not delivered again.
    #[serde(default)]
    delivery_header: Option<String>,
    /// The same where the body names it, as a JSON Pointer such as `/event_id`.
    #[serde(default)]
    delivery_at: Option<String>,
    /// How many milliseconds the sender waits for what the flow makes of its request, which then is
    /// the answer: the result of the last step that was done. Such a request has one record, is not
    /// kept, and is not tried again later.
    #[serde(default)]
    #[schemars(range(min = 1, max = 25_000))]
    answer_within: Option<u32>,
    /// What is answered where that takes longer, fails, or comes to no step.
    #[serde(default)]
    fallback: Value,
}

/// How a sender proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Authentication {
    /// A secret in a header.
    Header,
    /// User and password.
    Basic,
    /// A signature of the body.
    Hmac,
    /// Not at all: whoever knows the address may send.
    None,
}

/// The hash of a signature.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum SignatureHash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum SignatureEncoding {
    /// Hexadecimal digits.
    #[default]
    Hex,
    /// Base64.
    Base64,
}

/// A method that brings a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Verb {
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
}

const fn window() -> u32 {
    WINDOW
}

fn post() -> Vec<Verb> {
    vec![Verb::Post]
}

const fn mebibyte() -> u32 {
    1024 * 1024
}

impl WebhookTrigger for WebhookReceived {
    fn validate(&self) -> Result<(), String> {
        let pointers = [
            ("recordsAt", &self.records_at),
            ("keyAt", &self.key_at),
            ("deliveryAt", &self.delivery_at),
        ];
        for (field, pointer) in pointers {
            if pointer.as_ref().is_some_and(|it| !it.is_empty() && !it.starts_with('/')) {
                return Err(format!("`{field}` is no JSON Pointer: it begins with `/`"));
            }
        }
        let headers = [
            ("header", &self.header),
            ("timestampHeader", &self.timestamp_header),
            ("deliveryHeader", &self.delivery_header),
        ];
        for (field, header) in headers {
            if header.as_ref().is_some_and(|it| it.parse::<http::HeaderName>().is_err()) {
                return Err(format!("`{field}` is no name of a header"));
            }
        }
        if !(1..=LARGEST_BODY).contains(&(self.largest_body as usize)) {
            return Err(format!("`largestBody` is 1 to {LARGEST_BODY}"));
        }
        if !(1..=86_400).contains(&self.window) {
            return Err("`window` is 1 to 86400 seconds".to_owned());
        }
        if self.methods.is_empty() {
            return Err("`methods` names no method".to_owned());
        }
        match self.answer_within {
            Some(within) if !(1..=LONGEST_ANSWER).contains(&within) => {
                return Err(format!("`answerWithin` is 1 to {LONGEST_ANSWER} milliseconds"));
            }
            None if !self.fallback.is_null() => {
                return Err("`fallback` says nothing without `answerWithin`".to_owned());
            }
            Some(_) if self.delivery_header.is_some() || self.delivery_at.is_some() => {
                return Err("with `answerWithin` nothing is kept that a delivery could be known \
                            by: leave its name out"
                    .to_owned());
            }
            _ => {}
        }
        let unused = match self.authentication {
            Authentication::Hmac => None,
            _ if self.timestamp_header.is_some() => Some("timestampHeader"),
            Authentication::Header => None,
            _ if self.header.is_some() => Some("header"),
            _ if self.prefix.is_some() => Some("prefix"),
            _ => None,
        };
        match unused {
            Some(field) => Err(format!("`{field}` says nothing with this `authentication`")),
            None => Ok(()),
        }
    }

    fn proof(&self) -> Proof {
        let header = |default: &str| self.header.clone().unwrap_or_else(|| default.to_owned());
        let prefix = self.prefix.clone().unwrap_or_default();
        match self.authentication {
            Authentication::None => Proof::None,
            Authentication::Basic => Proof::Basic { user: WEBHOOK_USER, password: WEBHOOK_SECRET },
            Authentication::Header => {
                Proof::Header { name: header("X-Webhook-Token"), prefix, secret: WEBHOOK_SECRET }
            }
            Authentication::Hmac => Proof::Hmac(Hmac {
                secret: WEBHOOK_SECRET,
                header: header("X-Signature"),
                prefix,
                hash: match self.hash {
                    SignatureHash::Sha1 => Hash::Sha1,
                    SignatureHash::Sha256 => Hash::Sha256,
                    SignatureHash::Sha512 => Hash::Sha512,
                },
                encoding: match self.encoding {
                    SignatureEncoding::Hex => Encoding::Hex,
                    SignatureEncoding::Base64 => Encoding::Base64,
                },
                time: self.timestamp_header.clone().map(|header| SignedTime {
                    header,
                    window: Duration::from_secs(self.window.into()),
                }),
            }),
        }
    }

    fn methods(&self) -> Vec<Method> {
        let method = |verb: &Verb| match verb {
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Patch => Method::PATCH,
        };
        self.methods.iter().map(method).collect()
    }

    fn largest_body(&self) -> usize {
        self.largest_body as usize
    }

    fn key(&self, request: &Received) -> Option<String> {
        let named = self.delivery_header.as_ref().and_then(|header| request.header(header));
        let named = named.map(str::to_owned);
        named.or_else(|| {
            let pointer = self.delivery_at.as_ref()?;
            text(serde_json::from_slice::<Value>(&request.body).ok()?.pointer(pointer)?)
        })
    }

    fn answers(&self) -> Option<Answers> {
        let deadline = Duration::from_millis(self.answer_within?.into());
        Some(Answers { deadline, fallback: self.fallback.clone() })
    }

    fn receive(&self, request: &Received) -> Result<Vec<Record>, Refusal> {
        let mut records = vec![];
        for data in bodies(request)? {
            match &self.records_at {
                None => records.push(self.record(data)?),
                Some(pointer) => match part(&data, pointer)? {
                    Part::List(items) => {
                        for item in items {
                            records.push(self.record(item)?);
                        }
                    }
                    Part::One(item) => records.push(self.record(item)?),
                },
            }
        }
        Ok(records)
    }
}

impl WebhookReceived {
    fn record(&self, data: Box<RawValue>) -> Result<Record, Refusal> {
        let key = match &self.key_at {
            None => String::new(),
            Some(pointer) => {
                let value: Value = serde_json::from_str(data.get()).unwrap_or_default();
                let key = value.pointer(pointer).and_then(text);
                // Nobody could say which record it is, nor keep its order.
                key.filter(|key| !key.is_empty()).ok_or_else(|| {
                    Refusal::bad_request(format!("a record has no text or number at {pointer}"))
                })?
            }
        };
        Ok(Record { key, version: None, data })
    }
}

/// What a pointer leads to.
enum Part {
    One(Box<RawValue>),
    List(Vec<Box<RawValue>>),
}

fn part(data: &RawValue, pointer: &str) -> Result<Part, Refusal> {
    let value: Value = serde_json::from_str(data.get()).unwrap_or_default();
    let nothing = || Refusal::bad_request(format!("the body has nothing at {pointer}"));
    let raw = |value: &Value| serde_json::value::to_raw_value(value).map_err(|_| nothing());
    match value.pointer(pointer).ok_or_else(nothing)? {
        Value::Array(items) => items.iter().map(raw).collect::<Result<_, _>>().map(Part::List),
        one => raw(one).map(Part::One),
    }
}

/// The JSON values of a body: one, or one a line.
fn bodies(request: &Received) -> Result<Vec<Box<RawValue>>, Refusal> {
    let media = request.media_type();
    if media == "application/json" || media.ends_with("+json") {
        return Ok(vec![request.json()?]);
    }
    if media == "application/x-www-form-urlencoded" {
        let mut form = serde_json::Map::new();
        for (name, value) in url::form_urlencoded::parse(&request.body) {
            form.insert(name.into_owned(), Value::String(value.into_owned()));
        }
        let form = serde_json::value::to_raw_value(&form);
        return form.map(|it| vec![it]).map_err(|_| Refusal::bad_request("the form is no form"));
    }
    if matches!(&*media, "application/x-ndjson" | "application/jsonl" | "application/json-lines") {
        let text = std::str::from_utf8(&request.body)
            .map_err(|_| Refusal::bad_request("the body is not UTF-8"))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let value = |(at, line): (usize, &str)| {
            let line = serde_json::from_str(line.trim());
            line.map_err(|_| Refusal::bad_request(format!("line {} is not JSON", at + 1)))
        };
        return lines.map(value).collect();
    }
    Err(Refusal::media_type(
        "the body has to be application/json, application/x-ndjson or \
         application/x-www-form-urlencoded, and say so in `Content-Type`",
    ))
}

/// A key as text: a number is written out.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(fields: Value) -> Result<WebhookReceived, String> {
        let it: WebhookReceived = serde_json::from_value(fields).map_err(|it| it.to_string())?;
        it.validate().map(|()| it)
    }

    fn request(media: &str, body: &[u8]) -> Received {
        let mut headers = http::HeaderMap::new();
        headers.insert("content-type", media.parse().unwrap());
        headers.insert("x-delivery", "d-1".parse().unwrap());
        let (body, at) = (body.to_vec().into(), Timestamp::from_secs(1_600_000_000));
        Received { method: Method::POST, query: vec![], headers, body, at }
    }

    /// Key and data of each record, or the refusal's status.
    fn found(fields: Value, media: &str, body: &str) -> Result<Vec<(String, String)>, u16> {
        let received = trigger(fields).unwrap().receive(&request(media, body.as_bytes()));
        let received = received.map_err(|refusal| refusal.status.as_u16())?;
        Ok(received.into_iter().map(|it| (it.key, it.data.get().to_owned())).collect())
    }

    #[test]
    fn a_body_gives_its_records() {
        let whole = json!({ "authentication": "none" });
        let keyed = json!({ "authentication": "none", "recordsAt": "/events", "keyAt": "/id" });
        let json = "application/json; charset=utf-8";
        let one = |key: &str, data: &str| (key.to_owned(), data.to_owned());
        assert_eq!(found(whole.clone(), json, r#"{"a": 1}"#), Ok(vec![one("", r#"{"a": 1}"#)]));
        let events = r#"{ "events": [ { "id": "x" }, { "id": 7 } ] }"#;
        let both = vec![one("x", r#"{"id":"x"}"#), one("7", r#"{"id":7}"#)];
        assert_eq!(found(keyed.clone(), json, events), Ok(both));
        assert_eq!(found(keyed.clone(), json, r#"{ "events": [] }"#), Ok(vec![]));
        let single = r#"{ "events": { "id": "x" } }"#;
        assert_eq!(found(keyed.clone(), json, single), Ok(vec![one("x", r#"{"id":"x"}"#)]));
        for wrong in [r#"{}"#, r#"{ "events": [ {} ] }"#, r#"{ "events": [ { "id": "" } ] }"#, "{"]
        {
            assert_eq!(found(keyed.clone(), json, wrong), Err(400), "{wrong}");
        }
        let lines = "{\"a\":1}\n\n{\"a\":2}\r\n";
        let both = vec![one("", "{\"a\":1}"), one("", "{\"a\":2}")];
        assert_eq!(found(whole.clone(), "application/x-ndjson", lines), Ok(both));
        assert_eq!(found(whole.clone(), "application/x-ndjson", "{}\n{"), Err(400));
        let form = found(whole.clone(), "application/x-www-form-urlencoded", "a=1&b=%C3%A4");
        assert_eq!(form, Ok(vec![one("", r#"{"a":"1","b":"ä"}"#)]));
        assert_eq!(found(whole.clone(), "text/plain", "{}"), Err(415));
        assert_eq!(found(whole, "", "{}"), Err(415));
    }

    #[test]
    fn a_delivery_is_named_by_a_header_or_by_the_body() {
        let key = |fields: Value, body: &str| {
            trigger(fields).unwrap().key(&request("application/json", body.as_bytes()))
        };
        let by = |field: &str, value: &str| json!({ "authentication": "none", field: value });
        assert_eq!(key(by("deliveryHeader", "X-Delivery"), "{}").as_deref(), Some("d-1"));
        assert_eq!(key(by("deliveryAt", "/id"), r#"{"id": 12}"#).as_deref(), Some("12"));
        assert_eq!(key(by("deliveryAt", "/id"), r#"{"id": {}}"#), None);
        assert_eq!(key(json!({ "authentication": "none" }), "{}"), None);
    }

    #[test]
    fn fields_that_say_nothing_or_nonsense_are_refused() {
        for wrong in [
            json!({}),
            json!({ "authentication": "none", "keyAt": "id" }),
            json!({ "authentication": "none", "header": "X-A" }),
            json!({ "authentication": "basic", "prefix": "Bearer " }),
            json!({ "authentication": "header", "timestampHeader": "X-Time" }),
            json!({ "authentication": "hmac", "header": "not a header" }),
            json!({ "authentication": "none", "largestBody": 0 }),
            json!({ "authentication": "none", "largestBody": 16_777_217 }),
            json!({ "authentication": "hmac", "window": 0 }),
            json!({ "authentication": "none", "methods": [] }),
            json!({ "authentication": "none", "methods": ["GET"] }),
            json!({ "authentication": "none", "answerWithin": 0 }),
            json!({ "authentication": "none", "answerWithin": 25_001 }),
            json!({ "authentication": "none", "fallback": {} }),
            json!({ "authentication": "none", "answerWithin": 9, "deliveryAt": "/id" }),
        ] {
            assert!(trigger(wrong.clone()).is_err(), "{wrong}");
        }
        let all = json!({
            "authentication": "hmac", "header": "X-Hub-Signature-256", "prefix": "sha256=",
            "hash": "sha256", "encoding": "hex", "methods": ["POST", "PUT", "PATCH"],
        });
        let it = trigger(all).unwrap();
        assert_eq!(it.methods(), [Method::POST, Method::PUT, Method::PATCH]);
        assert!(matches!(it.proof(), Proof::Hmac(Hmac { time: None, .. })));
    }
}
