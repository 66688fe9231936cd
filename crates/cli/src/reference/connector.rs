//! The page of one connector.

use connector::{
    ActionDescriptor, Changes, Connector, Rejection, Setting, TriggerDescriptor, TriggerKind,
};
use serde_json::Value;

use super::example;
use super::fields::{Field, Shape, one_paragraph};
use super::markdown::{anchor, code, listed, lowered, number, page, quoted, table};
use super::schemas::Schemas;

/// The page, in Markdown.
pub(crate) fn render(connector: &Connector, schemas: &Schemas) -> String {
    let about = connector.documentation();
    let summary = Some(about.summary()).filter(|text| !text.is_empty());
    let mut parts = vec![
        format!("# {}", connector.title()),
        super::GENERATED.to_owned(),
        summary.unwrap_or(connector.description()).to_owned(),
        overview(connector),
    ];
    for heading in ["Roles and account type", "Credentials"] {
        parts.extend(section(heading, about.section(heading)));
    }
    if connector.has_accounts() {
        parts.extend(connecting(connector, schemas));
    }
    if !connector.triggers().is_empty() {
        parts.push("## Triggers".to_owned());
        parts.push(about.section("Triggers").to_owned());
        parts.extend(connector.triggers().iter().flat_map(|it| trigger(connector, it, schemas)));
    }
    if !connector.actions().is_empty() {
        parts.push("## Actions".to_owned());
        parts.push(about.section("Actions").to_owned());
        parts.extend(connector.actions().iter().flat_map(|it| action(connector, it, schemas)));
    }
    parts.extend(shared(connector));
    parts.push("## Limits".to_owned());
    if connector.has_accounts() {
        parts.push(limits(connector));
    }
    parts.push(about.section("Limits").to_owned());
    parts.push("## Access and deletion".to_owned());
    parts.push(table(
        ["a person's request for", "is handled"],
        [
            ["access to their data".to_owned(), connector.access().name().to_owned()],
            ["deletion of their data".to_owned(), connector.deletion().name().to_owned()],
        ],
    ));
    parts.push(about.section("Access and deletion").to_owned());
    parts.extend(section("Troubleshooting", about.section("Troubleshooting")));
    parts.push(
        "What every connector's flows may meet is in [dead letters](dead-letters.md) and in the \
         [exit codes](commands.md#exit-codes)."
            .to_owned(),
    );
    page(parts)
}

fn section(heading: &str, text: &str) -> Option<String> {
    (!text.is_empty()).then(|| format!("## {heading}\n\n{text}"))
}

fn overview(connector: &Connector) -> String {
    let links = |names: Vec<&str>| {
        let link = |name: &&str| {
            let whole = format!("{}.{name}", connector.name());
            format!("[`{name}`](#{})", anchor(&whole))
        };
        let links = names.iter().map(link).collect::<Vec<_>>().join(", ");
        if links.is_empty() { "none".to_owned() } else { links }
    };
    let row = |what: &str, which: String| [what.to_owned(), which];
    let mut rows = vec![
        row("name in flow files", quoted(connector.name())),
        row("triggers", links(connector.triggers().iter().map(|it| it.name).collect())),
        row("actions", links(connector.actions().iter().map(|it| it.name).collect())),
    ];
    for (what, which) in connector.documentation().capabilities() {
        rows.push(row(&what.to_lowercase(), which.to_owned()));
    }
    let handled = format!("{}, {}", connector.access().name(), connector.deletion().name());
    rows.push(row("access, deletion", handled));
    table(["", ""], rows)
}

fn connecting(connector: &Connector, schemas: &Schemas) -> [String; 4] {
    let row = |setting: &Setting| {
        let needed = match setting.default {
            Some(default) => quoted(default),
            None if setting.secret => "required, secret".to_owned(),
            None => "required".to_owned(),
        };
        [quoted(setting.name), needed, setting.explained()]
    };
    let mut rows: Vec<_> = connector.settings().iter().map(row).collect();
    let base = connector.default_base_url().map_or("from the settings".to_owned(), quoted);
    rows.push([quoted("baseUrl"), base, schemas.base_url_about(connector)]);
    let forms = schemas.secret_forms(connector);
    let said = if forms.is_empty() {
        String::new()
    } else {
        format!(
            "A secret never stands in the file: it is {forms}. Every other setting may be written out."
        )
    };
    [
        "## Connecting".to_owned(),
        format!(
            "In [`towpath.yaml`](towpath-yaml.md), under a name of your own:\n\n{}",
            code("yaml", &format!("accounts:\n{}", example::account(connector)))
        ),
        table(["setting", "default", "what it is"], rows),
        said,
    ]
}

