//! `removeTags`: takes tags away from receivers of a group.

use connector::prelude::*;

use crate::group::Id;
use crate::members::Detail;
use crate::plus::{self, Absent, Wish};
use crate::tag::{self, Gone};
use crate::told::Told;
use crate::who::{By, Who};
use crate::{in_group, rejections};

/// Takes tags away from receivers of a group. Where a receiver has none of them, or is not in the
/// group, nothing is to be done.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "groupName": "Newsletter", "tags": ["trial"] }]))]
pub(crate) struct RemoveTags {
    /// The group's id, as CleverReach shows it in the group's address and settings.
    #[serde(default)]
    group_id: Option<Id>,
    /// The group's name, matched without case and surrounding spaces; exactly one group must
    /// have it.
    #[serde(default)]
    group_name: Option<String>,
    /// The tags, the same for every message; `shop.*` is all of the origin `shop`. Without them the
    /// default mapping takes the contact's categories; a `customMapping` gives `tags` itself.
    #[serde(default)]
    tags: Vec<String>,
    /// By what the default mapping names the receiver.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it")]
    by: By,
}

/// A receiver, and tags to take away.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "email": "ada@example.com", "tags": ["trial", "shop.*"] }]))]
pub(crate) struct Untagged {
    /// The receiver's id. It goes before `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
    /// The receiver's e-mail address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    email: String,
    /// The tags to take away; `shop.*` is all of the origin `shop`.
    #[serde(default, deserialize_with = "tag::gone")]
    tags: Vec<Gone>,
}

#[async_trait]
impl Action for RemoveTags {
    type Input = Untagged;
    const MAX_BATCH: usize = 500;
    const REJECTIONS: &'static [Rejection] = rejections::UNTAGS;

    fn validate(&self) -> Result<(), String> {
        in_group::validate(self.group_id.as_ref(), self.group_name.as_deref())?;
        match self.tags.iter().find(|tag| Gone::of(tag).is_empty()) {
            Some(tag) => Err(format!("`tags` has \"{tag}\", of which no tag is left")),
            None => Ok(()),
        }
    }

    /// A tag that is gone stays gone.
    fn idempotent(&self) -> bool {
        true
    }

    async fn lacks(&self, api: &Api) -> Result<Vec<String>> {
        in_group::lacks(api, self.group_id.as_ref(), self.group_name.as_deref()).await
    }

    async fn run(&self, api: &Api, batch: &Batch<Untagged>) -> Result<Outcomes> {
        let mut told = Told::new(batch.outcomes());
        let mut wishes = vec![];
        for (index, item) in batch.items.iter().enumerate() {
            let input = &*item.input;
            let remove_tags = input.tags.as_slice();
            match Who::of(input.id.as_ref(), &input.email) {
                Err(refusal) => told.refuse(index, refusal),
                Ok(_) if remove_tags.is_empty() => told.refuse(index, rejections::no_tags()),
                Ok(who) => wishes.push((index, who, Wish { remove_tags, ..Wish::default() })),
            }
        }
        let named = (self.group_id.as_ref(), self.group_name.as_deref());
        plus::change(api, named, wishes, (Detail::TAGS, Absent::Done), told).await
    }
}
