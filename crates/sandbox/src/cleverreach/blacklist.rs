//! `/blacklist` and `/groups/{id}/blacklist`: addresses that get no mail.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer::Answer;
use crate::options::Switches;

/// An address that is on the blacklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blacklisted {
    /// The address, in small letters.
    pub email: String,
    /// Why it is.
    pub comment: String,
    /// The group whose blacklist it is; 0 for the account's.
    pub group: u64,
}

/// Who is on which blacklist.
#[derive(Debug, Default)]
pub(super) struct Blacklist(Vec<Blacklisted>);

#[derive(Deserialize)]
struct Body {
    email: String,
    #[serde(default)]
    comment: Option<String>,
}

impl Blacklist {
    /// Whether an address gets no mail of a group.
    pub(super) fn has(&self, email: &str, group: u64) -> bool {
        self.0.iter().any(|it| {
            (it.group == 0 || it.group == group) && it.email.eq_ignore_ascii_case(email.trim())
        })
    }

    pub(super) fn all(&self) -> Vec<Blacklisted> {
        self.0.clone()
    }

    /// Answers what is asked of the account's list (0) or a group's.
    pub(super) fn answer(
        &mut self,
        method: &Method,
        (group, email): (u64, Option<&str>),
        body: &[u8],
        switches: &Switches,
    ) -> Answer {
        let known = |email: &str| {
            let place =
                |it: &Blacklisted| it.group == group && it.email.eq_ignore_ascii_case(email);
            self.0.iter().position(place)
        };
        match (method, email) {
            (&Method::GET, None) => {
                let own = self.0.iter().filter(|it| it.group == group);
                Answer::json(200, &own.map(show).collect::<Vec<_>>())
            }
            (&Method::GET, Some(email)) => match known(email).and_then(|at| self.0.get(at)) {
                Some(entry) => Answer::json(200, &show(entry)),
                None => Answer::error(404, "Not Found"),
            },
            (&Method::DELETE, Some(email)) => match known(email) {
                Some(at) => {
                    self.0.remove(at);
                    Answer::json(200, &true)
                }
                None if switches.missing_is_false => Answer::json(200, &false),
                None => Answer::error(404, "Not Found"),
            },
            _ => self.put(method, group, body, switches),
        }
    }

    fn put(&mut self, method: &Method, group: u64, body: &[u8], switches: &Switches) -> Answer {
        let Ok(Body { email, comment }) = serde_json::from_slice(body) else {
            return Answer::error(400, "Bad Request: email is missing");
        };
        let (email, comment) = (email.trim().to_lowercase(), comment.unwrap_or_default());
        if !email.contains('@') {
            return Answer::error(400, "Bad Request: invalid email");
        }
        match self.0.iter_mut().find(|it| it.group == group && it.email == email) {
            Some(_) if *method == Method::POST && switches.blacklist_conflict => {
                Answer::error(409, "Conflict: already blacklisted")
            }
            Some(entry) => {
                entry.comment = comment;
                Answer::json(200, &show(entry))
            }
            None if *method == Method::PUT => Answer::error(404, "Not Found"),
            None => {
                let entry = Blacklisted { email, comment, group };
                let shown = show(&entry);
                self.0.push(entry);
                Answer::json(200, &shown)
            }
        }
    }
}

fn show(entry: &Blacklisted) -> serde_json::Value {
    json!({ "email": entry.email, "comment": entry.comment })
}
