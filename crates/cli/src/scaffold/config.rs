//! A new towpath.yaml: accounts with placeholders, their secrets named.

use connector::{Connector, Setting};
use serde_json::Value;

use super::{kebab, stand_in, yaml};

/// Accounts that a new flow needs, as YAML, and what has to be given by hand.
#[derive(Default)]
pub(crate) struct Accounts {
    /// The entries of `accounts`.
    pub(crate) text: String,
    /// The secrets that they name, with the value that a sandbox takes.
    pub(crate) secrets: Vec<(String, Option<String>)>,
    /// The settings that hold a placeholder.
    pub(crate) to_edit: Vec<String>,
}

impl Accounts {
    /// Adds an account of a connector; `sandbox` points it at the sandbox's stand-in.
    pub(crate) fn add(&mut self, name: &str, connector: &Connector, sandbox: bool) {
        let stand_in = if sandbox { stand_in(connector.name()) } else { None };
        self.text.push_str(&format!("  {name}:\n    connector: {}\n", connector.name()));
        if let Some(stand_in) = &stand_in {
            let url = Value::from(stand_in.base_url.as_str());
            let about =
                "Where `towpath sandbox` serves its stand-in; leave it out for the real system.";
            self.text.push_str(&yaml::comment(about, 4));
            self.text.push_str(&format!("    baseUrl: {}\n", yaml::inline(&url)));
        }
        for setting in connector.settings() {
            let known = stand_in.as_ref().and_then(|it| {
                let mut known = it.settings.iter();
                known.find(|(known, _)| *known == setting.name).map(|(_, value)| value.clone())
            });
            self.text.push_str(&yaml::comment(&setting.explained(), 4));
            let secret = format!("{name}-{}", kebab(setting.name));
            if setting.secret && setting.default.is_some() {
                self.text.push_str(&format!("    #{}: {{ secret: {secret} }}\n", setting.name));
            } else if setting.secret {
                self.text.push_str(&format!("    {}: {{ secret: {secret} }}\n", setting.name));
                self.secrets.push((secret, known));
            } else if let Some(default) = setting.default {
                let default = yaml::inline(&Value::from(default));
                self.text.push_str(&format!("    #{}: {default}\n", setting.name));
            } else {
                if known.is_none() {
                    self.to_edit.push(format!("{} of {name}", setting.name));
                }
                let value = Value::from(known.unwrap_or_else(|| placeholder(setting)));
                self.text.push_str(&format!("    {}: {}\n", setting.name, yaml::inline(&value)));
            }
        }
    }
}

/// A value of the form that the setting needs, for a person to replace.
fn placeholder(setting: &Setting) -> String {
    let name = format!("your-{}", kebab(setting.name));
    let forms = [name.clone(), name.to_uppercase(), "1".to_owned(), "example.test".to_owned()];
    let fits = forms.into_iter().find(|form| (setting.check)(form).is_ok());
    fits.unwrap_or(name)
}

/// The text of a towpath.yaml with these accounts.
pub(crate) fn config(accounts: &str) -> String {
    format!(
        "# yaml-language-server: $schema=.towpath/towpath.schema.json\n\
         # What differs between test and production: another file is named with --config.\n\
         # Secrets are only named here; `towpath secret set NAME` keeps their values sealed.\n\
         accounts:\n{accounts}\n\
         # Values that every expression sees as $flow.vars:\n\
         #vars: {{ country: DE }}\n"
    )
}
