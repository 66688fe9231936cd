//! Replaces secrets and personal data in what was recorded: the same value by the same stand-in,
//! so that keys and cursors keep their relations.
//!
//! Of answers every text is replaced, except: digits under the name of an id, times (not birthdays,
//! nor days among a person's own fields), `true` and `false`, what the story itself says, and what
//! stands under a key of `keep` (there only what has the shape of an address, a number to call or a
//! known value is replaced, and in links what opens them). Of requests, which hold only what the
//! story, the answers or the connector say, known values and those shapes are replaced. Numbers stay
//! but under personal names, and where they are too large for a time; JSON keys stay unless they are
//! addresses. An opaque id gets one of its own form: it may be a hash of an address.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Number, Value};

use super::meaning::{Meaning, meaning};
use super::proxy::Taken;
use crate::story::{Exchange, Response, Story, System};

use super::shapes::{self, Shape};
use crate::tape::ORIGIN;

/// The replacements of one story.
pub(super) struct Standins {
    /// What the story says itself: somebody wrote it for others to read.
    pub(super) told: BTreeSet<String>,
    keep: Vec<String>,
    /// The path whose answer is at hand.
    path: String,
    /// The real one, and what stands for it.
    pub(super) base_path: (String, String),
    /// Real values of the account's settings and what stands for them.
    pub(super) settings: Vec<(String, String, String)>,
    /// Tokens that were issued.
    pub(super) tokens: BTreeSet<String>,
    pub(super) known: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Standins {
    pub(super) fn new(
        (real, system): (&System, &System),
        story: &Story,
        account: &BTreeMap<String, String>,
    ) -> Self {
        let mut told = BTreeSet::new();
        texts(&story.fields, &mut told);
        if let Some(token) = &story.check {
            texts(&serde_json::from_str(token).unwrap_or(Value::Null), &mut told);
        }
        for before in system.before.iter().chain(&story.before) {
            texts(before.body.as_ref().unwrap_or(&Value::Null), &mut told);
        }
        for given in &story.batch {
            told.insert(given.key.clone());
            for value in [&given.message, &given.input].into_iter().flatten() {
                texts(value, &mut told);
            }
        }
        let settings = account.iter().filter(|(_, real)| real.len() >= 4).map(|(name, real)| {
            let made_up = system.account.get(name).cloned();
            (name.clone(), real.clone(), made_up.unwrap_or_else(|| "made-up-value".to_owned()))
        });
        let mut settings: Vec<_> = settings.collect();
        settings.sort_by_key(|(_, real, _)| std::cmp::Reverse(real.len()));
        let keep = system.keep.clone();
        let base_path = (real.base_path.clone(), system.base_path.clone());
        let (tokens, known, counts) = Default::default();
        Self { told, keep, path: String::new(), base_path, settings, tokens, known, counts }
    }

    /// The exchanges as they may be written.
    pub(super) fn exchanges(&mut self, taken: &[Taken]) -> Vec<Exchange> {
        for taken in taken {
            let body: Option<Value> = serde_json::from_slice(&taken.body).ok();
            let issued = body
                .iter()
                .flat_map(|body| ["access_token", "refresh_token"].map(|it| body.get(it)));
            self.tokens.extend(issued.flatten().filter_map(Value::as_str).map(str::to_owned));
        }
        let mut exchanges: Vec<Exchange> = vec![];
        // In the order of time: a text that no answer had before is the story's or the connector's.
        for taken in taken {
            let token = serde_json::from_slice::<Value>(&taken.body)
                .is_ok_and(|body| body.get("access_token").is_some());
            let request = self.request(taken, token);
            let exchange = Exchange { request, response: self.response(taken) };
            if !(token && exchanges.iter().any(|it| it.request == exchange.request)) {
                exchanges.push(exchange);
            }
        }
        exchanges
    }

    fn response(&mut self, taken: &Taken) -> Response {
        taken.asked.path().clone_into(&mut self.path);
        let headers = taken.headers.iter().cloned().collect();
        let status = taken.status;
        if taken.body.is_empty() {
            return Response { status, headers, ..Response::default() };
        }
        match serde_json::from_slice::<Value>(&taken.body) {
            Ok(mut body) => {
                self.value(&mut body, "", Meaning::Other);
                Response { status, headers, body: Some(body), text: None }
            }
            // Of what cannot be read nothing is known to be harmless.
            Err(_) => {
                let text = Some("not JSON".to_owned());
                Response { status, headers, body: None, text }
            }
        }
    }

    fn value(&mut self, value: &mut Value, key: &str, around: Meaning) {
        let own = meaning(key);
        let meaning =
            if own == Meaning::Other || around == Meaning::Personal { around } else { own };
        match value {
            Value::String(text) => *text = self.text(key, own, around, text),
            Value::Array(list) => list.iter_mut().for_each(|it| self.value(it, key, meaning)),
            Value::Object(object) => {
                // Only what holds a person's own fields tells of all that is in it.
                let inside = if own == Meaning::Personal { own } else { around };
                for (key, mut value) in std::mem::take(object) {
                    self.value(&mut value, &key, inside);
                    let key = if shapes::of(&key).is_some() { self.scrub(&key) } else { key };
                    object.insert(key, value);
                }
            }
            Value::Number(number)
                if matches!(meaning, Meaning::Personal | Meaning::Born | Meaning::Secret)
                    || (meaning == Meaning::Other && shapes::may_be_called(number)) =>
            {
                let stand_in = self.number(&number.to_string());
                *number = Number::from(stand_in);
            }
            _ => {}
        }
    }

    fn text(&mut self, key: &str, meaning: Meaning, around: Meaning, text: &str) -> String {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.tokens.contains(text) || meaning == Meaning::Secret {
            return format!("not-a-real-{}", key.replace('_', "-").to_lowercase());
        }
        if text.trim().is_empty() || self.told.contains(text) {
            return text.to_owned();
        }
        let kept = |kept: &String| match kept.split_once(':') {
            Some((path, kept)) => self.path.contains(path) && kept == key,
            None => kept == key,
        };
        // An address that the system gives is one of its words; what opens it is not.
        if self.keep.iter().any(kept) || text.starts_with(ORIGIN) {
            return self.scrub(text);
        }
        // Whoever names a person's field may mean a birthday by any name.
        let born = meaning == Meaning::Born || around == Meaning::Personal && shapes::is_day(text);
        let stand_in = match shapes::of(text) {
            Some(Shape::Time) if !born => return text.to_owned(),
            Some(Shape::Truth) => return text.to_owned(),
            Some(Shape::Digits) if meaning == Meaning::Id => return text.to_owned(),
            Some(Shape::Opaque) => self.opaque(text),
            Some(Shape::Time) => format!("1970-01-{:02}", self.next("day") % 28 + 1),
            Some(Shape::Digits) => self.number(text).to_string(),
            Some(shape) => self.shaped(shape),
            None if key.to_lowercase().contains("name") => format!("Name{}", self.next("name")),
            None => format!("text {}", self.next("text")),
        };
        self.known.insert(text.to_owned(), stand_in.clone());
        stand_in
    }

    fn next(&mut self, kind: &'static str) -> usize {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        *count
    }

    fn number(&mut self, text: &str) -> u64 {
        if let Some(known) = self.known.get(text).and_then(|it| it.parse().ok()) {
            return known;
        }
        let stand_in = 1_000_000 + self.next("number") as u64;
        self.known.insert(text.to_owned(), stand_in.to_string());
        stand_in
    }

    fn shaped(&mut self, shape: Shape) -> String {
        match shape {
            Shape::Mail => format!("person{}@example.com", self.next("mail")),
            Shape::Address4 => format!("192.0.2.{}", self.next("address")),
            Shape::Address6 => format!("2001:db8::{:x}", self.next("address")),
            Shape::Phone => format!("+49155500{:04}", self.next("phone")),
            Shape::Link => format!("https://example.com/{}", self.next("link")),
            Shape::Digits | Shape::Time | Shape::Truth | Shape::Opaque => {
                format!("text {}", self.next("text"))
            }
        }
    }

    /// An id of the same form, with a number at its end.
    fn opaque(&mut self, text: &str) -> String {
        let number = format!("{:x}", self.next("opaque"));
        let mut digits = number.chars().rev();
        let stand_in = text.chars().rev().map(|c| match c {
            '-' => c,
            _ => digits.next().unwrap_or('0'),
        });
        stand_in.collect::<Vec<_>>().into_iter().rev().collect()
    }

    /// Replaces what is known and what has a person's shape, and leaves the words between.
    pub(super) fn scrub(&mut self, text: &str) -> String {
        if self.told.contains(text) {
            return text.to_owned();
        }
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if let Some(recased) = self.recased(text) {
            return recased;
        }
        let mut text = text.to_owned();
        for (_, real, made_up) in &self.settings {
            text = text.replace(real, made_up);
        }
        for token in &self.tokens {
            text = text.replace(token.as_str(), "not-a-real-token");
        }
        for value in shapes::opens(&text) {
            text = text.replace(&value, "not-a-real-secret");
        }
        for part in shapes::parts(&text) {
            let real = shapes::unescaped(&part);
            if self.told.contains(&real) || self.known.values().any(|it| *it == real) {
                continue;
            }
            let stand_in = match (self.known.get(&real), shapes::of(&real)) {
                (Some(known), _) => known.clone(),
                (None, Some(shape)) => self.shaped(shape),
                (None, None) => continue,
            };
            let written = if part == real {
                stand_in.clone()
            } else {
                url::form_urlencoded::byte_serialize(stand_in.as_bytes()).collect()
            };
            text = text.replace(&part, &written);
            self.known.insert(real, stand_in);
        }
        let mut known: Vec<_> = self.known.iter().filter(|(it, _)| it.len() >= 4).collect();
        known.sort_by_key(|(it, _)| std::cmp::Reverse(it.len()));
        for (real, stand_in) in known {
            if !self.known.values().any(|it| it.contains(real.as_str())) {
                text = text.replace(real.as_str(), stand_in);
            }
        }
        text
    }

    /// What stands for a known value that comes in small or in capital letters.
    fn recased(&self, text: &str) -> Option<String> {
        let lower = text.to_lowercase();
        let (_, stand_in) = self.known.iter().find(|(real, _)| real.to_lowercase() == lower)?;
        let capital = text == text.to_uppercase();
        Some(if capital { stand_in.to_uppercase() } else { stand_in.to_lowercase() })
    }

    /// What should have been replaced and is still in a text.
    pub(super) fn remains(&self, text: &str) -> Option<String> {
        let harmless = |real: &str| {
            let told = self.told.iter().any(|it| it.contains(real));
            told || self.known.values().any(|it| it.contains(real))
        };
        for (name, real, made_up) in &self.settings {
            if text.contains(real.as_str()) && !made_up.contains(real.as_str()) && !harmless(real) {
                return Some(format!("the account's `{name}`"));
            }
        }
        if self.tokens.iter().any(|token| text.contains(token.as_str())) {
            return Some("a token".to_owned());
        }
        // Exact values, since words of two letters are in everything; by their shape anywhere.
        let mut values = BTreeSet::new();
        texts(&serde_json::from_str(text).unwrap_or_default(), &mut values);
        let found = |real: &String| {
            values.contains(real) || (shapes::is_personal(real) && text.contains(real.as_str()))
        };
        let told = "a value that is replaced elsewhere: a key of `keep` holds data of people";
        self.known
            .keys()
            .filter(|real| !harmless(real))
            .find(|it| found(it))
            .map(|_| told.to_owned())
    }
}

fn texts(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(into.insert(text.clone())),
        Value::Array(list) => list.iter().for_each(|it| texts(it, into)),
        Value::Object(object) => object.values().for_each(|it| texts(it, into)),
        _ => {}
    }
}
