//! `addTags`: gives tags to receivers of a group.

use connector::prelude::*;

use crate::group::Id;
use crate::members::Detail;
use crate::plus::{self, Absent, Wish};
use crate::tag::{self, Tag};
use crate::told::Told;
use crate::who::{By, Who};
use crate::{in_group, rejections};

/// Gives tags to receivers of a group, besides those that they have. What a receiver has already is
/// not written again. One that is not in the group is refused: `upsertReceiver` creates it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "groupName": "Newsletter", "tags": ["customer"] }]))]
pub(crate) struct AddTags {
    /// The group's id, as CleverReach shows it in the group's address and settings.
    #[serde(default)]
    group_id: Option<Id>,
    /// The group's name, matched without case and surrounding spaces; exactly one group must
    /// have it.
    #[serde(default)]
    group_name: Option<String>,
    /// The tags, the same for every message. Without them the default mapping takes the contact's
    /// categories; a `customMapping` gives `tags` itself.
    #[serde(default)]
    tags: Vec<String>,
    /// By what the default mapping names the receiver.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it")]
    by: By,
}

/// A receiver, and tags for it.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "email": "ada@example.com", "tags": ["customer", "shop.vip"] }]))]
pub(crate) struct Tagged {
    /// The receiver's id. It goes before `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
    /// The receiver's e-mail address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    email: String,
    /// The tags. Letters, digits, `_`, `-`, and a dot behind an origin stay; anything else becomes
    /// `_`, and a hyphen in front goes.
    #[serde(default, deserialize_with = "tag::list")]
    tags: Vec<Tag>,
}

#[async_trait]
impl Action for AddTags {
    type Input = Tagged;
    const MAX_BATCH: usize = 500;
    const REJECTIONS: &'static [Rejection] = rejections::TAGS;

    fn validate(&self) -> Result<(), String> {
        in_group::validate(self.group_id.as_ref(), self.group_name.as_deref())?;
        match self.tags.iter().find(|tag| Tag::of(tag).is_empty()) {
            Some(tag) => Err(format!("`tags` has \"{tag}\", of which no tag is left")),
            None => Ok(()),
        }
    }

    /// A tag that is there stays as it is.
    fn idempotent(&self) -> bool {
        true
    }

    async fn lacks(&self, api: &Api) -> Result<Vec<String>> {
        in_group::lacks(api, self.group_id.as_ref(), self.group_name.as_deref()).await
    }

    async fn run(&self, api: &Api, batch: &Batch<Tagged>) -> Result<Outcomes> {
        let mut told = Told::new(batch.outcomes());
        let mut wishes = vec![];
        for (index, item) in batch.items.iter().enumerate() {
            let input = &*item.input;
            match Who::of(input.id.as_ref(), &input.email) {
                Err(refusal) => told.refuse(index, refusal),
                Ok(_) if input.tags.is_empty() => told.refuse(index, rejections::no_tags()),
                Ok(who) => wishes.push((index, who, Wish { tags: &input.tags, ..Wish::default() })),
            }
        }
        let named = (self.group_id.as_ref(), self.group_name.as_deref());
        plus::change(api, named, wishes, (Detail::TAGS, Absent::Refuse), told).await
    }
}
