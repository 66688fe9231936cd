//! A sandbox with a group of three receivers, and actions to send to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedAction, ErasedItem, Services};
use sandbox::{Action as Failure, Fault, Options, Receiver, Sandbox, Switches, Vendor};

pub(crate) const NOW: i64 = 1_763_700_000;
pub(crate) const NEWSLETTER: &str = "1123825";
pub(crate) const CUSTOMERS: &str = "1123826";

pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) api: Api,
}

impl Stage {
    /// A group with one active receiver, one that never confirmed and one that unsubscribed.
    pub(crate) async fn new() -> Self {
        let options = Options { receivers: 0, now: Some(NOW), ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        let values = BTreeMap::from([
            ("clientId".to_owned(), sandbox.credentials().client_id.clone()),
            ("clientSecret".to_owned(), sandbox.credentials().client_secret.clone()),
        ]);
        let connector = towpath_cleverreach::connector();
        let account = connector.account("newsletter", Some(&sandbox.cleverreach_url()), values);
        let api = Api::new(&connector, account.unwrap(), &BTreeMap::new(), Services::bare());
        let stage = Self { sandbox, api: api.unwrap() };
        stage.put("active", &[NEWSLETTER], NOW - 90, 0);
        stage.put("pending", &[NEWSLETTER], 0, 0);
        stage.put("gone", &[NEWSLETTER], NOW - 90, NOW - 80);
        stage
    }

    /// Adds a receiver with the tag `old`.
    pub(crate) fn put(&self, name: &str, groups: &[&str], activated: i64, deactivated: i64) {
        self.sandbox.put_receiver(&Receiver {
            email: format!("{name}@example.com"),
            registered: NOW - 9_000,
            activated,
            deactivated,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            tags: vec!["old".to_owned()],
            ..Receiver::default()
        });
    }

    pub(crate) fn switch(&self, change: impl FnOnce(&mut Switches)) {
        let mut switches = self.sandbox.switches();
        change(&mut switches);
        self.sandbox.set_switches(switches);
    }

    /// Spoils the next request whose target has `path`.
    pub(crate) fn fault(&self, path: &str, action: Failure) {
        self.sandbox.fault(Fault::new(Vendor::CleverReach, path, action));
    }

    /// Spoils the one behind it.
    pub(crate) fn later(&self, path: &str, action: Failure) -> Fault {
        Fault::new(Vendor::CleverReach, path, action).after(1)
    }

    pub(crate) fn requests(&self, template: &str) -> u64 {
        self.sandbox.stats().cleverreach.requests_to(template)
    }

    /// The newsletter's receiver of this name.
    pub(crate) fn member(&self, name: &str) -> Receiver {
        self.sandbox.member(NEWSLETTER, &format!("{name}@example.com")).unwrap()
    }

    pub(crate) async fn try_send(
        &self,
        action: &str,
        fields: Value,
        inputs: Vec<Value>,
    ) -> Result<Vec<Option<Outcome>>> {
        let action = configure(action, fields).unwrap();
        let item = |(index, input): (usize, Value)| ErasedItem {
            id: Arc::from(format!("message-{index}")),
            key: Arc::from(format!("{index}")),
            input: action.prepare(input).unwrap(),
        };
        let items: Vec<_> = inputs.into_iter().enumerate().map(item).collect();
        Ok(action.run(&self.api, &items).await?.into_vec())
    }

    pub(crate) async fn send(
        &self,
        action: &str,
        fields: Value,
        inputs: Vec<Value>,
    ) -> Vec<Option<Outcome>> {
        self.try_send(action, fields, inputs).await.unwrap()
    }
}

pub(crate) fn configure(action: &str, fields: Value) -> Result<Arc<dyn ErasedAction>, String> {
    let connector = towpath_cleverreach::connector();
    (connector.find_action(action).unwrap().configure)(fields)
}

/// `.` done, `?` unknown, otherwise the code of the refusal.
pub(crate) fn shown(outcomes: &[Option<Outcome>]) -> String {
    let words = outcomes.iter().map(|outcome| match outcome {
        None => "?".to_owned(),
        Some(Outcome::Done { .. }) => ".".to_owned(),
        Some(Outcome::Rejected { code, .. }) => code.clone(),
        Some(Outcome::Retry { .. }) => "retry".to_owned(),
        Some(Outcome::Parked { .. }) => "parked".to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

pub(crate) fn reason(outcome: Option<&Option<Outcome>>) -> &str {
    match outcome {
        Some(Some(Outcome::Rejected { reason, .. } | Outcome::Retry { reason, .. })) => reason,
        other => panic!("{other:?}"),
    }
}
