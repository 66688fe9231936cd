//! The files of a new project, written from what connectors say of themselves.

mod config;
mod fields;
mod flow;
mod yaml;

pub(crate) use config::{Accounts, config};
pub(crate) use flow::{Plan, flow, test};
pub(crate) use yaml::{block, comment, scalar};

use sandbox::Credentials;

use crate::args;

/// A sandbox's stand-in of a system, as an account reaches it.
pub(crate) struct StandIn {
    pub(crate) base_url: String,
    /// The settings that it accepts, fake and printable.
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// The stand-in of a connector's system that `towpath sandbox` serves by default.
pub(crate) fn stand_in(connector: &str) -> Option<StandIn> {
    let Credentials { client_id, client_secret, project_id, passcode, .. } = Credentials::default();
    let at = |port: u16, path: &str| format!("http://127.0.0.1:{port}{path}");
    match connector {
        "cleverreach" => Some(StandIn {
            base_url: at(args::CLEVERREACH_PORT, "/v3"),
            settings: vec![("clientId", client_id), ("clientSecret", client_secret)],
        }),
        "clevertap" => Some(StandIn {
            base_url: at(args::CLEVERTAP_PORT, ""),
            settings: vec![("projectId", project_id), ("passcode", passcode)],
        }),
        _ => None,
    }
}

/// What a field is given that the sandbox knows something of by that name.
fn known_to_sandbox(field: &str) -> Option<serde_json::Value> {
    let options = sandbox::Options::default();
    let group = options.groups.first();
    match field {
        "groupName" => group.map(|group| group.name.clone().into()),
        "groupId" => group.map(|group| group.id.to_string().into()),
        "formId" => options.forms.first().map(|form| (*form).into()),
        _ => None,
    }
}

/// `clientSecret` in the way of names: `client-secret`.
pub(crate) fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}
