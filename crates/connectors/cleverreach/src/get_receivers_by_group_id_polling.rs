//! `getReceiversByGroupIdPolling`: the receivers of one group.

use connector::prelude::*;

use crate::one_group::OneGroup;
use crate::receivers::{self, Cursor};
use crate::{stamps, whole};

/// Emits the receivers of one group that changed since the last poll. The group is named by
/// `groupId` or by `groupName`, not by both.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("examples" = [{ "groupName": "Newsletter" }]))]
pub(crate) struct GetReceiversByGroupIdPolling(OneGroup);

#[async_trait]
impl PollingTrigger for GetReceiversByGroupIdPolling {
    type Cursor = Cursor;
    const CHANGES: Changes = Changes::Both;
    const VOLATILE: &'static [&'static str] = receivers::VOLATILE;

    fn validate(&self) -> Result<(), String> {
        self.0.validate()
    }

    /// The group's id is the partition, so that no page has to look the group up again.
    async fn partitions(&self, api: &Api) -> Result<Vec<String>> {
        Ok(vec![self.0.id(api).await?])
    }

    fn begins(&self) -> Option<Timestamp> {
        self.0.begins()
    }

    async fn poll(&self, api: &Api, scan: &Scan<Cursor>) -> Result<Page<Cursor>> {
        self.0.poll(api, scan).await
    }

    fn key_of(&self, written: &Value) -> Option<String> {
        let email = written.get("email").and_then(Value::as_str)?;
        self.0.is_keyed_by_email().then(|| stamps::address_key(email))
    }

    fn completes(&self) -> bool {
        self.0.tells_all()
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
        whole::complete(api, found, &self.0.look(), partition).await
    }
}
