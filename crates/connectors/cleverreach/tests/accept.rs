//! The acceptance test: the recorded exchanges, and all that may go wrong with them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use sandbox::{GroupSeed, Options, Receiver, Sandbox};
use testkit::{Origin, Rejected, Unrecorded};
use towpath_cleverreach::connector;

const EXCHANGES: &str = "tests/exchanges";
const NOW: i64 = 1_763_700_000;

#[test]
fn it_is_accepted() -> Result<(), Rejected> {
    testkit::accept(connector(), EXCHANGES).map(drop)
}

#[tokio::test]
#[ignore = "writes the exchanges; cargo xtask record runs it"]
async fn record() -> Result<(), Unrecorded> {
    let groups =
        vec![GroupSeed::new(1_123_825, "Newsletter", 1), GroupSeed::new(1_123_826, "Customers", 3)];
    let options = Options { receivers: 7, now: Some(NOW), groups, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    sandbox.put_receiver(&Receiver {
        email: "active@example.com".to_owned(),
        registered: NOW - 9_000_000,
        activated: NOW - 9_000_000,
        groups: vec!["1123826".to_owned()],
        ..Receiver::default()
    });
    let account = BTreeMap::from([
        ("clientId".to_owned(), sandbox.credentials().client_id.clone()),
        ("clientSecret".to_owned(), sandbox.credentials().client_secret.clone()),
    ]);
    let origin = Origin { base_url: sandbox.cleverreach_url(), account };
    testkit::record(connector(), EXCHANGES, Some(origin)).await.map(drop)
}
