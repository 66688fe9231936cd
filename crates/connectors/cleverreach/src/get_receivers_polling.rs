//! `getReceiversPolling`: the receivers of all groups.

use connector::prelude::*;

use crate::group;
use crate::receivers::{self, Cursor, PageSize};

/// Emits the receivers of all groups that changed since the last poll: one message per receiver
/// and group.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GetReceiversPolling {
    /// How many receivers one request asks for, from 1 to 5000.
    #[serde(default)]
    page_size: PageSize,
}

#[async_trait]
impl PollingTrigger for GetReceiversPolling {
    type Cursor = Cursor;
    const CHANGES: Changes = Changes::Both;
    const VOLATILE: &'static [&'static str] = receivers::VOLATILE;

    async fn partitions(&self, api: &Api) -> Result<Vec<String>> {
        let groups = group::all(api).await?;
        Ok(groups.into_iter().map(|group| group.id.0).collect())
    }

    async fn poll(&self, api: &Api, scan: &Scan<Cursor>) -> Result<Page<Cursor>> {
        receivers::poll(api, scan, self.page_size).await
    }
}
