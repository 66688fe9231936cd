//! `ensureGroup`: sees to it that a group is there.

use std::collections::HashMap;

use connector::prelude::*;

use crate::group::{self, Group, Id};
use crate::rejections;
use crate::told::Told;

/// Sees to it that there is a group of a name, and gives its id: one that is there is taken, one that
/// is missing is created. The default mapping takes the contact's first category, so that
/// `upsertReceiver` with `groupFromCategories` finds its group.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "groupName": "Customers" }]))]
pub(crate) struct EnsureGroup {
    /// The name, the same for every message. Without it the default mapping takes the contact's
    /// first category; a `customMapping` gives `name` itself.
    #[serde(default)]
    group_name: Option<String>,
}

/// A group by its name.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "name": "Customers" }]))]
pub(crate) struct Named {
    /// The name, matched without case and surrounding spaces.
    #[serde(default)]
    name: String,
}

#[async_trait]
impl Action for EnsureGroup {
    type Input = Named;
    const MAX_BATCH: usize = 500;
    const REJECTIONS: &'static [Rejection] = rejections::GROUP;

    fn validate(&self) -> Result<(), String> {
        match self.group_name.as_deref().map(str::trim) {
            Some("") => Err("`groupName` is empty".to_owned()),
            _ => Ok(()),
        }
    }

    /// A group that is there is not created again: it is looked up by its name first.
    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Named>) -> Result<Outcomes> {
        let mut told = Told::new(batch.outcomes());
        let mut names: Vec<(usize, &str)> = vec![];
        for (index, item) in batch.items.iter().enumerate() {
            match item.input.name.trim() {
                "" => {
                    told.refuse(index, rejections::NO_NAME.because("the message names no group"));
                }
                name => names.push((index, name)),
            }
        }
        if names.is_empty() {
            return told.end(Ok(()));
        }
        let sent = ensure(api, &names, &mut told).await;
        told.end(sent)
    }
}

async fn ensure(api: &Api, names: &[(usize, &str)], told: &mut Told) -> Result<()> {
    let groups = group::all(api).await?;
    let mut made: HashMap<String, Id> = HashMap::new();
    for (index, name) in names {
        let key = name.to_lowercase();
        let there: Vec<&Group> = groups.iter().filter(|group| group.is_called(name)).collect();
        match (there.as_slice(), made.get(&key)) {
            ([group], _) => told.note(*index, Ok(done(&group.id, name, false)))?,
            ([_, _, ..], _) => {
                let reason = format!(
                    "CleverReach has {} groups called \"{name}\": {}",
                    there.len(),
                    group::listed(there.iter().copied())
                );
                told.refuse(*index, rejections::SEVERAL_NAMED.because(reason));
            }
            ([], Some(id)) => told.note(*index, Ok(done(id, name, false)))?,
            ([], None) => match create(api, name).await {
                Ok(id) => {
                    told.note(*index, Ok(done(&id, name, true)))?;
                    made.insert(key, id);
                }
                Err(error) => told.note(*index, Err(error))?,
            },
        }
    }
    Ok(())
}

/// Creates a group and gives its id. Where another batch created one of that name meanwhile, the
/// older one is taken and ours, still empty, goes again: receivers of both would be in either.
async fn create(api: &Api, name: &str) -> Result<Id> {
    let answer = api.post(["groups.json"]).json(&json!({ "name": name })).send().await?;
    let own: Group = answer.json()?;
    // The order makes no difference, but it tells this question from the first one.
    let again = api.get(["groups.json"]).query("order", "created ASC").send().await?;
    let all: Vec<Group> = again.json()?;
    let called = all.iter().filter(|group| group.is_called(name));
    let oldest = called.min_by_key(|group| (group.id.0.len(), group.id.0.clone()));
    match oldest {
        Some(oldest) if oldest.id != own.id => {
            api.request(Method::DELETE, ["groups.json", &own.id.0]).send().await?;
            Ok(oldest.id.clone())
        }
        _ => Ok(own.id),
    }
}

fn done(id: &Id, name: &str, created: bool) -> Outcome {
    let value = json!({ "id": id, "name": name, "created": created });
    Outcome::Done { value, target_key: Some(id.0.clone()) }
}
