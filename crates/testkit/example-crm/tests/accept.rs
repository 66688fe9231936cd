//! The acceptance test: the recorded exchanges, and all that may go wrong with them.

use testkit::Rejected;
use towpath_example_crm::connector;

const EXCHANGES: &str = "tests/exchanges";

#[test]
fn it_is_accepted() -> Result<(), Rejected> {
    testkit::accept(connector(), EXCHANGES).map(drop)
}
