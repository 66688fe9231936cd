//! `getReceiversByGroupIdPolling`: the receivers of one group.

use connector::prelude::*;

use crate::group::{self, Id};
use crate::receivers::{self, Cursor, PageSize};

/// Emits the receivers of one group that changed since the last poll. The group is named by
/// `groupId` or by `groupName`, not by both.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "groupName": "Newsletter" }]))]
pub(crate) struct GetReceiversByGroupIdPolling {
    /// The group's id, as CleverReach shows it in the group's address and settings.
    #[serde(default)]
    group_id: Option<Id>,
    /// The group's name, matched without case and surrounding spaces; exactly one group must
    /// have it.
    #[serde(default)]
    group_name: Option<String>,
    /// How many receivers one request asks for, from 1 to 5000.
    #[serde(default)]
    page_size: PageSize,
}

#[async_trait]
impl PollingTrigger for GetReceiversByGroupIdPolling {
    type Cursor = Cursor;
    const CHANGES: Changes = Changes::Both;
    const VOLATILE: &'static [&'static str] = receivers::VOLATILE;

    fn validate(&self) -> Result<(), String> {
        match (&self.group_id, self.group_name.as_deref().map(str::trim)) {
            (Some(_), None) => Ok(()),
            (None, Some(name)) if !name.is_empty() => Ok(()),
            (None, Some(_)) => Err("`groupName` is empty".to_owned()),
            (None, None) => Err("`groupId` or `groupName` is needed".to_owned()),
            (Some(_), Some(_)) => {
                Err("`groupId` and `groupName` exclude each other; give one".to_owned())
            }
        }
    }

    /// The group's id is the partition, so that no page has to look the group up again.
    async fn partitions(&self, api: &Api) -> Result<Vec<String>> {
        let group = match &self.group_id {
            Some(id) => group::by_id(api, id).await?,
            None => group::by_name(api, self.group_name.as_deref().unwrap_or_default()).await?,
        };
        Ok(vec![group.id.0])
    }

    async fn poll(&self, api: &Api, scan: &Scan<Cursor>) -> Result<Page<Cursor>> {
        receivers::poll(api, scan, self.page_size).await
    }
}