fn trigger(connector: &Connector, trigger: &TriggerDescriptor, schemas: &Schemas) -> Vec<String> {
    let name = format!("{}.{}", connector.name(), trigger.name);
    let fields = schemas.fields(&name);
    let mut told = match trigger.kind {
        TriggerKind::Polling => format!("Changes: {}.", changes(trigger)),
        TriggerKind::Heard => format!("Called and polled: {}.", changes(trigger)),
        TriggerKind::Told => format!("Told: {}.", changes(trigger)),
        TriggerKind::Webhook => format!("Called: {}.", changes(trigger)),
    };
    if !trigger.aliases.is_empty() {
        let names =
            trigger.aliases.iter().map(|own| quoted(&format!("{}.{own}", connector.name())));
        told = format!("{told} It may be called {} too.", listed(&names.collect::<Vec<_>>()));
    }
    if !trigger.volatile.is_empty() {
        let paths = trigger.volatile.iter().map(|path| quoted(path.trim_start_matches('/')));
        let paths = listed(&paths.collect::<Vec<_>>());
        told = format!("{told} No change is a change of {paths} alone.");
    }
    let (mapped, record, message) =
        (mapping_heading(connector, trigger.mapping), record_of(trigger), message_of(trigger));
    let mut links = vec![];
    if !trigger.mapping.trim().is_empty() {
        links.push(format!("[default mapping](#{})", anchor(&mapped)));
    }
    for (what, schema) in [("record", record), ("message", message)] {
        if let Some(heading) = schema.and_then(|it| schema_heading(connector, what, &it)) {
            links.push(format!("[{what}](#{})", anchor(&heading)));
        }
    }
    vec![
        format!("### `{name}`"),
        fields.about(),
        told,
        code("yaml", &example::trigger(connector, trigger)),
        fields_table(&fields.fields(false)),
        if links.is_empty() { String::new() } else { format!("See its {}.", listed(&links)) },
        lowered(connector.documentation().section(trigger.name), 1),
    ]
}

/// How a trigger tells changes, in words.
pub(crate) const fn changes(trigger: &TriggerDescriptor) -> &'static str {
    match trigger.kind {
        TriggerKind::Webhook => {
            return "its system sends to `/hooks/FLOW`; what comes is kept before it is answered";
        }
        TriggerKind::Told => {
            return "`towpath serve` puts what there is to tell into the flow's inbox, durably";
        }
        TriggerKind::Heard => {
            return "its system calls `/hooks/FLOW` where that is registered, what it tells is kept \
                    before it is answered and asked after in a run; polls and sweeps find what was \
                    not told";
        }
        TriggerKind::Polling => {}
    }
    match trigger.changes {
        Changes::Timestamps => "every poll asks for what changed since the last one",
        Changes::Content => "every poll reads everything and compares it with what was sent",
        Changes::Both => {
            "every poll asks for what changed since the last one, and every `sweep` reads \
             everything and compares it with what was sent"
        }
        Changes::None => "none are told: every record of every poll is sent",
        Changes::Appended => "every poll reads what was added since the last one",
    }
}

fn action(connector: &Connector, action: &ActionDescriptor, schemas: &Schemas) -> Vec<String> {
    let name = format!("{}.{}", connector.name(), action.name);
    let fields = schemas.fields(&name);
    let input = (action.input)().to_value();
    let sample = Shape::of(&input).example().map(Value::to_string);
    let sample = sample.map(|it| code("json", &it)).unwrap_or_default();
    let mut rows = vec![["largest batch".to_owned(), number(action.max_batch)]];
    if !action.aliases.is_empty() {
        let names = action.aliases.iter().map(|own| quoted(&format!("{}.{own}", connector.name())));
        rows.push(["other names".to_owned(), listed(&names.collect::<Vec<_>>())]);
    }
    if let Some(idempotent) = idempotent(action) {
        rows.push(["idempotent".to_owned(), idempotent.to_owned()]);
    }
    if !action.mapping.trim().is_empty() {
        let heading = mapping_heading(connector, action.mapping);
        rows.push(["default mapping".to_owned(), format!("[its source](#{})", anchor(&heading))]);
    }
    vec![
        format!("### `{name}`"),
        fields.about(),
        table(["", ""], rows),
        code("yaml", &example::step(connector, action)),
        fields_table(&fields.fields(false)),
        "What a `customMapping` yields, or the message itself with `skipTransformation`:"
            .to_owned(),
        sample,
        fields_table(&Shape::of(&input).fields(true)),
        refusals(action.rejections),
        lowered(connector.documentation().section(action.name), 1),
    ]
}

/// Whether the action of the example is idempotent; `None` if there is no example of it.
pub(crate) fn idempotent(action: &ActionDescriptor) -> Option<&'static str> {
    let fields = example::fields(&(action.fields)().to_value());
    Some(match (action.configure)(fields).ok()?.idempotent() {
        true => "yes: what got no answer is sent again, and a message sent twice changes nothing",
        false => "no: a message sent twice is carried out twice",
    })
}

