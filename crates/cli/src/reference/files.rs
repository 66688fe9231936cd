//! The pages of the flow file and of `towpath.yaml`, from their schemas and an example each.

use connector::Connector;
use serde_json::Value;

use super::connector::fields_table;
use super::example;
use super::fields::Shape;
use super::markdown::{anchor, code, page, quoted, table};
use super::schemas::Schemas;

/// The example on the page is one that a test runs.
const FLOW: &str = include_str!("../../../../flows/newsletter-to-clevertap.yaml");

const FLOW_INTRO: &str = "\
A flow is one YAML file: a trigger, steps, and tests. The file's first line tells an editor the
[schema](flow.schema.json), which completes keys and explains them. `towpath check` says what is
wrong, `towpath test` what would be sent, both without a network.";

const EXPRESSIONS: &str = "\
## Expressions

`when` and `customMapping` are [JSONata](https://docs.jsonata.org/). An expression sees the whole
message: `metadata`, with the record's key as `recordUid`, and `data`. Besides:

| variable | what it is |
|---|---|
| `$trigger` | the trigger's message, in steps |
| `$steps.ID` | the results of the steps that a step waits for |
| `$flow` | the flow: `{ name, vars }`; `vars` are those of [`towpath.yaml`](towpath-yaml.md) |
| `$fields` | the `fields` that the mapping stands in, without the two below |

`$now()`, `$millis()` and `$random()` are fixed for a page.

What a `customMapping` of a trigger gives is a message if it is an object with `data` and at most
`metadata` beside it; anything else is the message's data. In a step it is the action's input.
Nothing, or an array where one message is meant, is a mistake, and so is an expression that fails:
the message becomes a [dead letter](dead-letters.md), and is never passed on as it was.

## Fields of every trigger and action

Besides its own fields, which its connector's page lists, every trigger and action takes these two:";

const CONFIG_INTRO: &str = "\
What differs between test and production: accounts, values, limits, the store. Flow files are the
same everywhere; `--config FILE` names another configuration. Without the option it is
`towpath.yaml` in the folder where the command runs, and may be missing. Its
[schema](towpath.schema.json) is for editors.";

/// The page of the flow file, in Markdown.
pub(crate) fn flow(connectors: &[Connector], schemas: &Schemas) -> String {
    let whole = Shape::of(&schemas.flow);
    let mut parts = vec![
        "# The flow file".to_owned(),
        super::GENERATED.to_owned(),
        FLOW_INTRO.to_owned(),
        code("yaml", FLOW),
    ];
    sections(whole, "", "", &mut parts);
    parts.push(EXPRESSIONS.to_owned());
    parts.push(reserved(connectors, schemas));
    page(parts)
}

/// The fields that every trigger and action has.
fn reserved(connectors: &[Connector], schemas: &Schemas) -> String {
    let name = |connector: &Connector| {
        let own = connector.actions().first().map(|it| it.name);
        Some(format!("{}.{}", connector.name(), own?))
    };
    let Some(name) = connectors.iter().find_map(name) else { return String::new() };
    let fields = schemas.fields(&name).fields(false);
    let ours = ["skipTransformation", "customMapping"];
    let rows = fields.iter().filter(|it| ours.contains(&it.path.as_str()));
    fields_table(&rows.cloned().collect::<Vec<_>>())
}

/// A section for the whole, and one for each object in it: `trigger`, `steps`, `steps.retry`.
fn sections(shape: Shape<'_>, path: &str, about: &str, parts: &mut Vec<String>) {
    if path.is_empty() {
        parts.push("## Keys".to_owned());
    } else {
        parts.push(format!("## {}", quoted(path)));
        parts.push(about.to_owned());
    }
    let mut fields = shape.fields(false);
    let mut inner = vec![];
    for (name, property) in shape.properties() {
        let item = property.item();
        if item.properties().next().is_none() {
            continue;
        }
        let path = format!("{path}.{name}").trim_start_matches('.').to_owned();
        if let Some(field) = fields.iter_mut().find(|field| field.path == name) {
            field.about = format!("{} [More](#{})", field.about, anchor(&path));
        }
        // The list's own words are in the table above; the section says what an item is.
        let about = if item.about().is_empty() { property.about() } else { item.about() };
        inner.push((item, path, about));
    }
    let table = fields_table(&fields).replacen("| field |", "| key |", 1);
    parts.push(table);
    for (item, path, about) in inner {
        sections(item, &path, &about, parts);
    }
}

/// The page of `towpath.yaml`, in Markdown.
pub(crate) fn config(connectors: &[Connector], schemas: &Schemas) -> String {
    let connectors: Vec<_> = connectors.iter().filter(|it| it.has_accounts()).collect();
    let accounts: Vec<_> = connectors.iter().map(|it| example::account(it)).collect();
    let limit = connectors.iter().find_map(|it| Some((it.name(), it.limits().first()?)));
    let limits = limit.map_or_else(String::new, |(name, limit)| {
        format!("limits:\n  {name}:\n    {}: {}\n", limit.class, limit.concurrency)
    });
    let example = format!(
        "# yaml-language-server: $schema=docs/reference/towpath.schema.json\naccounts:\n{}\n\n\
         vars:\n  shop: https://shop.example\n\n{limits}\nstore:\n  path: state\n",
        accounts.join("\n")
    );
    let classes = connectors.iter().flat_map(|connector| {
        connector.limits().iter().map(|limit| {
            [quoted(connector.name()), quoted(limit.class), limit.concurrency.to_string()]
        })
    });
    let settings = connectors.iter().map(|connector| {
        let names = connector.settings().iter().map(|it| quoted(it.name)).collect::<Vec<_>>();
        let link = format!("[{}]({}.md#connecting)", connector.title(), connector.name());
        [link, quoted(connector.name()), names.join(", ")]
    });
    let mut parts = vec![
        "# towpath.yaml".to_owned(),
        super::GENERATED.to_owned(),
        CONFIG_INTRO.to_owned(),
        code("yaml", &example),
    ];
    sections(Shape::of(&schemas.config), "", "", &mut parts);
    parts.push("## Accounts".to_owned());
    parts.push(
        "An account names its `connector` and gives that connector's settings. Flow files use the \
         account by its name, which is yours to choose."
            .to_owned(),
    );
    parts.push(table(["system", "`connector`", "settings"], settings));
    parts.push(forms(schemas));
    parts.push("## Limit classes".to_owned());
    parts.push(
        "How many requests may be under way at once, over all flows with the same credentials, \
         unless `limits` says otherwise by connector or account:"
            .to_owned(),
    );
    parts.push(table(["connector", "class", "requests at once"], classes));
    page(parts)
}

/// The ways to give a setting, from the schema of one that is no secret.
fn forms(schemas: &Schemas) -> String {
    let base = "/properties/accounts/additionalProperties/allOf/0/then/properties/baseUrl/anyOf";
    let forms = schemas.config.pointer(base).and_then(Value::as_array).into_iter().flatten();
    let rows = forms.map(|form| match Shape::of(form).properties().next() {
        None => ["text".to_owned(), "The value itself; never a secret's.".to_owned()],
        Some((key, shape)) => {
            let value = if key == "file" { "PATH" } else { "NAME" };
            [format!("`{{ {key}: {value} }}`"), shape.about()]
        }
    });
    table(["a setting is", "what it is"], rows)
}
