//! `counts`: how many people, or events, a query finds.

use connector::prelude::*;

use crate::counting;
use crate::query::Query;

/// Counts the people that a query finds, or their events: `$steps.ID.count`. Where CleverTap takes
/// its time, the message waits until the count is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "of": "profiles", "query": { "event_name": "Charged" } }]))]
pub(crate) struct Counts {
    /// What is counted.
    #[serde(default)]
    of: Of,
    /// What the default mapping asks: CleverTap's query language.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.query`")]
    query: Option<Query>,
    /// How many days back it counts, today besides, where the query does not say `from` and `to`.
    #[serde(default = "crate::day::month")]
    last_days: u16,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Of {
    /// The people.
    #[default]
    Profiles,
    /// The events.
    Events,
}

/// A question.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "query": { "event_name": "Charged" } }]))]
pub(crate) struct Question {
    /// What is counted, in CleverTap's query language.
    query: Query,
}

impl Counts {
    const fn path(&self) -> &'static str {
        match self.of {
            Of::Profiles => "profiles.json",
            Of::Events => "events.json",
        }
    }

    /// Keeps where it was asked with what waits.
    fn told(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Parked { token, check_after, deadline } => {
                let token = format!("{} {token}", self.path());
                Outcome::Parked { token, check_after, deadline }
            }
            outcome => outcome,
        }
    }
}

#[async_trait]
impl Action for Counts {
    type Input = Question;
    const REJECTIONS: &'static [Rejection] = counting::REJECTIONS;

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Question>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let outcome = match counting::query(api, &item.input.query, [], self.last_days)? {
                Ok(query) => self.told(counting::ask(api, self.path(), &query).await?),
                Err(outcome) => outcome,
            };
            outcomes.set(index, outcome);
        }
        Ok(outcomes)
    }

    async fn check(&self, api: &Api, token: &str) -> Result<Outcome> {
        // What was asked stays asked where the fields change while it waits.
        let (path, req_id) = match token.split_once(' ') {
            Some(("events.json", req_id)) => ("events.json", req_id),
            Some((_, req_id)) => ("profiles.json", req_id),
            None => (self.path(), token),
        };
        match counting::check(api, path, req_id).await? {
            Outcome::Parked { token, check_after, deadline } => {
                Ok(Outcome::Parked { token: format!("{path} {token}"), check_after, deadline })
            }
            outcome => Ok(outcome),
        }
    }
}
