//! Told triggers: their records come from the runtime itself.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Api, Changes, ErasedTrigger, Error, Page, Result, Scan};

/// A trigger whose records the runtime itself tells, such as that a flow fails.
///
/// The type is the trigger's fields: configuration, schema, form and documentation in one. Only the
/// runtime has such triggers: what it tells by one, it decides by the trigger's name and fields.
pub trait ToldTrigger: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Says what is wrong with the fields beyond their types.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// It stands in the place of a trigger; what it finds is in the inbox.
pub(crate) struct Erased;

#[async_trait]
impl ErasedTrigger for Erased {
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
        Err(Error::config("the runtime tells the records of this trigger: it cannot be asked"))
    }

    fn is_polled(&self) -> bool {
        false
    }

    fn is_told(&self) -> bool {
        true
    }
}
