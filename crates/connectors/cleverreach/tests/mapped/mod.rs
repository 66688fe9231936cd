//! Default mappings, evaluated as flows evaluate them.

use connector::contact::Contact;
use connector::prelude::*;
use mapping::{Limits, Mapping, Moment, Variables};

/// What a mapping makes of a message.
fn mapped(mapping: &Mapping, message: &Value, fields: Value) -> Value {
    let variables = Variables::new().with("fields", fields);
    let at = Moment { now_ms: 1_763_700_000_000, seed: 1 };
    let given = mapping.evaluate(&message.to_string(), &variables, &at, &Limits::default());
    given.unwrap().unwrap()
}

/// The mappings of one connector, compiled once.
pub(crate) struct Mappings {
    connector: connector::Connector,
    to_contact: Mapping,
}

impl Mappings {
    pub(crate) fn new() -> Self {
        let connector = towpath_cleverreach::connector();
        let trigger = connector.find_trigger("getReceiversPolling").unwrap();
        let to_contact = Mapping::compile(trigger.mapping).unwrap();
        Self { connector, to_contact }
    }

    /// The contact that a receiver becomes.
    pub(crate) fn contact(&self, receiver: &Value) -> Value {
        let mut result = mapped(&self.to_contact, &json!({ "data": receiver }), json!({}));
        let contact = result["data"].take();
        serde_json::from_value::<Contact>(contact.clone()).unwrap();
        contact
    }

    /// The input of an action that a message becomes, as `towpath test` shows it.
    pub(crate) fn input(&self, action: &str, message: &Value, fields: Value) -> Value {
        let action = self.connector.find_action(action).unwrap();
        let input = mapped(&Mapping::compile(action.mapping).unwrap(), message, fields.clone());
        let action = (action.configure)(fields).unwrap();
        action.show(&action.prepare(input).unwrap()).unwrap()
    }
}
