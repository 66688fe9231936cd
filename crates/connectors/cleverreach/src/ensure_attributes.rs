//! `ensureAttributes`: sees to it that attributes are there.

use std::collections::HashMap;

use connector::prelude::*;

use crate::group::{self, Id};
use crate::taken::taken;
use crate::told::Told;
use crate::{in_group, rejections};

/// Sees to it that a group, or without one the account, has attributes: `upsertReceiver` leaves out
/// values whose attribute is missing. Missing ones are named, and with `create: true` created.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "groupName": "Customers",
    "attributes": [{ "name": "customer_number", "type": "text" }],
    "create": true
}]))]
pub(crate) struct EnsureAttributes {
    /// The group's id; without a group the account's attributes are meant, which all groups share.
    #[serde(default)]
    group_id: Option<Id>,
    /// The same by the group's name, matched without case and surrounding spaces.
    #[serde(default)]
    group_name: Option<String>,
    /// The attributes, the same for every message; a `customMapping` gives `attributes` itself.
    #[serde(default)]
    attributes: Vec<Attribute>,
    /// Creates what is missing. CleverReach takes about 40 attributes, those of a group and of the
    /// account together.
    #[serde(default)]
    create: bool,
}

/// Attributes that have to be there.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "attributes": [{ "name": "customer_number", "type": "text" }] }]))]
pub(crate) struct Wanted {
    /// The attributes.
    #[serde(default)]
    attributes: Vec<Attribute>,
}

/// One attribute.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attribute {
    /// Its technical name: small letters, digits and `_`, a letter first.
    name: String,
    /// What its values are.
    #[serde(rename = "type", default)]
    kind: Kind,
    /// What people see in CleverReach; the name if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// What an attribute's values are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Text.
    #[default]
    Text,
    /// Numbers.
    Number,
    /// A gender.
    Gender,
    /// Days, as `YYYY-MM-DD`.
    Date,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Gender => "gender",
            Self::Date => "date",
        }
    }
}

impl Attribute {
    fn problem(&self) -> Option<String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let good =
            self.name.starts_with(|c: char| c.is_ascii_lowercase()) && self.name.chars().all(plain);
        (!good).then(|| {
            format!(
                "\"{}\" cannot be the name of an attribute; it is of small letters, digits and \
                 `_`, a letter first",
                self.name
            )
        })
    }
}

/// An attribute that is there.
#[derive(Deserialize)]
struct Found {
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    groups_id: Option<Id>,
}

/// The attributes that are there: their types by their names in small letters.
type There = HashMap<String, String>;

#[async_trait]
impl Action for EnsureAttributes {
    type Input = Wanted;
    const MAX_BATCH: usize = 500;
    const REJECTIONS: &'static [Rejection] = rejections::ATTRIBUTES;

    fn validate(&self) -> Result<(), String> {
        in_group::validate_optional(self.group_id.as_ref(), self.group_name.as_deref())?;
        self.attributes.iter().find_map(Attribute::problem).map_or(Ok(()), Err)
    }

    /// One that is there is not created again; CleverReach would answer 409.
    fn idempotent(&self) -> bool {
        true
    }

    async fn lacks(&self, api: &Api) -> Result<Vec<String>> {
        let (id, name) = (self.group_id.as_ref(), self.group_name.as_deref());
        let no_group = in_group::lacks(api, id, name).await?;
        if !no_group.is_empty() {
            return Ok(no_group);
        }
        let group = in_group::find(api, id, name).await?;
        let there = ask(api, group.as_ref()).await?;
        let refused = self.refused(group.as_ref(), &self.attributes, &there);
        Ok(refused.into_iter().map(|(_, reason)| reason).collect())
    }

    async fn run(&self, api: &Api, batch: &Batch<Wanted>) -> Result<Outcomes> {
        let mut told = Told::new(batch.outcomes());
        let mut rows = vec![];
        for (index, item) in batch.items.iter().enumerate() {
            let wanted = &item.input.attributes;
            let problem = match wanted.is_empty() {
                true => Some("the message names no attributes".to_owned()),
                false => wanted.iter().find_map(Attribute::problem),
            };
            match problem {
                Some(problem) => told.refuse(index, rejections::BAD_NAME.because(problem)),
                None => rows.push((index, wanted)),
            }
        }
        if rows.is_empty() {
            return told.end(Ok(()));
        }
        let named = (self.group_id.as_ref(), self.group_name.as_deref());
        let group = in_group::find(api, named.0, named.1).await?;
        let mut there = ask(api, group.as_ref()).await?;
        let mut sent = Ok(());
        for (index, wanted) in rows {
            let one = self.ensure(api, group.as_ref(), wanted, &mut there).await;
            sent = told.note(index, one);
            if sent.is_err() {
                break;
            }
        }
        told.end(sent)
    }
}

