//! Polling triggers: what an author writes, and the same erased for the engine.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::heard::{ErasedHeard, HeardTrigger};
use crate::webhook::{ErasedWebhook, WebhookTrigger};
use crate::{Api, Error, Result, Timestamp};

/// How far before the last known change polls look, unless flow or trigger say otherwise.
const OVERLAP: Duration = Duration::from_secs(60);

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

/// A record with what its scan did not tell of it.
#[derive(Clone, Debug)]
pub struct Completed {
    /// The record as it is emitted: the same whichever of its parts was found changed.
    pub record: Record,
    /// Its other parts as scans will show them, each by its name: none of them is news then.
    pub parts: Vec<(String, Record)>,
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

    /// Where the first scan begins: what changed before that, and not since, is left out of every
    /// scan. `None` reads everything.
    fn begins(&self) -> Option<Timestamp> {
        None
    }

    /// How far before the last known change a poll looks where the flow does not say, for what becomes
    /// visible late.
    fn overlap(&self) -> Duration {
        OVERLAP
    }

    /// Reads one page. An outage is an error, never an empty page.
    async fn poll(&self, api: &Api, scan: &Scan<Self::Cursor>) -> Result<Page<Self::Cursor>>;

    /// The key that scans give a record that an action of the same connector wrote, by what
    /// [`Action::written`](crate::Action::written) tells of it. `None` is the key that the action
    /// gave for its result.
    fn key_of(&self, _written: &Value) -> Option<String> {
        None
    }

    /// The key that the record had before its system knew as much of it as now, where a system gives no
    /// id and the key is made of what it tells. A record that was settled under that key, with the same
    /// content, is no news. Asked only where [timestamps](Changes::Timestamps) tell changes: elsewhere the
    /// earlier key would be missed.
    fn earlier_key(&self, _record: &Record) -> Option<String> {
        None
    }

    /// Whether records are [completed](Self::complete) before they are emitted.
    fn completes(&self) -> bool {
        false
    }

    /// Which part of its key's record a record of a scan is, where scans give it in parts (a person
    /// once in each list that has them). Each part is remembered on its own. `None` is one of which
    /// the scan does not tell: it is completed whenever it is found. Asked only of a trigger that
    /// completes records.
    fn part(&self, _record: &Record) -> Option<String> {
        None
    }

    /// Asks for what scans do not tell of records, of those only that are new or changed: as many
    /// results as `found`, in its order, `None` for one that is not in the partition any more. It is
    /// emitted if the completed record is not the one that was settled before. Of what is known by its
    /// key alone the data is null, and of what its system told by calling it is what that told.
    ///
    /// A failure is one of the poll: the page is neither settled nor lost.
    async fn complete(
        &self,
        _api: &Api,
        _partition: Option<&str>,
        found: Vec<Record>,
    ) -> Result<Vec<Option<Completed>>> {
        Ok(found.into_iter().map(|record| Some(Completed { record, parts: vec![] })).collect())
    }
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
    /// [`PollingTrigger::begins`].
    fn begins(&self) -> Option<Timestamp> {
        None
    }
    /// [`PollingTrigger::overlap`].
    fn overlap(&self) -> Duration {
        OVERLAP
    }
    /// [`PollingTrigger::poll`]; a cursor of another shape is [`Error::Config`].
    async fn poll(&self, api: &Api, scan: &Scan<Value>) -> Result<Page<Value>>;
    /// [`PollingTrigger::key_of`].
    fn key_of(&self, _written: &Value) -> Option<String> {
        None
    }
    /// [`PollingTrigger::earlier_key`].
    fn earlier_key(&self, _record: &Record) -> Option<String> {
        None
    }
    /// [`PollingTrigger::completes`].
    fn completes(&self) -> bool {
        false
    }
    /// [`PollingTrigger::part`].
    fn part(&self, _record: &Record) -> Option<String> {
        None
    }
    /// [`PollingTrigger::complete`].
    async fn complete(
        &self,
        _api: &Api,
        _partition: Option<&str>,
        _found: Vec<Record>,
    ) -> Result<Vec<Option<Completed>>> {
        Err(Error::config("this trigger does not complete its records"))
    }
    /// Whether it is asked what changed; otherwise what it finds comes by itself.
    fn is_polled(&self) -> bool {
        true
    }
    /// The trigger as a webhook, if its system calls it.
    fn webhook(&self) -> Option<&dyn ErasedWebhook> {
        None
    }
    /// The trigger as one that its system calls where it was told to; it is polled too.
    fn heard(&self) -> Option<&dyn ErasedHeard> {
        None
    }
    /// Whether the runtime itself tells its records: then it is neither polled nor called.
    fn is_told(&self) -> bool {
        false
    }
}

