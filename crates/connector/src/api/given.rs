//! Addresses that a system gives: a file goes there, and no credentials go with it.

use http::Method;
use url::{Host, Url};

use super::{Api, Request};
use crate::{Error, Result};

impl Api {
    /// A request to an address that the system gave, such as one that takes a file: the whole address
    /// is what lets it in, so no credentials go along.
    ///
    /// Its answer neither ends a pause of the account nor counts for its circuit breaker.
    ///
    /// It is at the system's own base URL, or by https at one of the hosts that the connector
    /// [declares](crate::Connector::gives_addresses_at); nothing else is reached.
    pub fn to_given(&self, method: Method, address: &str) -> Result<Request<'_>> {
        let refuse = |why: &str| {
            Err(Error::config(format!("the system gave an address that is not used: {why}")))
        };
        let Ok(url) = Url::parse(address) else { return refuse("it is no URL") };
        if !self.may_give(&url) {
            let host = url.host_str().unwrap_or("nowhere");
            return refuse(&format!("it is at {host}, where the connector does not look for it"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("it carries credentials");
        }
        // Not a segment of it is touched: what lets in is a signature of all of it.
        let mut request = Request::new(self, method, url, None).unsigned();
        request.elsewhere = true;
        Ok(request)
    }

    fn may_give(&self, url: &Url) -> bool {
        let own = self.account().base_url();
        if url.origin() == own.origin() {
            return true;
        }
        let Some(Host::Domain(host)) = url.host() else { return false };
        let declared = self.inner.given_at.iter().any(|known| {
            let before = host.strip_suffix(known);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        });
        declared && url.scheme() == "https" && url.port().is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Auth, Connector, Services};

    #[test]
    fn only_what_is_declared_is_reached() {
        let connector = Connector::new("example", "https://api.example.test/v1", Auth::None)
            .gives_addresses_at(&["files.test"]);
        let account = connector.account("a", None, BTreeMap::new()).unwrap();
        let api = Api::new(&connector, account, &BTreeMap::new(), Services::bare()).unwrap();
        for address in [
            "https://api.example.test/files/1?sign=2",
            "https://files.test/1",
            "https://bucket.eu.files.test/a/b?c=d",
        ] {
            let request = api.to_given(Method::PUT, address).unwrap();
            assert_eq!(request.url.as_str(), address);
            assert!(request.unsigned);
        }
        for address in [
            "no URL",
            "http://files.test/1",
            "https://files.test:8443/1",
            "https://evil-files.test/1",
            "https://files.test.evil.test/1",
            "https://127.0.0.1/1",
            "https://user:secret@files.test/1",
            "http://api.example.test/1",
            "https://api.example.test:1/1",
        ] {
            let refused = api.to_given(Method::PUT, address).err();
            assert!(matches!(refused, Some(Error::Config { .. })), "{address}");
        }
    }
}
