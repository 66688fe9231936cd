//! Polling triggers: what an author writes, and the same erased for the engine.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::webhook::{self, ErasedWebhook, WebhookTrigger};
use crate::{Api, Error, Result, Timestamp};

/// How a trigger can tell what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// The API can be asked what changed since a moment, and sees every change.
    Timestamps,
    /// The API cannot say: every poll is a full scan, compared by content.
    Content,
    /// Timestamps at every poll, and a full sweep now and then for what they do not show.
    Both,
    /// Every record of every poll is emitted.
    None,
    /// Records are added behind those that there are (a log): all that is found is new, and the next
    /// scan begins where the last one ended. Every page gives [`Page::next`], the last one too; one
    /// without records ends the scan.
    Appended,
}

/// What a scan asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Records whose version is `since` or later.
    Changed {
        /// The earliest version wanted, inclusive.
        since: Timestamp,
    },
    /// Every record.
    All,
}

impl Changes {
    /// Whether it is remembered which records were settled, to tell what is new from what is not.
    pub const fn are_remembered(self) -> bool {
        !matches!(self, Self::None | Self::Appended)
    }
}

impl Want {
    /// The earliest version wanted, inclusive; none if everything is.
    pub const fn since(self) -> Option<Timestamp> {
        match self {
            Self::Changed { since } => Some(since),
            Self::All => None,
        }
    }
}

/// One question of the engine: the next page of a scan.
#[derive(Clone, Debug)]
pub struct Scan<C> {
    /// What is asked for; the same for all pages of a scan.
    pub want: Want,
    /// The partition to read, one of [`PollingTrigger::partitions`]; `None` if there are none.
    pub partition: Option<String>,
    /// Where the page before this one ended; `None` for the first page.
    pub cursor: Option<C>,
}

/// What a trigger found: one record of the system.
#[derive(Clone, Debug)]
pub struct Record {
    /// The record's id in its system, unique within the partition.
    pub key: String,
    /// When the record last changed, as its system tells; `None` if it does not.
    pub version: Option<Timestamp>,
    /// The whole record, as the system gave it. It stays text until it is mapped: a page of
    /// parsed records takes ten times the memory.
    pub data: Box<RawValue>,
}

impl Record {
    /// A record of a value that is not text any more.
    pub fn new(
        key: impl Into<String>,
        version: Option<Timestamp>,
        data: &impl Serialize,
    ) -> Result<Self> {
        let data = serde_json::value::to_raw_value(data);
        let data =
            data.map_err(|error| Error::config(format!("a record cannot be written: {error}")))?;
        Ok(Self { key: key.into(), version, data })
    }
}

/// The records of one poll call.
#[derive(Clone, Debug)]
pub struct Page<C> {
    /// The records, in the system's order.
    pub records: Vec<Record>,
    /// Where the next page begins; `None` ends the scan, unless records are
    /// [appended](Changes::Appended).
    pub next: Option<C>,
}

/// A trigger that is asked on a schedule what changed.
///
/// The type is the trigger's fields: configuration, schema, form and documentation in one. It
/// holds no state between calls; the engine keeps the snapshot, detects changes, retries.
#[async_trait]
pub trait PollingTrigger: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The place inside one scan, stored with the snapshot.
    type Cursor: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// How changes are told.
    const CHANGES: Changes;
    /// JSON Pointers into a record that change without meaning (`/last_ip`): ignored when
    /// contents are compared.
    const VOLATILE: &'static [&'static str] = &[];

    /// Says what is wrong with the fields beyond their types.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    /// Lists the parts that are scanned on their own (groups, lists); none means one scan.
    async fn partitions(&self, _api: &Api) -> Result<Vec<String>> {
        Ok(vec![])
    }

    /// Reads one page. An outage is an error, never an empty page.
    async fn poll(&self, api: &Api, scan: &Scan<Self::Cursor>) -> Result<Page<Self::Cursor>>;
}

/// A configured trigger whose cursor is plain JSON, as the engine keeps it.
#[async_trait]
pub trait ErasedTrigger: Send + Sync {
    /// [`PollingTrigger::CHANGES`].
    fn changes(&self) -> Changes;
    /// [`PollingTrigger::VOLATILE`].
    fn volatile(&self) -> &'static [&'static str];
    /// [`PollingTrigger::partitions`].
    async fn partitions(&self, api: &Api) -> Result<Vec<String>>;
    /// [`PollingTrigger::poll`]; a cursor of another shape is [`Error::Config`].
    async fn poll(&self, api: &Api, scan: &Scan<Value>) -> Result<Page<Value>>;
    /// The trigger as a webhook, if its system calls it: then it is not polled.
    fn webhook(&self) -> Option<&dyn ErasedWebhook> {
        None
    }
    /// Whether the runtime itself tells its records: then it is neither polled nor called.
    fn is_told(&self) -> bool {
        false
    }
}

/// A webhook stands in the place of a trigger; what it finds is in the inbox.
#[async_trait]
impl<T: WebhookTrigger> ErasedTrigger for webhook::Erased<T> {
    fn changes(&self) -> Changes {
        Changes::None
    }

    fn volatile(&self) -> &'static [&'static str] {
        &[]
    }

    async fn partitions(&self, _api: &Api) -> Result<Vec<String>> {
        Ok(vec![])
    }

    async fn poll(&self, _api: &Api, _scan: &Scan<Value>) -> Result<Page<Value>> {
        Err(Error::config("this trigger is called by its system and cannot be asked"))
    }

    fn webhook(&self) -> Option<&dyn ErasedWebhook> {
        Some(self)
    }
}

pub(crate) struct Erased<T>(pub(crate) T);

#[async_trait]
impl<T: PollingTrigger> ErasedTrigger for Erased<T> {
    fn changes(&self) -> Changes {
        T::CHANGES
    }

    fn volatile(&self) -> &'static [&'static str] {
        T::VOLATILE
    }

    async fn partitions(&self, api: &Api) -> Result<Vec<String>> {
        self.0.partitions(api).await
    }

    async fn poll(&self, api: &Api, scan: &Scan<Value>) -> Result<Page<Value>> {
        let cursor = scan.cursor.clone().map(serde_json::from_value).transpose();
        let cursor = cursor.map_err(|error| {
            Error::config(format!(
                "the stored place inside the scan cannot be read ({error}); \
                 `towpath state reset` starts the scan afresh"
            ))
        })?;
        let scan = Scan { want: scan.want, partition: scan.partition.clone(), cursor };
        let page = self.0.poll(api, &scan).await?;
        let next = page.next.map(serde_json::to_value).transpose();
        let next = next.map_err(|error| {
            Error::config(format!("the place inside the scan cannot be stored: {error}"))
        })?;
        Ok(Page { records: page.records, next })
    }
}