/// A webhook stands in the place of a trigger; what it finds is in the inbox.
pub(crate) struct Called<T>(pub(crate) T);

#[async_trait]
impl<T: WebhookTrigger> ErasedTrigger for Called<T> {
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

    fn is_polled(&self) -> bool {
        false
    }

    fn webhook(&self) -> Option<&dyn ErasedWebhook> {
        Some(&self.0)
    }
}

pub(crate) struct Polled<T> {
    trigger: T,
    as_called: fn(&T) -> Option<AsCalled<'_>>,
}

/// A trigger that is polled, as one that its system calls too.
type AsCalled<'a> = (&'a dyn ErasedWebhook, &'a dyn ErasedHeard);

impl<T: PollingTrigger> Polled<T> {
    pub(crate) fn new(trigger: T) -> Self {
        Self { trigger, as_called: |_| None }
    }
}

impl<T: HeardTrigger> Polled<T> {
    pub(crate) fn and_called(trigger: T) -> Self {
        Self { trigger, as_called: |trigger| Some((trigger, trigger)) }
    }
}

#[async_trait]
impl<T: PollingTrigger> ErasedTrigger for Polled<T> {
    fn changes(&self) -> Changes {
        T::CHANGES
    }

    fn volatile(&self) -> &'static [&'static str] {
        T::VOLATILE
    }

    async fn partitions(&self, api: &Api) -> Result<Vec<String>> {
        self.trigger.partitions(api).await
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
        let page = self.trigger.poll(api, &scan).await?;
        let next = page.next.map(serde_json::to_value).transpose();
        let next = next.map_err(|error| {
            Error::config(format!("the place inside the scan cannot be stored: {error}"))
        })?;
        Ok(Page { records: page.records, next })
    }

    fn begins(&self) -> Option<Timestamp> {
        self.trigger.begins()
    }

    fn key_of(&self, written: &Value) -> Option<String> {
        self.trigger.key_of(written)
    }

    fn overlap(&self) -> Duration {
        self.trigger.overlap()
    }

    fn earlier_key(&self, record: &Record) -> Option<String> {
        self.trigger.earlier_key(record)
    }

    fn completes(&self) -> bool {
        self.trigger.completes()
    }

    fn part(&self, record: &Record) -> Option<String> {
        self.trigger.part(record)
    }

    async fn complete(
        &self,
        api: &Api,
        partition: Option<&str>,
        found: Vec<Record>,
    ) -> Result<Vec<Option<Completed>>> {
        let asked = found.len();
        let completed = self.trigger.complete(api, partition, found).await?;
        if completed.len() != asked {
            let given = completed.len();
            return Err(Error::config(format!(
                "the trigger completed {given} records of {asked}: a mistake of the connector"
            )));
        }
        Ok(completed)
    }

    fn webhook(&self) -> Option<&dyn ErasedWebhook> {
        (self.as_called)(&self.trigger).map(|(webhook, _)| webhook)
    }

    fn heard(&self) -> Option<&dyn ErasedHeard> {
        (self.as_called)(&self.trigger).map(|(_, heard)| heard)
    }
}
