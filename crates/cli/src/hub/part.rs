//! A node, as a trigger or a step.

use std::collections::BTreeMap;

use connector::Connector;
use serde_json::{Map, Value};

use super::Account;
use super::read::Node;
use super::settings::{self, Transform};

/// What functions of CleverReach's component are called here. Others have the names that the
/// connectors' own triggers and actions have.
const FUNCTIONS: &[(&str, &str)] = &[
    ("getReceivers", "getReceiversPolling"),
    ("getReceiversByGroup", "getReceiversByGroupIdPolling"),
    ("insertReceiver", "upsertReceiver"),
];

/// What fields are called here.
const FIELDS: &[(&str, &str)] = &[("group_id", "groupId"), ("group_name", "groupName")];

/// Fields that have a place of their own, or none, whatever the connector is.
const APART: &[&str] = &["skipTransformation", "customMapping", "nodeSettings", "apiUrl"];

/// A trigger or a step.
#[derive(Debug)]
pub(super) struct Part {
    /// `trigger`, or the step's id.
    pub(super) at: String,
    /// `connector.name`.
    pub(super) uses: String,
    pub(super) account: String,
    pub(super) about: Option<String>,
    pub(super) fields: Map<String, Value>,
    pub(super) skips: bool,
    pub(super) mapping: Option<String>,
    pub(super) notes: Vec<String>,
}

impl Part {
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// Translates the nodes of a flow.
pub(super) struct Parts<'a> {
    connectors: &'a [Connector],
    components: &'a BTreeMap<String, String>,
    pub(super) accounts: Vec<Account>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Trigger,
    Action,
}

impl<'a> Parts<'a> {
    pub(super) const fn new(
        connectors: &'a [Connector],
        components: &'a BTreeMap<String, String>,
    ) -> Self {
        Self { connectors, components, accounts: vec![] }
    }

    pub(super) fn trigger(&mut self, node: &Node) -> Part {
        self.part(node, Kind::Trigger, "trigger")
    }

    pub(super) fn action(&mut self, node: &Node, id: &str) -> Part {
        self.part(node, Kind::Action, id)
    }

    fn part(&mut self, node: &Node, kind: Kind, at: &str) -> Part {
        let renamed = FUNCTIONS.iter().find(|(there, _)| *there == node.function);
        let function = renamed.map_or(node.function.as_str(), |(_, here)| here);
        let connector = self.connector(node, kind, function);
        let mut part = Part {
            at: at.to_owned(),
            uses: format!(
                "{}.{function}",
                connector.map_or_else(|| word(node), |it| it.name().to_owned())
            ),
            account: self.account(node, connector),
            about: node.name.clone().or_else(|| node.description.clone()),
            fields: Map::new(),
            skips: false,
            mapping: None,
            notes: vec![],
        };
        match connector {
            None => {
                let component = node.component.as_deref().unwrap_or("without an id");
                part.note(format!(
                    "no connector here has what the component {component} calls `{}`: choose from \
                     `towpath connectors`, say which one it is with `--component ID=CONNECTOR`, or \
                     write one",
                    node.function
                ));
            }
            Some(connector) => self.fields(node, kind, connector, function, &mut part),
        }
        mappings(node, kind, &mut part);
        part.notes.extend(settings::of_node(&node.settings));
        part
    }

    /// The connector that is named for the node's component, or the only one with such a function.
    fn connector(&self, node: &Node, kind: Kind, function: &str) -> Option<&'a Connector> {
        let has = |connector: &&Connector| match kind {
            Kind::Trigger => connector.find_trigger(function).is_some(),
            Kind::Action => connector.find_action(function).is_some(),
        };
        let named = node.component.as_ref().and_then(|id| self.components.get(id));
        if let Some(named) = named {
            return self.connectors.iter().find(|known| known.name() == named).filter(has);
        }
        let mut known = self.connectors.iter().filter(has);
        known.next().filter(|_| known.next().is_none())
    }

    /// The account of the node's credentials: one a connector and id.
    fn account(&mut self, node: &Node, connector: Option<&'a Connector>) -> String {
        let name = connector.map_or_else(|| word(node), |it| it.name().to_owned());
        let base_url = node.fields.get("apiUrl").and_then(Value::as_str).map(str::to_owned);
        let connector = connector.map(Connector::name);
        let of_connector = self.accounts.iter().filter(|it| it.connector == connector);
        let same = of_connector.clone().find(|known| {
            known.credentials == node.credentials
                && known.base_url == base_url
                && (connector.is_some() || known.name.starts_with(&name))
        });
        if let Some(known) = same {
            return known.name.clone();
        }
        let is_free = |name: &str| !self.accounts.iter().any(|known| known.name == name);
        let mut numbered = (2_u32..).map(|number| format!("{name}-{number}"));
        let free = if is_free(&name) {
            name.clone()
        } else {
            numbered.find(|it| is_free(it)).unwrap_or_default()
        };
        let credentials = node.credentials.clone();
        self.accounts.push(Account { name: free.clone(), connector, credentials, base_url });
        free
    }

    /// Carries over the fields that the connector has. Of others only the names are told: what a
    /// field holds that nobody knows may be a secret.
    fn fields(
        &self,
        node: &Node,
        kind: Kind,
        connector: &Connector,
        function: &str,
        part: &mut Part,
    ) {
        let schema = match kind {
            Kind::Trigger => connector.find_trigger(function).map(|it| it.fields),
            Kind::Action => connector.find_action(function).map(|it| it.fields),
        };
        let schema = schema.map(|schema| schema().to_value()).unwrap_or_default();
        let knows =
            |name: &str| schema.pointer("/properties").is_some_and(|it| it.get(name).is_some());
        for (name, value) in &node.fields {
            let renamed = FIELDS.iter().find(|(there, _)| there == name);
            let here = renamed.map_or(name.as_str(), |(_, here)| here);
            if APART.contains(&name.as_str()) || value.is_null() || value.as_str() == Some("") {
                continue;
            }
            if knows(here) {
                part.fields.insert(here.to_owned(), value.clone());
            } else if is_credential(name) {
                part.note(format!("`{name}` is not copied: credentials belong to the account"));
            } else {
                part.note(format!(
                    "the field `{name}` is left out: `{}` has none like it",
                    part.uses
                ));
            }
        }
        if connector.name() == "cleverreach" {
            cleverreach(kind, node, &knows, part);
        }
    }
}

