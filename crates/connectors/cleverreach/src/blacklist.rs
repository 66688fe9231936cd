//! `blacklist`: puts addresses on the blacklist, and takes them off.

use connector::prelude::*;

use crate::group::Id;
use crate::taken::taken;
use crate::{in_group, rejections, who};

/// Puts addresses on the blacklist of the account, or of one group, so that they get no mail
/// whatever their receivers say; or takes them off. What is so already is done.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "comment": "asked for no more mail" }]))]
pub(crate) struct Blacklist {
    /// What becomes of the addresses.
    #[serde(default)]
    operation: Operation,
    /// The group whose blacklist it is; without a group it is the account's.
    #[serde(default)]
    group_id: Option<Id>,
    /// The same by the group's name, matched without case and surrounding spaces.
    #[serde(default)]
    group_name: Option<String>,
    /// Why, the same for every message. Without it the default mapping takes the contact's `notes`.
    #[serde(default)]
    comment: Option<String>,
}

/// What becomes of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Operation {
    /// It is put on the blacklist. One that is there already keeps its comment, or gets the new
    /// one, as CleverReach does it.
    #[default]
    Add,
    /// It is taken off. Its receivers stay as they are.
    Remove,
}

/// An address for the blacklist.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "email": "ada@example.com", "comment": "asked for no more mail" }]))]
pub(crate) struct Unwanted {
    /// The e-mail address.
    #[serde(default)]
    email: String,
    /// Why it is on the blacklist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[async_trait]
impl Action for Blacklist {
    type Input = Unwanted;
    const REJECTIONS: &'static [Rejection] = rejections::BLACKLIST;

    fn validate(&self) -> Result<(), String> {
        in_group::validate_optional(self.group_id.as_ref(), self.group_name.as_deref())?;
        if self.operation == Operation::Remove && self.comment.is_some() {
            return Err("`comment` goes with `operation: add` only".to_owned());
        }
        Ok(())
    }

    /// An address is on the blacklist, or it is not.
    fn idempotent(&self) -> bool {
        true
    }

    async fn lacks(&self, api: &Api) -> Result<Vec<String>> {
        in_group::lacks(api, self.group_id.as_ref(), self.group_name.as_deref()).await
    }

    async fn run(&self, api: &Api, batch: &Batch<Unwanted>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let group = (self.group_id.as_ref(), self.group_name.as_deref());
        for (index, item) in batch.items.iter().enumerate() {
            let email = match who::address(&item.input.email) {
                Ok(email) => email,
                Err(refusal) => {
                    outcomes.set(index, refusal);
                    continue;
                }
            };
            let group = in_group::find(api, group.0, group.1).await?;
            let sent = match self.operation {
                Operation::Add => add(api, group.as_ref(), email, &item.input).await,
                Operation::Remove => remove(api, group.as_ref(), email).await,
            };
            outcomes.set(
                index,
                match sent {
                    Ok(()) => self.done(group.as_ref(), email),
                    Err(Error::Reject { reason, .. }) => rejections::REFUSED.because(reason),
                    Err(error) => return Err(error),
                },
            );
        }
        Ok(outcomes)
    }
}

impl Blacklist {
    fn done(&self, group: Option<&Id>, email: &str) -> Outcome {
        let on = self.operation == Operation::Add;
        let mut value = json!({ "email": email, "blacklisted": on });
        if let (Some(group), Some(value)) = (group, value.as_object_mut()) {
            value.insert("groupId".to_owned(), json!(group));
        }
        Outcome::done(value)
    }
}

/// The path of a blacklist.
fn path(group: Option<&Id>) -> Vec<&str> {
    match group {
        Some(group) => vec!["groups.json", &group.0, "blacklist"],
        None => vec!["blacklist.json"],
    }
}

async fn add(api: &Api, group: Option<&Id>, email: &str, input: &Unwanted) -> Result<()> {
    let comment = input.comment.as_deref().unwrap_or_default().trim();
    let body = json!({ "email": email, "comment": comment });
    // 409 is how the API says of other things that they are there.
    let request = api.post(path(group)).json(&body).accept(StatusCode::CONFLICT);
    let answer = request.send().await?;
    if matches!(answer.status(), StatusCode::CONFLICT | StatusCode::NO_CONTENT) {
        return Ok(());
    }
    match taken(&answer)? {
        Value::Bool(false) => Err(Error::Reject {
            code: "false".to_owned(),
            reason: format!("CleverReach answered false to {email} for the blacklist"),
        }),
        _ => Ok(()),
    }
}

async fn remove(api: &Api, group: Option<&Id>, email: &str) -> Result<()> {
    if let Some(group) = group {
        // Where the group is missing too, a 404 would say nothing about the address.
        crate::group::by_id(api, group).await?;
    }
    let mut path = path(group);
    path.push(email);
    let request = api.request(Method::DELETE, path).accept(StatusCode::NOT_FOUND);
    let answer = request.send().await?;
    if !matches!(answer.status(), StatusCode::NOT_FOUND | StatusCode::NO_CONTENT) {
        // `false` says that it was not there.
        drop(taken(&answer)?);
    }
    Ok(())
}
