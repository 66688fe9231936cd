//! A trigger on its stage, its calls, and how their pages are compared and shown.

use std::sync::Arc;

use connector::{ErasedTrigger, Error, Page, Result, Scan, TriggerDescriptor};
use serde_json::Value;

use crate::completing::completing;
use crate::expect::Found;
use crate::stage::{Ended, Stage};

/// One call of `poll` as recorded.
pub(crate) struct Call {
    pub(crate) partition: String,
    pub(crate) cursor: Option<Value>,
    pub(crate) page: Page<Value>,
    /// The exchanges that it asked for.
    pub(crate) exchanges: Vec<usize>,
    /// The requests that it made, as they are shown.
    pub(crate) asked: Vec<String>,
}

/// A trigger on its stage.
pub(crate) struct Play<'a> {
    pub(crate) stage: &'a Stage<'a>,
    pub(crate) descriptor: &'a TriggerDescriptor,
}

impl<'a> Play<'a> {
    pub(crate) const fn new(stage: &'a Stage<'a>, descriptor: &'a TriggerDescriptor) -> Self {
        Self { stage, descriptor }
    }

    /// The trigger as it is after a restart.
    pub(crate) fn trigger(&self) -> Result<Arc<dyn ErasedTrigger>> {
        let trigger = (self.descriptor.configure)(self.stage.story.fields());
        trigger.map(completing).map_err(Error::config)
    }

    pub(crate) fn scan(&self, partition: &str, cursor: Option<Value>) -> Scan<Value> {
        let partition = Some(partition.to_owned()).filter(|it| !it.is_empty());
        Scan { want: self.stage.story.want(), partition, cursor }
    }

    /// Polls one page of a partition, as after a restart.
    pub(crate) async fn poll(&self, partition: &str, cursor: Option<Value>) -> Result<Page<Value>> {
        let scan = self.scan(partition, cursor);
        self.trigger()?.poll(&self.stage.api()?, &scan).await
    }

    /// The partitions, as after a restart; the one without a name where there are none.
    pub(crate) async fn partitions(&self) -> Result<Vec<String>> {
        let mut listed = self.trigger()?.partitions(&self.stage.api()?).await?;
        if listed.is_empty() {
            listed.push(String::new());
        }
        Ok(listed)
    }
}

/// Whether two pages have the same records and go on at the same place.
pub(crate) fn is_same(page: &Page<Value>, other: &Page<Value>) -> bool {
    let data = |page: &Page<Value>| {
        page.records.iter().map(|record| record.data.get().to_owned()).collect::<Vec<_>>()
    };
    Found::all(page) == Found::all(other) && data(page) == data(other) && page.next == other.next
}

/// How a call of `poll` ended, for a person.
pub(crate) fn shown(ended: &Ended<Page<Value>>) -> String {
    match ended {
        Ended::Gave(it) => {
            format!("the page {} with the next cursor {:?}", page(&Found::all(it)), it.next)
        }
        Ended::Failed(error) => format!("{error:?}"),
        Ended::Stuck => "no end".to_owned(),
    }
}

/// The pages of a scan, for a person.
pub(crate) fn pages(pages: &[Vec<Found>]) -> String {
    pages.iter().map(|it| page(it)).collect::<Vec<_>>().join(" then ")
}

/// A page, for a person: the keys and versions of its records.
pub(crate) fn page(found: &[Found]) -> String {
    let shown = found.iter().map(|it| match it.version {
        Some(version) => format!("{} @ {version}", it.key),
        None => it.key.clone(),
    });
    format!("[{}]", shown.collect::<Vec<_>>().join(", "))
}
