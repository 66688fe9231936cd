//! The acceptance test: the recorded exchanges, and all that may go wrong with them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use sandbox::{Options, Sandbox};
use testkit::{Origin, Rejected, Unrecorded};
use towpath_clevertap::connector;

const EXCHANGES: &str = "tests/exchanges";

#[test]
fn it_is_accepted() -> Result<(), Rejected> {
    testkit::accept(connector(), EXCHANGES).map(drop)
}

#[tokio::test]
#[ignore = "writes the exchanges; cargo xtask record runs it"]
async fn record() -> Result<(), Unrecorded> {
    let options = Options { receivers: 0, now: Some(1_763_700_000), ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let account = BTreeMap::from([
        ("projectId".to_owned(), sandbox.credentials().project_id.clone()),
        ("passcode".to_owned(), sandbox.credentials().passcode.clone()),
    ]);
    let origin = Origin { base_url: sandbox.clevertap_url(), account };
    testkit::record(connector(), EXCHANGES, Some(origin)).await.map(drop)
}
