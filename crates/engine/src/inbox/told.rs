//! What the runtime itself tells a flow: into its inbox, as if a system had sent it.

use connector::{Record, Timestamp};
use store::{Delivery, Error, Result, Store};

use super::door::ROOM;
use super::entry;

/// Puts a record into a flow's inbox; durable when it returns. One whose key came before is not put
/// there again.
pub(crate) async fn tell(
    store: &dyn Store,
    flow: &str,
    at: Timestamp,
    key: &str,
    record: Record,
) -> Result<()> {
    let bytes =
        entry::write(vec![record]).map_err(|error| Error::NotKept { reason: error.to_string() })?;
    let delivery = Delivery { at: at.millis(), key: Some(key.to_owned()), bytes };
    store.accept(flow, delivery, ROOM).await.map(drop)
}
