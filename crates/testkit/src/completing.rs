//! A trigger whose pages are complete: what the engine asks for of records that may be news is asked
//! for of all of them, so that its requests are part of a page's.

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Api, Changes, ErasedTrigger, Page, Result, Scan};
use serde_json::Value;

struct Completing(Arc<dyn ErasedTrigger>);

/// The trigger, with pages that are complete.
pub(crate) fn completing(trigger: Arc<dyn ErasedTrigger>) -> Arc<dyn ErasedTrigger> {
    if trigger.completes() { Arc::new(Completing(trigger)) } else { trigger }
}

#[async_trait]
impl ErasedTrigger for Completing {
    fn changes(&self) -> Changes {
        self.0.changes()
    }

    fn volatile(&self) -> &'static [&'static str] {
        self.0.volatile()
    }

    async fn partitions(&self, api: &Api) -> Result<Vec<String>> {
        self.0.partitions(api).await
    }

    async fn poll(&self, api: &Api, scan: &Scan<Value>) -> Result<Page<Value>> {
        let page = self.0.poll(api, scan).await?;
        if page.records.is_empty() {
            return Ok(page);
        }
        let completed = self.0.complete(api, scan.partition.as_deref(), page.records).await?;
        let records = completed.into_iter().flatten().map(|completed| completed.record);
        Ok(Page { records: records.collect(), next: page.next })
    }
}