impl EnsureAttributes {
    /// Why attributes cannot be seen to, if so: the type of one is another, or one is missing and is
    /// not to be created.
    fn refused(
        &self,
        group: Option<&Id>,
        wanted: &[Attribute],
        there: &There,
    ) -> Option<(&'static Rejection, String)> {
        let known =
            |it: &&Attribute| there.get(&it.name).map(|kind| (it.name.clone(), kind.clone()));
        let other = wanted.iter().find_map(|it| {
            known(&it).filter(|(_, kind)| !kind.is_empty() && kind != it.kind.name())
        });
        if let Some((name, kind)) = other {
            let reason = format!("the attribute `{name}` is there, but its type is {kind}");
            return Some((&rejections::OTHER_TYPE, reason));
        }
        let missing = missing(wanted, there);
        if self.create || missing.is_empty() {
            return None;
        }
        let quoted: Vec<String> = missing.iter().map(|it| format!("`{}`", it.name)).collect();
        let whose = match group {
            Some(group) => format!("the group {}", group.0),
            None => "the account".to_owned(),
        };
        let reason = format!("{whose} lacks {}; `create: true` creates it", quoted.join(", "));
        Some((&rejections::MISSING, reason))
    }

    async fn ensure(
        &self,
        api: &Api,
        group: Option<&Id>,
        wanted: &[Attribute],
        there: &mut There,
    ) -> Result<Outcome> {
        if let Some((rejection, reason)) = self.refused(group, wanted, there) {
            return Ok(rejection.because(reason));
        }
        let missing = missing(wanted, there);
        let names: Vec<&str> = missing.iter().map(|it| it.name.as_str()).collect();
        for attribute in &missing {
            create(api, group, attribute).await?;
            there.insert(attribute.name.clone(), attribute.kind.name().to_owned());
        }
        let all: Vec<&str> = wanted.iter().map(|it| it.name.as_str()).collect();
        let mut value = json!({ "attributes": all, "created": names });
        if let (Some(group), Some(value)) = (group, value.as_object_mut()) {
            value.insert("groupId".to_owned(), json!(group));
        }
        Ok(Outcome::done(value))
    }
}

fn missing<'w>(wanted: &'w [Attribute], there: &There) -> Vec<&'w Attribute> {
    wanted.iter().filter(|it| !there.contains_key(&it.name)).collect()
}

/// The path of the attributes of a group, or of the account.
fn path(group: Option<&Id>) -> Vec<&str> {
    match group {
        Some(group) => vec!["groups.json", &group.0, "attributes"],
        None => vec!["attributes.json"],
    }
}

async fn ask(api: &Api, group: Option<&Id>) -> Result<There> {
    let answer = api.get(path(group)).accept(StatusCode::NOT_FOUND).send().await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Err(match group {
            Some(group) => group::unknown(group),
            None => Error::config("CleverReach does not tell the account's attributes"),
        });
    }
    if answer.status() == StatusCode::NO_CONTENT {
        return Ok(There::new());
    }
    let own = |found: &Found| match (&found.groups_id, group) {
        (None, _) => true,
        // A list may hold the account's beside the group's.
        (Some(id), Some(group)) => id == group,
        (Some(id), None) => id.0 == "0",
    };
    let list: Vec<Found> = answer.json()?;
    let own = list.into_iter().filter(own);
    Ok(own.map(|it| (it.name.to_lowercase(), it.kind.unwrap_or_default())).collect())
}

async fn create(api: &Api, group: Option<&Id>, attribute: &Attribute) -> Result<()> {
    let body = json!({
        "name": attribute.name, "type": attribute.kind.name(),
        "description": attribute.description.as_deref().unwrap_or(&attribute.name),
    });
    // 409 says that it is there: another batch created it meanwhile.
    let request = api.post(path(group)).json(&body).accept(StatusCode::CONFLICT);
    let answer = request.send().await.map_err(|error| match error {
        Error::Reject { code, reason } => {
            let reason = format!("the attribute `{}`: {reason}", attribute.name);
            Error::Reject { code, reason }
        }
        error => error,
    })?;
    if !matches!(answer.status(), StatusCode::CONFLICT | StatusCode::NO_CONTENT) {
        drop(taken(&answer)?);
    }
    Ok(())
}
