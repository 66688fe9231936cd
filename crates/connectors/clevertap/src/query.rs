//! CleverTap's query language, by its own names: what people did or did not do, and what is known of
//! them. Exports, counts and campaigns read it.

use connector::prelude::*;

use crate::day::Day;

/// Whom or what is asked for, in CleverTap's own query language.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "event_name": "Charged",
    "event_properties": [{ "name": "Amount", "operator": "greater_than", "value": 100 }],
    "advanced_query": { "did_none": [{ "event_name": "App Uninstalled" }] }
}]))]
pub(crate) struct Query {
    /// The event that was raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event_name: Option<String>,
    /// From this day on, as a number: 20260131 is the 31st of January, in the project's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Day>,
    /// Up to this day, itself included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<Day>,
    /// What the event's properties are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    event_properties: Vec<Property>,
    /// What the properties of the session are that it was raised in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    session_properties: Vec<Property>,
    /// What is known of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    common_profile_properties: Option<Common>,
    /// What the person did and did not do besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    advanced_query: Option<Advanced>,
}

/// What a property is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Property {
    /// The property's name.
    name: String,
    /// How it is compared; `equals` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operator: Option<Operator>,
    /// What it is compared with: a value, or several of which it is one. Whether it exists needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

/// How a property is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Operator {
    /// It is the value, or one of several.
    Equals,
    /// It is none of them.
    NotEquals,
    /// Its text has the value.
    Contains,
    /// Its text has not.
    DoesNotContain,
    /// There is one.
    Exists,
    /// There is none.
    DoesNotExist,
    /// It is greater.
    GreaterThan,
    /// It is greater, or the same.
    GreaterThanEquals,
    /// It is less.
    LessThan,
    /// It is less, or the same.
    LessThanEquals,
    /// It is between two values.
    Between,
}

/// What is known of a person.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Common {
    /// By the app's properties, such as `Make`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    app_fields: Vec<Property>,
    /// By the profile's own properties.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    profile_fields: Vec<Property>,
    /// By `Gender`, `Age`, `Education` and others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    demographics: Vec<Property>,
    /// By `Device`, `OS` and others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    technographics: Vec<Property>,
    /// By how the person can be reached: `has_token`, `has_email`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reachability: Vec<Property>,
    /// By places: country, region and city of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    geo_fields: Vec<Vec<String>>,
    /// By circles: latitude, longitude and radius of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    geo_radius: Vec<Vec<f64>>,
}

/// What a person did and did not do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Advanced {
    /// All of this was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    did_all: Vec<Deed>,
    /// None of this was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    did_none: Vec<Deed>,
    /// Some of this was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    did_any: Option<Any>,
}

/// Some of several deeds, so often together.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Any {
    /// Which.
    any_events: Vec<Deed>,
    /// How the number of times is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operator: Option<Operator>,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

/// An event that was raised or not.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Deed {
    /// The event's name.
    event_name: String,
    /// From this day on; as the query itself without it, in `eventsPolling` for 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Day>,
    /// Up to this day, itself included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Day>,
    /// What its properties are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    event_properties: Vec<Property>,
    /// How the number of times is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operator: Option<Operator>,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

impl Query {
    /// Says what is wrong with it: it names no event, or a comparison lacks its value.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let names_none = self.event_name.as_deref().is_none_or(|name| name.trim().is_empty());
        if names_none && self.deeds().next().is_none() {
            return Err(
                "the query names no event: give `event_name`, or `did_all`, `did_none` or \
                        `did_any` in `advanced_query`"
                    .to_owned(),
            );
        }
        if self.deeds().any(|deed| deed.event_name.trim().is_empty()) {
            return Err("an event of `advanced_query` has no `event_name`".to_owned());
        }
        let common = self.common_profile_properties.iter().flat_map(|it| {
            [
                &it.app_fields,
                &it.profile_fields,
                &it.demographics,
                &it.technographics,
                &it.reachability,
            ]
        });
        let own = [&self.event_properties, &self.session_properties];
        let deeds = self.deeds().map(|deed| &deed.event_properties);
        for property in own.into_iter().chain(common).chain(deeds).flatten() {
            property.validate()?;
        }
        let days = self.deeds().map(|deed| (deed.from, deed.to)).chain([(self.from, self.to)]);
        match days.into_iter().any(|(from, to)| from.zip(to).is_some_and(|(from, to)| from > to)) {
            true => Err("`from` is behind `to`".to_owned()),
            false => Ok(()),
        }
    }

    /// The query about this event.
    #[must_use]
    pub(crate) fn about(&self, event: &str) -> Self {
        Self { event_name: Some(event.trim().to_owned()), ..self.clone() }
    }

    fn deeds(&self) -> impl Iterator<Item = &Deed> {
        self.advanced_query.iter().flat_map(|it| {
            let any = it.did_any.iter().flat_map(|any| &any.any_events);
            it.did_all.iter().chain(&it.did_none).chain(any)
        })
    }

    /// The query about these days, where it does not say which itself.
    #[must_use]
    pub(crate) fn within(&self, from: Day, to: Day) -> Self {
        let mut query = self.clone();
        let to = *query.to.get_or_insert(to.max(query.from.unwrap_or(to)));
        // One that ends earlier begins with the day on which it ends, at the latest.
        let from = *query.from.get_or_insert(from.min(to));
        query.deeds_within(from, to)
    }

    /// The query with deeds of these days, where they do not say which themselves.
    #[must_use]
    pub(crate) fn deeds_within(mut self, from: Day, to: Day) -> Self {
        if let Some(advanced) = &mut self.advanced_query {
            let any = advanced.did_any.iter_mut().flat_map(|any| &mut any.any_events);
            for deed in advanced.did_all.iter_mut().chain(&mut advanced.did_none).chain(any) {
                let to = *deed.to.get_or_insert(to.max(deed.from.unwrap_or(to)));
                deed.from.get_or_insert(from.min(to));
            }
        }
        self
    }
}

