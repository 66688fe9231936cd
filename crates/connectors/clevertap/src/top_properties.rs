//! `topProperties`: which values of a property are the most frequent.

use std::collections::BTreeMap;

use connector::prelude::*;
use serde_json::Map;

use crate::counting;
use crate::query::Query;

/// Tells which values of properties are the most frequent where an event was raised: `$steps.ID` has
/// an object a group, such as `{ "STR": { "Gold": 5 } }`. Where CleverTap takes its time, the message
/// waits until the figures are there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "query": { "event_name": "Charged" },
    "groups": { "types": { "property_type": "profile_fields", "name": "Plan" } }
}]))]
pub(crate) struct TopProperties {
    /// What the default mapping asks: CleverTap's query language.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.query`")]
    query: Option<Query>,
    /// The groups that the default mapping asks for, by names of your own.
    #[serde(default)]
    groups: Option<Map<String, Value>>,
    /// How many days back it goes, today besides, where the query does not say `from` and `to`.
    #[serde(default = "crate::day::month")]
    last_days: u16,
}

/// A question.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "query": { "event_name": "Charged" },
    "groups": { "types": { "property_type": "profile_fields", "name": "Customer Type" } }
}]))]
pub(crate) struct Question {
    /// Where, in CleverTap's query language.
    query: Query,
    /// What is told, by names of your own.
    groups: BTreeMap<String, Group>,
}

/// A property.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Group {
    /// Whose property: `event_properties`, `profile_fields` and others of the query language.
    property_type: String,
    /// The property's name.
    name: String,
    /// How many values are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top_n: Option<u32>,
    /// Whether the least frequent come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<Order>,
}

/// Which come first.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    /// The least frequent.
    Asc,
    /// The most frequent.
    Desc,
}

/// A question on the wire.
#[derive(Serialize)]
struct Asked<'a> {
    #[serde(flatten)]
    query: Query,
    groups: &'a BTreeMap<String, Group>,
}

const PATH: &str = "top.json";

#[async_trait]
impl Action for TopProperties {
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
            let Question { query, groups } = &*item.input;
            let outcome = match counting::query(api, query, groups.keys(), self.last_days)? {
                Ok(query) => counting::ask(api, PATH, &Asked { query, groups }).await?,
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
