//! The acceptance test: the recorded exchanges, and all that may go wrong with them.

use testkit::{Rejected, Unrecorded};
use testkit_example_crm::connector;

const EXCHANGES: &str = "tests/exchanges";

#[test]
fn it_is_accepted() -> Result<(), Rejected> {
    testkit::accept(connector(), EXCHANGES).map(drop)
}

#[tokio::test]
#[ignore = "writes the exchanges; cargo xtask record runs it"]
async fn record() -> Result<(), Unrecorded> {
    testkit::record(connector(), EXCHANGES, None).await.map(drop)
}