impl Property {
    fn validate(&self) -> Result<(), String> {
        let needs_none = matches!(self.operator, Some(Operator::Exists | Operator::DoesNotExist));
        if needs_none || self.value.as_ref().is_some_and(|value| !value.is_null()) {
            return Ok(());
        }
        Err(format!("\"{}\" is compared with nothing: give it a `value`", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vendor's own example of all that the language has.
    const WHOLE: &str = r#"{"event_name":"Charged","from":20151010,"to":20151011,
        "event_properties":[{"name":"Amount","operator":"equals","value":100}],
        "session_properties":[{"name":"first_time","value":"True"}],
        "common_profile_properties":{
         "app_fields":[{"name":"Make","operator":"contains","value":"Apple"}],
         "profile_fields":[{"name":"language","operator":"equals","value":"en"}],
         "demographics":[{"name":"Education","operator":"equals","value":["College","Graduate"]},
          {"name":"Gender","value":"Female"}],
         "technographics":[{"name":"Device","operator":"equals","value":["Mobile","Tablet"]}],
         "reachability":[{"name":"has_token","value":"True"}],
         "geo_fields":[["India","Maharashtra","Mumbai"]],
         "geo_radius":[[35.0,42.5,5.2]]},
        "advanced_query":{
         "did_all":[{"event_name":"App Launched","from":20151011,"to":20151012,"operator":"equals","value":10}],
         "did_none":[{"event_name":"App Uninstalled","from":20151010,"to":20151011}],
         "did_any":{"any_events":[{"event_name":"Charged","from":20151010,"to":20151011}],
          "operator":"equals","value":10}}}"#;

    #[test]
    fn the_whole_language_is_read_and_written_as_it_is() {
        let query: Query = serde_json::from_str(WHOLE).unwrap();
        query.validate().unwrap();
        let written = serde_json::to_value(&query).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(WHOLE).unwrap());
    }

    #[test]
    fn days_are_filled_in_where_none_are_said() {
        let query: Query = serde_json::from_value(json!({
            "advanced_query": { "did_none": [
                { "event_name": "A" }, { "event_name": "B", "from": 20_260_101 },
                // Of one that says one day the other is never on its wrong side.
                { "event_name": "C", "to": 20_260_101 }, { "event_name": "D", "from": 20_260_401 },
            ] }
        }))
        .unwrap();
        let written = serde_json::to_value(query.within(Day(20_260_201), Day(20_260_303))).unwrap();
        let (from, to) = (20_260_201, 20_260_303);
        assert_eq!(
            written,
            json!({ "from": from, "to": to, "advanced_query": { "did_none": [
                { "event_name": "A", "from": from, "to": to },
                { "event_name": "B", "from": 20_260_101, "to": to },
                { "event_name": "C", "from": 20_260_101, "to": 20_260_101 },
                { "event_name": "D", "from": 20_260_401, "to": 20_260_401 },
            ] } })
        );
    }

    #[test]
    fn a_query_that_cannot_be_meant_is_refused() {
        for (query, problem) in [
            (json!({}), "names no event"),
            (json!({ "event_name": " " }), "names no event"),
            (json!({ "event_name": "A", "from": 20_260_202, "to": 20_260_201 }), "behind"),
            (
                json!({ "advanced_query": { "did_all": [
                    { "event_name": "A", "from": 20_260_202, "to": 20_260_201 },
                ] } }),
                "behind",
            ),
            (json!({ "event_name": "A", "event_properties": [{ "name": "B" }] }), "\"B\""),
            (json!({ "advanced_query": { "did_all": [{ "event_name": "" }] } }), "`event_name`"),
        ] {
            let read: Query = serde_json::from_value(query).unwrap();
            assert!(read.validate().unwrap_err().contains(problem), "{problem}");
        }
    }
}
