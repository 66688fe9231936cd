//! Which receivers of a group are there, and in which state.

use std::collections::{HashMap, HashSet};

use connector::prelude::*;

use crate::group::{self, Id};
use crate::order::Known;
use crate::who::Who;

/// As long may the address list of one question be, escaped; servers refuse longer lines than
/// 8,000 or so.
const LONGEST_LIST: usize = 5000;

/// How much is asked about each: the bits of `detail`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detail(u8);

impl Detail {
    pub(crate) const PLAIN: Self = Self(0);
    pub(crate) const ORDERS: Self = Self(2);
    pub(crate) const TAGS: Self = Self(4);

    pub(crate) const fn is_plain(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The receivers that are there.
pub(crate) struct Members {
    by_email: HashMap<String, Member>,
    by_id: HashMap<String, String>,
    now: Timestamp,
}

/// A receiver that is there. Times are epoch seconds, 0 is never.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    pub(crate) id: Option<Id>,
    pub(crate) email: String,
    pub(crate) registered: i64,
    pub(crate) activated: i64,
    pub(crate) deactivated: i64,
    pub(crate) source: String,
    /// Its tags, if they were asked for.
    pub(crate) tags: Vec<String>,
    /// What it ordered, if that was asked for.
    pub(crate) orders: Vec<Known>,
}

#[derive(Deserialize)]
struct Found {
    id: Option<Value>,
    email: String,
    registered: Option<Value>,
    activated: Option<Value>,
    deactivated: Option<Value>,
    source: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    orders: Option<Vec<Value>>,
}

impl Members {
    /// Nobody: where it does not matter who is there.
    pub(crate) fn nobody(now: Timestamp) -> Self {
        Self { by_email: HashMap::new(), by_id: HashMap::new(), now }
    }

    /// Looks receivers up in a group.
    pub(crate) async fn ask(
        api: &Api,
        group: &Id,
        all: &[Who<'_>],
        detail: Detail,
    ) -> Result<Self> {
        let (api, observed) = api.observed();
        let mut members = Self::nobody(api.now());
        let ids = all.iter().copied().filter(|who| matches!(who, Who::Id(_)));
        let emails = all.iter().copied().filter(|who| matches!(who, Who::Email(_)));
        for (list, all) in [("email_list", parts(emails)), ("id_list", parts(ids))] {
            for part in all {
                members.part(&api, group, (list, &part), detail).await?;
            }
        }
        // The vendor's own time, where it tells it: stamps of another clock would be out of order.
        members.now = observed.date().unwrap_or_else(|| api.now());
        Ok(members)
    }

    async fn part(
        &mut self,
        api: &Api,
        group: &Id,
        (list, part): (&str, &[Who<'_>]),
        detail: Detail,
    ) -> Result<()> {
        let texts: Vec<&str> = part.iter().map(|who| who.text()).collect();
        let request = api.get(["groups.json", &group.0, "receivers"]);
        let request = request
            .query(list, texts.join(","))
            .query("pagesize", part.len())
            .query("page", 0)
            .query("type", "all")
            .query("detail", detail.0)
            .accept(StatusCode::NOT_FOUND);
        let answer = request.send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(group::unknown(group));
        }
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(());
        }
        let asked: HashSet<String> = part.iter().map(|who| who.key()).collect();
        for found in answer.json::<Vec<Found>>()? {
            let member = Member::of(found);
            let member =
                member.ok_or_else(|| answer.nonsense("with times that are not epoch seconds"))?;
            let email = member.email.to_lowercase();
            let id = member.id.as_ref().map(|id| id.0.clone());
            // A list that was not looked at would make known receivers new ones.
            if !asked.contains(&email) && !id.as_ref().is_some_and(|id| asked.contains(id)) {
                return Err(answer.nonsense("with receivers that were not asked for"));
            }
            self.by_id.extend(id.map(|id| (id, email.clone())));
            self.by_email.insert(email, member);
        }
        Ok(())
    }

    pub(crate) fn get(&self, who: Who<'_>) -> Option<&Member> {
        match who {
            Who::Email(email) => self.by_email.get(&email.to_lowercase()),
            Who::Id(id) => self.by_email.get(self.by_id.get(&id.0)?),
        }
    }

    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }
}

impl Member {
    fn of(found: Found) -> Option<Self> {
        Some(Self {
            id: found.id.as_ref().and_then(Id::of),
            email: found.email.trim().to_owned(),
            registered: seconds(found.registered.as_ref())?,
            activated: seconds(found.activated.as_ref())?,
            deactivated: seconds(found.deactivated.as_ref())?,
            source: found.source.unwrap_or_default(),
            tags: found.tags.unwrap_or_default(),
            orders: found.orders.iter().flatten().map(Known::of).collect(),
        })
    }

    pub(crate) const fn is_active(&self) -> bool {
        self.activated > 0 && self.deactivated == 0
    }

    pub(crate) const fn is_unsubscribed(&self) -> bool {
        self.deactivated > 0
    }
}

/// Epoch seconds, from a number or a string of one; 0 if there are none.
pub(crate) fn seconds(value: Option<&Value>) -> Option<i64> {
    match value {
        None | Some(Value::Null) => Some(0),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) if text.trim().is_empty() => Some(0),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    }
}

/// Splits receivers into lists that fit into a line.
fn parts<'w>(all: impl IntoIterator<Item = Who<'w>>) -> Vec<Vec<Who<'w>>> {
    let mut parts: Vec<Vec<Who<'w>>> = vec![];
    let mut left = 0;
    for who in all {
        let text = who.text();
        // `@` and the comma between are escaped, and so is everything beyond letters and digits.
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let escaped = text.bytes().filter(|byte| !plain(byte)).count();
        let length = text.len() + 2 * escaped + 3;
        match parts.last_mut() {
            Some(part) if length <= left => {
                part.push(who);
                left -= length;
            }
            _ => {
                parts.push(vec![who]);
                left = LONGEST_LIST.saturating_sub(length);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stay_short_and_keep_everybody() {
        let emails: Vec<String> = (0..500).map(|n| format!("some.body.{n}@example.com")).collect();
        let all: Vec<Who<'_>> = emails.iter().map(|email| Who::Email(email)).collect();
        let parts = parts(all.iter().copied());
        assert_eq!(parts.concat(), all);
        assert_eq!(parts.len(), 3);
        let line = |part: &Vec<Who<'_>>| {
            let texts: Vec<&str> = part.iter().map(|who| who.text()).collect();
            texts.join("%2C").replace('@', "%40").len()
        };
        assert!(parts.iter().all(|part| line(part) <= 5000));
    }
}