/// What CleverReach's component did without saying it.
fn cleverreach(kind: Kind, node: &Node, knows: &dyn Fn(&str) -> bool, part: &mut Part) {
    if part.fields.contains_key("groupId") && part.fields.remove("groupName").is_some() {
        part.note("`groupName` is left out: `groupId` went before it there too");
    }
    if kind == Kind::Trigger {
        if knows("messages") {
            part.note(
                "a receiver was a message of each group that was read; here it is one with all its \
                 groups, unless `messages: perGroup` says other",
            );
        }
        return;
    }
    if node.function == "insertReceiver" {
        part.note(
            "there, it created receivers alone; here those that are known are changed as well",
        );
    }
    if part.fields.get("deletes") == Some(&Value::Bool(true)) {
        part.note(
            "there, the receiver to delete was the one with the record's id; here it is the one with \
             the contact's address, unless `deleteBy: recordUid` says that the ids are this account's",
        );
    }
    let given = ["groupId", "groupName", "groupFromCategories"];
    if !given.iter().any(|name| part.fields.contains_key(*name)) {
        part.fields.insert("groupFromCategories".to_owned(), true.into());
        part.note("without a `groupId`, the group was that of the contact's categories");
    }
    if knows("activation") && !part.fields.contains_key("activation") {
        part.fields.insert("activation".to_owned(), "keep".into());
        part.note(
            "new receivers became active at once, which `activation: keep` goes on with; with \
             `doubleOptIn` and a `formId` they are asked to confirm",
        );
    }
}

/// What transforms the messages of a node: its own `customMapping`, or what its settings applied.
fn mappings(node: &Node, kind: Kind, part: &mut Part) {
    let own = node.fields.get("customMapping").and_then(Value::as_str).map(str::trim);
    let own = own.filter(|text| !text.is_empty());
    // Only `true` did that there, no text.
    part.skips = node.fields.get("skipTransformation") == Some(&Value::Bool(true));
    if !part.skips
        && node.fields.get("skipTransformation").is_some_and(|it| *it != Value::Bool(false))
    {
        part.note("`skipTransformation` was not `true`, and did nothing");
    }
    part.mapping = own.filter(|_| !part.skips).map(str::to_owned);
    if own.is_some() && part.skips {
        part.note("`customMapping` is left out: `skipTransformation` went before it");
    }
    let Some(apply) = Transform::of(&node.settings) else { return of_action(kind, part) };
    let function = |key: &str| node.settings.get(key).and_then(Value::as_str).map(str::to_owned);
    let (first, second) = (function("transformFunction"), function("secondTransformFunction"));
    let (before, after) = match apply {
        Transform::Before => (first, None),
        Transform::After => (None, first),
        Transform::Both => (first.clone(), second.or(first)),
    };
    let (used, unused) = match kind {
        Kind::Trigger => (after, before),
        Kind::Action => (before, after),
    };
    if unused.is_some() {
        part.note(match kind {
            Kind::Trigger => "what transformed the message before the trigger is left out: there is none",
            Kind::Action => {
                "what transformed the step's result is left out: later steps can do it with `$steps`"
            }
        });
    }
    match used {
        Some(function) if part.skips => {
            part.skips = false;
            part.mapping = Some(function);
        }
        Some(_) => part.note(
            "`nodeSettings.transformFunction` is left out: it was applied beside the component's own \
             mapping, and here there is one mapping; join both in a `customMapping`",
        ),
        None => {}
    }
    of_action(kind, part);
}

/// There the expression made a whole message, of which the action took the data.
fn of_action(kind: Kind, part: &mut Part) {
    if kind == Kind::Action {
        part.mapping = part.mapping.take().map(|mapping| format!("(\n{mapping}\n).data"));
    }
}

/// Whether a field is called as something that must not be copied.
fn is_credential(name: &str) -> bool {
    let name = name.to_lowercase();
    let words = [
        "token",
        "secret",
        "password",
        "passphrase",
        "passcode",
        "apikey",
        "api_key",
        "client",
        "credential",
        "auth",
    ];
    words.iter().any(|word| name.contains(word))
}

/// A word for a component that nobody knows.
fn word(node: &Node) -> String {
    let name =
        node.name.as_deref().or(node.component.as_deref()).unwrap_or("unknown").to_lowercase();
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let word = parts.collect::<Vec<_>>().join("-");
    if word.is_empty() { "unknown".to_owned() } else { word }
}
