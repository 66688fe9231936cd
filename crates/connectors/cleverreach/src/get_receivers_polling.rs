//! `getReceiversPolling`: the receivers of all groups.

use connector::prelude::*;

use crate::group;
use crate::look::{Detail, From, KeyedBy, Kind, Look, Messages, PageSize};
use crate::receivers::{self, Cursor};
use crate::{stamps, whole};

/// Emits the receivers of all groups that changed since the last poll: one message per receiver,
/// with all its groups, or one per receiver and group.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "type": "active" }]))]
pub(crate) struct GetReceiversPolling {
    /// How many messages there are of a receiver who is in several groups; `perReceiver` without it.
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

impl GetReceiversPolling {
    fn look(&self) -> Look {
        Look {
            size: self.page_size,
            kind: self.kind,
            detail: self.detail.clone(),
            keyed_by: KeyedBy::Id,
            completes: self.completes(),
        }
    }
}

#[async_trait]
impl PollingTrigger for GetReceiversPolling {
    type Cursor = Cursor;
    const CHANGES: Changes = Changes::Both;
    const VOLATILE: &'static [&'static str] = receivers::VOLATILE;

    /// Where each group makes its own messages, each is read on its own.
    async fn partitions(&self, api: &Api) -> Result<Vec<String>> {
        if self.completes() {
            return Ok(vec![]);
        }
        let groups = group::all(api).await?;
        Ok(groups.into_iter().map(|group| group.id.0).collect())
    }

    fn begins(&self) -> Option<Timestamp> {
        self.from.map(|from| from.0)
    }

    async fn poll(&self, api: &Api, scan: &Scan<Cursor>) -> Result<Page<Cursor>> {
        receivers::poll(api, scan, scan.partition.as_deref(), &self.look()).await
    }

    fn completes(&self) -> bool {
        self.messages.unwrap_or(Messages::PerReceiver) == Messages::PerReceiver
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
