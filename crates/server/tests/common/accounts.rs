//! Accounts that are there and can do nothing, for pages that show them.

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Api, Clock, Connector, Tested};
use store::Store;
use towpath_server::accounts::{Added, Host, Line, Login, Logins, New, Refusal, Removed};

struct Shown(Vec<Connector>);

#[async_trait]
impl Host for Shown {
    fn connectors(&self) -> &[Connector] {
        &self.0
    }

    async fn list(&self) -> Result<Vec<Line>, Refusal> {
        Ok(vec![Line {
            account: "m".to_owned(),
            connector: "memory".to_owned(),
            login: Login::NotNeeded,
            expires: None,
            paused: None,
            held: None,
            flows: vec!["alpha".to_owned()],
        }])
    }

    async fn add(&self, new: New) -> Result<Added, Refusal> {
        Err(Refusal::Exists(new.name))
    }

    async fn test(&self, name: &str) -> Result<Tested, Refusal> {
        Err(Refusal::NoSuch(name.to_owned()))
    }

    async fn remove(&self, name: &str, _: bool) -> Result<Removed, Refusal> {
        Err(Refusal::NoSuch(name.to_owned()))
    }

    async fn access(&self, name: &str) -> Result<Api, Refusal> {
        Err(Refusal::NoSuch(name.to_owned()))
    }

    async fn used_again(&self, _: &str) -> Result<(), Refusal> {
        Ok(())
    }
}

pub(crate) fn logins(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Logins {
    let host = Arc::new(Shown(vec![super::world::memory()]));
    Logins::new(host, store, clock, "http://127.0.0.1:7070")
}
