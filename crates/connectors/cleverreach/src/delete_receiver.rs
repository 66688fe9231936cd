//! `deleteReceiver`: deletes receivers from a group, or from the account.

use connector::prelude::*;

use crate::group::Id;
use crate::told::Told;
use crate::who::{By, Who};
use crate::{deletion, in_group, rejections};

/// Deletes receivers, with all that CleverReach knows of them: from one group, or with
/// `fromAccount: true` from all groups. Who is not there is deleted already. For somebody who wants
/// no more mail take `setReceiverStatus` or `blacklist`: a deleted receiver can be imported again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "groupName": "Newsletter" }]))]
pub(crate) struct DeleteReceiver {
    /// The group's id, as CleverReach shows it in the group's address and settings.
    #[serde(default)]
    group_id: Option<Id>,
    /// The group's name, matched without case and surrounding spaces; exactly one group must
    /// have it.
    #[serde(default)]
    group_name: Option<String>,
    /// Deletes from the account, with all its groups, instead of from one group.
    #[serde(default)]
    from_account: bool,
    /// By what the default mapping names the receiver.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it")]
    by: By,
}

/// A receiver to delete, by its id or its address.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "email": "ada@example.com" }]))]
pub(crate) struct Deleted {
    /// The receiver's id. It goes before `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
    /// The receiver's e-mail address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    email: String,
}

#[async_trait]
impl Action for DeleteReceiver {
    type Input = Deleted;
    const MAX_BATCH: usize = 100;
    const REJECTIONS: &'static [Rejection] = rejections::DELETE;

    fn validate(&self) -> Result<(), String> {
        let (id, name) = (self.group_id.as_ref(), self.group_name.as_deref());
        match (self.from_account, id.is_none() && name.is_none()) {
            (true, true) => Ok(()),
            (true, false) => {
                Err("`fromAccount: true` deletes from all groups; leave the group out".to_owned())
            }
            (false, true) => {
                Err("`groupId` or `groupName` is needed, or `fromAccount: true`, which \
                                  deletes from all groups"
                    .to_owned())
            }
            (false, false) => in_group::validate(id, name),
        }
    }

    /// What is gone stays gone.
    fn idempotent(&self) -> bool {
        true
    }

    async fn lacks(&self, api: &Api) -> Result<Vec<String>> {
        in_group::lacks(api, self.group_id.as_ref(), self.group_name.as_deref()).await
    }

    async fn run(&self, api: &Api, batch: &Batch<Deleted>) -> Result<Outcomes> {
        let mut told = Told::new(batch.outcomes());
        let mut rows = vec![];
        for (index, item) in batch.items.iter().enumerate() {
            match Who::of(item.input.id.as_ref(), &item.input.email) {
                Ok(who) => rows.push((index, who)),
                Err(refusal) => told.refuse(index, refusal),
            }
        }
        if rows.is_empty() {
            return told.end(Ok(()));
        }
        let named = (self.group_id.as_ref(), self.group_name.as_deref());
        let sent = match in_group::find(api, named.0, named.1).await? {
            Some(group) => deletion::from_group(api, &group, &rows, &mut told).await,
            None => deletion::from_account(api, &rows, &mut told).await,
        };
        told.end(sent)
    }
}
