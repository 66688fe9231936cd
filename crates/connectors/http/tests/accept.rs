//! The acceptance test: what came, and all that may be wrong with it.

use testkit::Rejected;
use towpath_http::connector;

#[test]
fn it_is_accepted() -> Result<(), Rejected> {
    testkit::accept(connector(), "tests/exchanges").map(drop)
}
