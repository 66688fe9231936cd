//! `trends`: how often something was done each day, week or month.

use std::collections::BTreeMap;

use connector::prelude::*;
use serde_json::Map;

use crate::counting;
use crate::query::Query;

/// Tells how often an event was raised each day, week or month: `$steps.ID` has an object a group,
/// such as `{ "20261224": 10 }`, `{ "202652": 80 }` or `{ "202612": 80 }`. Where CleverTap takes its
/// time, the message waits until the figures are there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "query": { "event_name": "Charged" },
    "groups": { "days": { "trend_type": "daily" }, "weeks": { "trend_type": "weekly" } }
}]))]
pub(crate) struct Trends {
    /// What the default mapping asks: CleverTap's query language.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.query`")]
    query: Option<Query>,
    /// The groups that the default mapping asks for, by names of your own.
    #[serde(default)]
    groups: Option<Map<String, Value>>,
    /// Whether each person counts once.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.unique`")]
    unique: bool,
    /// A property of the event whose values are added up instead.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.sumEventProperty`")]
    sum_event_property: Option<String>,
    /// How many days back it goes, today besides, where the query does not say `from` and `to`.
    #[serde(default = "crate::day::month")]
    last_days: u16,
}

/// A question.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "query": { "event_name": "Charged" },
    "groups": { "days": { "trend_type": "daily" } }
}]))]
pub(crate) struct Question {
    /// What is counted, in CleverTap's query language.
    query: Query,
    /// Whether each person counts once.
    #[serde(default)]
    unique: bool,
    /// A property of the event whose values are added up instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sum_event_prop: Option<String>,
    /// What is told, by names of your own.
    groups: BTreeMap<String, Group>,
}

/// By what it is told.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Group {
    /// By days, weeks or months.
    trend_type: TrendType,
}

/// By days, weeks or months.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TrendType {
    /// Days, such as 20261224.
    Daily,
    /// Weeks, such as 202652.
    Weekly,
    /// Months, such as 202612.
    Monthly,
}

/// A question on the wire.
#[derive(Serialize)]
struct Asked<'a> {
    #[serde(flatten)]
    query: Query,
    unique: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum_event_prop: Option<&'a str>,
    groups: &'a BTreeMap<String, Group>,
}

const PATH: &str = "trends.json";

#[async_trait]
impl Action for Trends {
    type Input = Question;
    const REJECTIONS: &'static [Rejection] = counting::REJECTIONS;

    fn validate(&self) -> Result<(), String> {
        counting::names(self.groups.iter().flat_map(Map::keys))
    }

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Question>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let Question { query, unique, sum_event_prop, groups } = &*item.input;
            let outcome = match counting::query(api, query, groups.keys(), self.last_days)? {
                Ok(query) => {
                    let sum_event_prop = sum_event_prop.as_deref();
                    let asked = Asked { query, unique: *unique, sum_event_prop, groups };
                    counting::ask(api, PATH, &asked).await?
                }
                Err(outcome) => outcome,
            };
            outcomes.set(index, outcome);
        }
        Ok(outcomes)
    }

    async fn check(&self, api: &Api, token: &str) -> Result<Outcome> {
        counting::check(api, PATH, token).await
    }
}
