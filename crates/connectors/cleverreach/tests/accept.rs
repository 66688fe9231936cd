//! The acceptance test: the recorded exchanges, and all that may go wrong with them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use connector::prelude::*;
use sandbox::{GroupSeed, Options, Receiver, Sandbox};
use testkit::{Origin, Rejected, Unrecorded};
use towpath_cleverreach::connector;

const EXCHANGES: &str = "tests/exchanges";
const NOW: i64 = 1_763_700_000;

#[test]
fn it_is_accepted() -> Result<(), Rejected> {
    testkit::accept(connector(), EXCHANGES).map(drop)
}

/// An item that is noted already.
static ORDERED: LazyLock<Value> = LazyLock::new(
    || json!({ "order_id": "2026-1001", "product_id": "SN-Jeans", "product": "Jeans" }),
);

/// A receiver of the group that the stories write to.
fn member(email: &str, activated: i64, deactivated: i64) -> Receiver {
    Receiver {
        email: email.to_owned(),
        registered: NOW - 9_000_000,
        activated,
        deactivated,
        groups: vec!["1123826".to_owned()],
        ..Receiver::default()
    }
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
    let groups =
        vec![GroupSeed::new(1_123_825, "Newsletter", 1), GroupSeed::new(1_123_826, "Customers", 3)];
    let options = Options { receivers: 7, now: Some(NOW), groups, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    sandbox.put_receiver(&member("active@example.com", NOW - 9_000_000, 0));
    for (id, email, tags) in [
        ("", "untagged@example.com", &[][..]),
        ("", "tagged@example.com", &["vip"]),
        ("", "trial@example.com", &["trial", "shop.buyer", "vip"]),
        ("", "ordered@example.com", &[]),
        ("", "leaving@example.com", &[]),
        ("", "deleted@example.com", &[]),
        ("4711", "by-id@example.com", &[]),
        ("", "closed@example.com", &[]),
        ("4712", "closed-by-id@example.com", &[]),
        ("", "replaced@example.com", &["old", "vip"]),
        ("", "replaced-too@example.com", &["trial"]),
        ("", "asked@example.com", &[]),
    ] {
        sandbox.put_receiver(&Receiver {
            id: id.to_owned(),
            orders: if email.starts_with("ordered") { vec![ORDERED.clone()] } else { vec![] },
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..member(email, NOW - 8_000_000, 0)
        });
    }
    sandbox.put_receiver(&member("confirmed@example.com", 0, 0));
    sandbox.put_receiver(&member("left@example.com", NOW - 8_000_000, NOW - 7_000_000));
    let account = BTreeMap::from([
        ("clientId".to_owned(), sandbox.credentials().client_id.clone()),
        ("clientSecret".to_owned(), sandbox.credentials().client_secret.clone()),
    ]);
    let origin = Origin { base_url: sandbox.cleverreach_url(), account };
    (sandbox, origin)
}