fn refusals(rejections: &[Rejection]) -> String {
    let rows =
        rejections.iter().map(|it| [quoted(it.code), it.meaning.to_owned(), it.way_out.to_owned()]);
    let table = table(["code", "meaning", "way out"], rows);
    let every = "[those of every action](dead-letters.md)";
    if table.is_empty() {
        return format!("It refuses messages by {every} only.");
    }
    format!("It refuses messages by these codes, and by {every}:\n\n{table}")
}

/// Rows of fields as a table.
pub(crate) fn fields_table(fields: &[Field]) -> String {
    let row = |field: &Field| {
        let otherwise =
            if field.default.is_some() { quoted(&field.otherwise()) } else { field.otherwise() };
        [quoted(&field.path), field.kind.clone(), otherwise, field.whole_about()]
    };
    table(["field", "type", "default", "what it is"], fields.iter().map(row))
}

/// The same of what a system or a mapping gives: nothing of it is required or has a default.
fn properties_table(fields: &[Field]) -> String {
    let row = |field: &Field| [quoted(&field.path), field.kind.clone(), field.whole_about()];
    table(["property", "type", "what it is"], fields.iter().map(row))
}

fn limits(connector: &Connector) -> String {
    let rows = connector.limits().iter().map(|limit| {
        let rate = limit.per_second.map_or("no limit of our own".to_owned(), |it| it.to_string());
        [quoted(limit.class), limit.concurrency.to_string(), rate]
    });
    let table = table(["class", "requests at once", "begun in a second"], rows);
    if table.is_empty() {
        return "No limits are declared: what the system answers with 429 waits and is sent again."
            .to_owned();
    }
    let shared = "All flows with the same credentials share these; `limits` in \
                  [`towpath.yaml`](towpath-yaml.md) lowers or raises the requests at once.";
    format!("{table}\n{shared}")
}

/// What triggers and actions share: default mappings, and what records and messages look like.
fn shared(connector: &Connector) -> Vec<String> {
    let mut parts: Vec<String> = vec![];
    let mut add = |heading: String, text: String| {
        let heading = format!("### {heading}");
        if !parts.contains(&heading) {
            parts.extend([heading, text]);
        }
    };
    for trigger in connector.triggers() {
        for (what, schema) in [("record", record_of(trigger)), ("message", message_of(trigger))] {
            let Some(schema) = schema else { continue };
            let Some(heading) = schema_heading(connector, what, &schema) else { continue };
            let shape = Shape::of(&schema);
            let about = shape.text("description").split("\n\n").next().unwrap_or("");
            let about = one_paragraph(about);
            add(heading, format!("{about}\n\n{}", properties_table(&shape.fields(true))));
        }
    }
    let mappings = connector.triggers().iter().map(|it| it.mapping);
    for mapping in mappings.chain(connector.actions().iter().map(|it| it.mapping)) {
        if !mapping.trim().is_empty() {
            add(mapping_heading(connector, mapping), code("jsonata", mapping));
        }
    }
    if !parts.is_empty() {
        parts.insert(0, "## Records, messages and default mappings".to_owned());
    }
    parts
}

/// The heading of a default mapping: it names all that have it.
fn mapping_heading(connector: &Connector, mapping: &str) -> String {
    let triggers = connector.triggers().iter().filter(|it| it.mapping == mapping);
    let actions = connector.actions().iter().filter(|it| it.mapping == mapping);
    let names = triggers.map(|it| it.name).chain(actions.map(|it| it.name));
    format!("Default mapping of {}", listed(&names.map(quoted).collect::<Vec<_>>()))
}

/// The heading of a schema of records or messages: it names all triggers that have it.
fn schema_heading(connector: &Connector, what: &str, schema: &Value) -> Option<String> {
    let of = if what == "record" { record_of } else { message_of };
    let same = connector.triggers().iter().filter(|it| of(it).as_ref() == Some(schema));
    let names: Vec<_> = same.map(|it| quoted(it.name)).collect();
    let title = if what == "record" { "Record" } else { "Message's `data`" };
    (!names.is_empty()).then(|| format!("{title} of {}", listed(&names)))
}

fn record_of(trigger: &TriggerDescriptor) -> Option<Value> {
    trigger.record.map(|schema| schema().to_value())
}

/// What a message looks like, where that is not what a record does.
fn message_of(trigger: &TriggerDescriptor) -> Option<Value> {
    let message = trigger.message.map(|schema| schema().to_value());
    message.filter(|message| Some(message) != record_of(trigger).as_ref())
}
