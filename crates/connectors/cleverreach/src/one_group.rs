//! The receivers of one group, and how they are read: the fields of each trigger that is about one.

use connector::prelude::*;

use crate::group::{self, Id};
use crate::in_group;
use crate::look::{Detail, From, KeyedBy, Kind, Look, Messages, PageSize};
use crate::receivers::{self, Cursor};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct OneGroup {
    /// The group's id, as CleverReach shows it in the group's address and settings.
    #[serde(default)]
    group_id: Option<Id>,
    /// The group's name, matched without case and surrounding spaces; exactly one group must
    /// have it.
    #[serde(default)]
    group_name: Option<String>,
    /// Whether a message tells the receiver's other groups too: `perReceiver` asks for them, of each
    /// that is new or changed; `perGroup` is the receiver as this group has it. Without it
    /// `perReceiver`, or with `keyedBy: email` `perGroup`.
    #[serde(default)]
    messages: Option<Messages>,
    /// Which receivers by their state.
    #[serde(default, rename = "type")]
    kind: Kind,
    /// What comes along with each receiver.
    #[serde(default = "Detail::tags")]
    detail: Vec<Detail>,
    /// How many receivers one request of a scan asks for, from 1 to 5000.
    #[serde(default)]
    page_size: PageSize,
    /// A day or a time: receivers that changed before, and not since, are left out.
    #[serde(default)]
    from: Option<From>,
    /// What a receiver is known by. By `email` only where the group is polled, and `perGroup`.
    #[serde(default)]
    keyed_by: KeyedBy,
}

impl OneGroup {
    pub(crate) fn validate(&self) -> Result<(), String> {
        in_group::validate(self.group_id.as_ref(), self.group_name.as_deref())?;
        if self.is_keyed_by_email() && self.messages == Some(Messages::PerReceiver) {
            return Err("`keyedBy: email` and `messages: perReceiver` exclude each other: a \
                        receiver's groups are asked for by its id"
                .to_owned());
        }
        Ok(())
    }

    /// Whether receivers are known by their addresses.
    pub(crate) fn is_keyed_by_email(&self) -> bool {
        self.keyed_by == KeyedBy::Email
    }

    /// Whether messages tell the receiver's other groups too.
    pub(crate) fn tells_all(&self) -> bool {
        !self.is_keyed_by_email() && self.messages != Some(Messages::PerGroup)
    }

    pub(crate) fn look(&self) -> Look {
        let (size, kind, detail) = (self.page_size, self.kind, self.detail.clone());
        Look { size, kind, detail, keyed_by: self.keyed_by, completes: self.tells_all() }
    }

    /// Whether this can be the group of an id.
    pub(crate) fn may_be(&self, id: &Id) -> bool {
        self.group_id.as_ref().is_none_or(|own| own == id)
    }

    /// The group's id, which the account has.
    pub(crate) async fn id(&self, api: &Api) -> Result<String> {
        let group = match &self.group_id {
            Some(id) => group::by_id(api, id).await?,
            None => group::by_name(api, self.group_name.as_deref().unwrap_or_default()).await?,
        };
        Ok(group.id.0)
    }

    pub(crate) fn begins(&self) -> Option<Timestamp> {
        self.from.map(|from| from.0)
    }

    /// Reads one page of the group that is the scan's partition.
    pub(crate) async fn poll(&self, api: &Api, scan: &Scan<Cursor>) -> Result<Page<Cursor>> {
        let Some(group) = scan.partition.as_deref() else {
            return Err(Error::config("a scan of receivers without a group"));
        };
        receivers::poll(api, scan, Some(group), &self.look()).await
    }
}
