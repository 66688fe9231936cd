//! The acceptance test: the recorded exchanges, and all that may go wrong with them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::PathBuf;

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
    let (_sandbox, origin) = origin().await;
    testkit::record(connector(), EXCHANGES, Some(origin)).await.map(drop)
}

#[tokio::test]
async fn the_exchanges_are_what_the_sandbox_gives() -> Result<(), Unrecorded> {
    let (_sandbox, origin) = origin().await;
    let outdated = testkit::outdated(connector(), EXCHANGES, origin).await?;
    assert_eq!(outdated, Vec::<PathBuf>::new(), "cargo xtask record brings them up to date");
    Ok(())
}

/// The account that the stories are recorded from.
async fn origin() -> (Sandbox, Origin) {
    let options = Options { receivers: 0, now: Some(1_763_700_000), ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let account = BTreeMap::from([
        ("projectId".to_owned(), sandbox.credentials().project_id.clone()),
        ("passcode".to_owned(), sandbox.credentials().passcode.clone()),
        ("token".to_owned(), sandbox.credentials().token.clone()),
        ("partnerName".to_owned(), "attribution partner".to_owned()),
    ]);
    let origin = Origin { base_url: sandbox.clevertap_url(), account };
    (sandbox, origin)
}
