//! `getReceiversByGroupIdPolling`: the receivers of one group.

use connector::prelude::*;

use crate::group::{self, Id};
use crate::look::{Detail, From, Kind, Look, Messages, PageSize};
use crate::receivers::{self, Cursor};
use crate::{stamps, whole};

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
    /// Whether a message tells the receiver's other groups too: `perReceiver` asks for them, of each
    /// that is new or changed; `perGroup`, without it, is the receiver as this group has it.
    #[serde(default)]
    messages: Option<Messages>,
    /// Which receivers by their state.
    #[serde(default, rename = "type")]
    kind: Kind,
    /// What comes along with each receiver.
    #[serde(default = "Detail::tags")]
    detail: Vec<Detail>,
    /// How many receivers one request asks for, from 1 to 5000.
    #[serde(default)]
    page_size: PageSize,
    /// A day or a time: receivers that changed before, and not since, are left out.
    #[serde(default)]
    from: Option<From>,
}

impl GetReceiversByGroupIdPolling {
    fn look(&self) -> Look {
        let completes = self.completes();
        Look { size: self.page_size, kind: self.kind, detail: self.detail.clone(), completes }
    }
}

#[async_trait]
impl PollingTrigger for GetReceiversByGroupIdPolling {
    type Cursor = Cursor;
    const CHANGES: Changes = Changes::Both;
    const VOLATILE: &'static [&'static str] = receivers::VOLATILE;

    fn validate(&self) -> Result<(), String> {
        group::one_of(self.group_id.as_ref(), self.group_name.as_deref())
    }

    /// The group's id is the partition, so that no page has to look the group up again.
    async fn partitions(&self, api: &Api) -> Result<Vec<String>> {
        let group = match &self.group_id {
            Some(id) => group::by_id(api, id).await?,
            None => group::by_name(api, self.group_name.as_deref().unwrap_or_default()).await?,
        };
        Ok(vec![group.id.0])
    }

    fn begins(&self) -> Option<Timestamp> {
        self.from.map(|from| from.0)
    }

    async fn poll(&self, api: &Api, scan: &Scan<Cursor>) -> Result<Page<Cursor>> {
        let Some(group) = scan.partition.as_deref() else {
            return Err(Error::config("a scan of receivers without a group"));
        };
        receivers::poll(api, scan, Some(group), &self.look()).await
    }

    fn completes(&self) -> bool {
        self.messages == Some(Messages::PerReceiver)
    }

    fn part(&self, record: &Record) -> Option<String> {
        stamps::part(record)
    }

    async fn complete(
        &self,
        api: &Api,
        partition: Option<&str>,
        found: Vec<Record>,
    ) -> Result<Vec<Option<Completed>>> {
        whole::complete(api, found, &self.look(), partition).await
    }
}
