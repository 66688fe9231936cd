//! Replaces secrets and personal data in recorded requests: what the story, the answers or the
//! connector say is known, and the account's credentials have names.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::meaning::{Meaning, meaning};
use super::proxy::Taken;
use super::shapes;
use super::standins::Standins;
use crate::http::pairs;
use crate::story::Request;

impl Standins {
    pub(super) fn request(&mut self, taken: &Taken, token: bool) -> Request {
        let asked = &taken.asked;
        let method = asked.method.clone();
        if token {
            let form = pairs(&asked.body).into_iter().filter(|(name, _)| name == "grant_type");
            let form = Some(form.collect());
            return Request { method, path: asked.path().to_owned(), form, ..Request::default() };
        }
        let (real, written) = &self.base_path;
        let path = asked.path().strip_prefix(real.as_str());
        let path = path.map_or_else(|| asked.path().to_owned(), |rest| format!("{written}{rest}"));
        let path = path.split('/').map(|part| self.segment(part)).collect::<Vec<_>>();
        let query = asked.query().into_iter().map(|(name, value)| {
            let value = self.in_query(&name, &value);
            (name, value)
        });
        let query = query.collect();
        let body = serde_json::from_slice::<Value>(&asked.body).ok().map(|mut body| {
            self.sent(&mut body);
            body
        });
        let text = String::from_utf8(asked.body.clone()).ok();
        let text = text.filter(|text| body.is_none() && !text.is_empty());
        let text = text.map(|text| self.scrub(&text));
        let (path, headers) = (path.join("/"), self.proofs(taken));
        Request { method, path, query, headers, body, text, ..Request::default() }
    }

    /// A value of the query. The account's credentials stand there too, where no header carries them,
    /// and what opens an address that the story itself says.
    fn in_query(&mut self, name: &str, value: &str) -> String {
        let setting = self.settings.iter().find(|(_, real, _)| real == value);
        match setting {
            Some((_, _, made_up)) => made_up.clone(),
            None if meaning(name) != Meaning::Secret => self.scrub(value),
            None if self.told.iter().any(|told| told.contains(value)) => value.to_owned(),
            None => "not-a-real-secret".to_owned(),
        }
    }

    fn segment(&mut self, part: &str) -> String {
        let Some(text) =
            url::form_urlencoded::parse(format!("a={}", part.replace('+', "%2B")).as_bytes())
                .next()
                .map(|(_, text)| text.into_owned())
        else {
            return part.to_owned();
        };
        let scrubbed = self.scrub(&text);
        if scrubbed == text {
            return part.to_owned();
        }
        let mut url = url::Url::parse("http://localhost").ok();
        let escaped = url.as_mut().and_then(|url| {
            url.path_segments_mut().ok()?.push(&scrubbed);
            Some(url.path().trim_start_matches('/').to_owned())
        });
        escaped.unwrap_or(scrubbed)
    }

    fn sent(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let scrubbed = self.scrub(text);
                let lower = text.to_lowercase();
                let derived = |known: &String| {
                    let known = known.to_lowercase();
                    known.len() >= 4
                        && (lower.contains(&known) || known.split(' ').any(|word| word == lower))
                };
                if scrubbed == *text && !self.known.keys().any(derived) {
                    self.told.insert(scrubbed.clone());
                }
                *text = scrubbed;
            }
            Value::Array(list) => list.iter_mut().for_each(|it| self.sent(it)),
            Value::Object(object) => {
                for (key, mut value) in std::mem::take(object) {
                    self.sent(&mut value);
                    let key = if shapes::of(&key).is_some() { self.scrub(&key) } else { key };
                    object.insert(key, value);
                }
            }
            Value::Number(number) => {
                let known =
                    self.known.get(&number.to_string()).and_then(|it| it.parse::<u64>().ok());
                if let Some(known) = known {
                    *number = Number::from(known);
                }
            }
            _ => {}
        }
    }

    /// The headers that prove who asks, with names in place of the values.
    fn proofs(&self, taken: &Taken) -> BTreeMap<String, String> {
        let mut proofs = BTreeMap::new();
        for (name, value) in &taken.asked.headers {
            let bearer = value.strip_prefix("Bearer ").is_some_and(|it| self.tokens.contains(it));
            let setting = self.settings.iter().find(|(_, real, _)| real == value);
            if bearer {
                proofs.insert(name.clone(), "Bearer {token}".to_owned());
            } else if let Some((setting, ..)) = setting {
                proofs.insert(name.clone(), format!("{{{setting}}}"));
            }
        }
        proofs
    }
}
