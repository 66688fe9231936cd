//! A new flow file: a trigger, a step, and a test whose expectation is what the flow yields.

use std::path::Path;

use connector::{ActionDescriptor, Connector, TriggerDescriptor};
use flow::trial::Tried;
use serde_json::{Value, json};

use super::fields::Fields;
use super::yaml;

/// What a new flow is made of.
pub(crate) struct Plan<'a> {
    pub(crate) name: &'a str,
    pub(crate) trigger: (&'a Connector, &'a TriggerDescriptor),
    pub(crate) action: (&'a Connector, &'a ActionDescriptor),
    /// The names of their accounts; the trigger may have none.
    pub(crate) accounts: (Option<&'a str>, &'a str),
    /// Whether the sandbox's names are used in place of placeholders.
    pub(crate) sandbox: bool,
    /// The way from the flow file to the folder with the schemas.
    pub(crate) schemas: &'a str,
}

/// Mappings to begin with, by action; of the others the default mapping is used.
const MAPPINGS: &[(&str, &str)] = &[(
    "clevertap.uploadProfiles",
    r#"{
  "identity": metadata.recordUid,
  "profileData": {
    "Name": $trim(data.firstName & " " & data.lastName),
    "Email": data.contactData[type = "email"][0].value
  }
}"#,
)];

/// The text of a new flow file, and the fields in it that hold a placeholder.
pub(crate) fn flow(plan: &Plan<'_>) -> (String, Vec<String>) {
    let (connector, trigger) = plan.trigger;
    let configured = |fields: &Value| (trigger.configure)(fields.clone()).ok().map(|_| 0);
    let trigger_fields = Fields::choose(trigger.fields, plan.sandbox, configured);
    let (target, action) = plan.action;
    let configured =
        |fields: &Value| Some((action.configure)(fields.clone()).ok()?.warnings().len());
    let action_fields = Fields::choose(action.fields, plan.sandbox, configured);
    let uses = format!("{}.{}", target.name(), action.name);
    let mapping = MAPPINGS.iter().find(|(known, _)| *known == uses).map(|(_, mapping)| *mapping);

    let mut text = format!(
        "# yaml-language-server: $schema={}/flow.schema.json\n\
         flow: {}\n\
         about: Takes what {}.{} finds to {uses}.\n\n\
         trigger:\n  use: {}.{}\n",
        plan.schemas,
        yaml::inline(&plan.name.into()),
        connector.name(),
        trigger.name,
        connector.name(),
        trigger.name,
    );
    if let Some(account) = plan.accounts.0 {
        let account = yaml::inline(&account.into());
        let line = format!("  account: {account}                 # accounts are in towpath.yaml\n");
        text.push_str(&line);
    }
    if trigger.kind.is_polled() {
        text.push_str(
            "  every: 5m                            # or cron: \"*/15 6-22 * * *\", and timezone: \
             Europe/Berlin\n",
        );
    }
    text.push_str(&fields(&trigger_fields, 2, None));
    let contacts = trigger.kind.is_polled();
    let (default, condition) = if contacts {
        (
            "The default mapping makes a contact of each record; customMapping, JSONata, replaces it, \
          and skipTransformation: true takes the record as it is.",
            "data.contactData[type = \"email\"]",
        )
    } else {
        (
            "A message's data is the record; customMapping, JSONata, makes something else of it.",
            "data.example = \"value\"",
        )
    };
    text.push_str(&yaml::comment(default, 4));
    text.push_str(&format!(
        "\nsteps:\n  - id: {}\n    use: {uses}\n    account: {}\n",
        action.name,
        yaml::inline(&plan.accounts.1.into())
    ));
    text.push_str(&yaml::comment("Only messages for which this is true go on:", 4));
    text.push_str(&format!("    #when: {condition}\n"));
    text.push_str(&fields(&action_fields, 4, mapping));
    if mapping.is_none() {
        let default = "The default mapping makes the action's input of the message; customMapping, \
                       JSONata on the message, replaces it.";
        text.push_str(&yaml::comment(default, 6));
    }
    let placeholders = [("trigger", &trigger_fields), ("step", &action_fields)];
    let to_edit = placeholders.into_iter().flat_map(|(part, fields)| {
        let open = fields.given.iter().filter(|(_, value)| is_placeholder(value));
        open.map(move |(name, _)| format!("{name} of the {part}")).collect::<Vec<_>>()
    });
    (text, to_edit.collect())
}

fn is_placeholder(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("your-"))
}

/// `fields` with its lines; as a comment where none of them is given.
fn fields(fields: &Fields, indent: usize, mapping: Option<&str>) -> String {
    let space = " ".repeat(indent);
    let lines = fields.lines(indent + 2);
    let Some(mapping) = mapping else {
        let hash = if fields.given.is_empty() { "#" } else { "" };
        return format!("{space}{hash}fields:\n{lines}");
    };
    let about = "JSONata makes the action's input of the message { metadata, data }; without it the \
                 default mapping does.";
    let mut text = format!("{space}fields:\n{lines}{}", yaml::comment(about, indent + 2));
    text.push_str(&format!("{space}  customMapping: |\n"));
    for line in mapping.lines() {
        text.push_str(&format!("{space}    {line}\n"));
    }
    text
}

/// The test of a new flow: what it yields for a record as its trigger declares one, or else for a
/// contact; `None` if its mapping takes neither.
pub(crate) fn test(
    project: &crate::project::Project,
    text: &str,
    trigger: &TriggerDescriptor,
) -> Option<String> {
    let flow = project.check_text(Path::new("new"), text).0?;
    let record = trigger.record.filter(|_| !trigger.kind.is_polled());
    let record =
        record.and_then(|schema| Some(schema().to_value().get("examples")?.get(0)?.clone()));
    let what = if record.is_some() { "a record" } else { "a contact" };
    let contact = json!({
        "metadata": { "recordUid": "279" },
        "data": {
            "firstName": "Ada",
            "lastName": "Lovelace",
            "contactData": [{ "type": "email", "value": "ada@example.com" }],
            "categories": [{ "name": "newsletter", "label": "newsletter" }],
        },
    });
    let metadata = flow::message::metadata("279");
    let (given, trial) = match record {
        Some(record) => {
            let trial = flow.try_record(&metadata, &record.to_string(), flow::EXAMPLES_AT);
            (json!({ "metadata": metadata, "record": record }), trial)
        }
        None => {
            let trial = flow.try_message(contact.to_string().into(), flow::EXAMPLES_AT);
            (contact, trial)
        }
    };
    let (step, Tried::Input(input)) = (flow.steps.first()?, trial.steps.first()?) else {
        return None;
    };
    let about = "What the steps send for which message; `towpath test` tries it without a network. \
                 `record` in the place of `data` gives the trigger's mapping a record to map.";
    Some(format!(
        "\n{}tests:\n  - name: {what} goes to {}\n    given:\n{}    expect:\n{}",
        yaml::comment(about, 0),
        step.name,
        yaml::block(&given, 6),
        yaml::block(&json!({ &step.id: [input] }), 6),
    ))
}
