//! The reference in the terminal: lists that wrap to its width.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};
use connector::{ActionDescriptor, Connector, TriggerDescriptor};
use serde_json::Value;

use super::connector::{changes, idempotent};
use super::example;
use super::fields::{Field, Shape};
use super::markdown::number;
use super::schemas::Schemas;

/// Where no terminal says how wide it is.
const WIDTH: usize = 100;

/// How wide the terminal is that standard output is.
pub(crate) fn width() -> usize {
    let is = std::io::stdout().is_terminal();
    let width = is.then(terminal_size::terminal_size).flatten();
    width.map_or(WIDTH, |(width, _)| usize::from(width.0))
}

/// Writes what the reference says, wrapped to a width.
pub(crate) struct Terminal {
    width: usize,
    text: String,
}

impl Terminal {
    /// As wide as the terminal that standard output is, at least 40 columns.
    pub(crate) fn new() -> Self {
        Self::of(width())
    }

    pub(crate) fn of(width: usize) -> Self {
        Self { width: width.max(40), text: String::new() }
    }

    /// What was written.
    pub(crate) fn into_text(self) -> String {
        self.text.trim_end().to_owned()
    }

    /// All connectors, a row each.
    pub(crate) fn connectors(&mut self, connectors: &[Connector]) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(self.width).unwrap_or(u16::MAX));
        table.set_header(["connector", "what it is", "triggers", "actions"]);
        for it in connectors {
            let triggers: Vec<_> = it.triggers().iter().map(|it| it.name).collect();
            let actions: Vec<_> = it.actions().iter().map(|it| it.name).collect();
            let or_none = |names: Vec<&str>| {
                if names.is_empty() { "none".to_owned() } else { names.join("\n") }
            };
            table.add_row([
                it.name().to_owned(),
                it.description().to_owned(),
                or_none(triggers),
                or_none(actions),
            ]);
        }
        self.text.push_str(&table.trim_fmt());
        self.text.push('\n');
    }

    /// One connector: what it can do, its account, triggers, actions and limits.
    pub(crate) fn connector(&mut self, connector: &Connector) {
        self.paragraph(0, &format!("{}: {}", connector.title(), connector.description()));
        let about = connector.documentation();
        let handled = format!("{}, {}", connector.access().name(), connector.deletion().name());
        let mut can: Vec<(String, String)> = about
            .capabilities()
            .iter()
            .map(|(what, which)| (what.to_lowercase(), (*which).to_owned()))
            .collect();
        can.push(("access, deletion".to_owned(), handled));
        self.section("Capabilities", &can);
        self.prose("Roles and account type", about.section("Roles and account type"));
        self.prose("Credentials", about.section("Credentials"));
        let settings = connector.settings().iter().map(|setting| {
            let needed = match setting.default {
                Some(default) => format!(" Default: {default}."),
                None if setting.secret => " Required, secret.".to_owned(),
                None => " Required.".to_owned(),
            };
            (setting.name.to_owned(), format!("{}{needed}", setting.explained()))
        });
        if connector.has_accounts() {
            self.section("Account", &settings.collect::<Vec<_>>());
            self.example(&format!("accounts:\n{}", example::account(connector)));
        }
        let named = |name: &str, fields: &Value| {
            (format!("{}.{name}", connector.name()), Shape::of(fields).about())
        };
        let triggers = connector.triggers().iter();
        let triggers: Vec<_> =
            triggers.map(|it| named(it.name, &(it.fields)().to_value())).collect();
        self.section("Triggers", &triggers);
        let actions = connector.actions().iter();
        let actions: Vec<_> = actions.map(|it| named(it.name, &(it.fields)().to_value())).collect();
        self.section("Actions", &actions);
        let limits = connector.limits().iter().map(|limit| {
            let rate =
                limit.per_second.map_or(String::new(), |it| format!(", {it} begun in a second"));
            (limit.class.to_owned(), format!("{} requests at once{rate}", limit.concurrency))
        });
        self.section("Limits", &limits.collect::<Vec<_>>());
        let first = triggers.first().or(actions.first());
        if let Some((name, _)) = first {
            self.blank();
            self.paragraph(0, &format!("`towpath connectors {name}` shows the fields of one."));
        }
    }

    /// One trigger: its fields, how it tells changes, what it finds.
    pub(crate) fn trigger(
        &mut self,
        connector: &Connector,
        trigger: &TriggerDescriptor,
        schemas: &Schemas,
    ) {
        let name = format!("{}.{}", connector.name(), trigger.name);
        let fields = schemas.fields(&name);
        self.paragraph(0, &format!("{name}, a trigger"));
        self.paragraph(0, &fields.about());
        self.fields("Fields", &fields.fields(false));
        let mut told = format!("{}.", changes(trigger));
        if !trigger.volatile.is_empty() {
            let paths: Vec<_> =
                trigger.volatile.iter().map(|it| it.trim_start_matches('/')).collect();
            told = format!("{told} No change: {}.", paths.join(", "));
        }
        self.prose("Changes", &told);
        let [record, message] =
            [trigger.record, trigger.message].map(|schema| schema.map(|it| it().to_value()));
        let message = message.filter(|message| Some(message) != record.as_ref());
        for (what, schema) in [("Record", record), ("Message: data", message)] {
            if let Some(schema) = schema {
                self.fields(what, &Shape::of(&schema).fields(true));
            }
        }
        self.heading("Example");
        self.example(&example::trigger(connector, trigger));
    }

    /// One action: its fields, input, batches, and how it refuses messages.
    pub(crate) fn action(
        &mut self,
        connector: &Connector,
        action: &ActionDescriptor,
        schemas: &Schemas,
    ) {
        let name = format!("{}.{}", connector.name(), action.name);
        let fields = schemas.fields(&name);
        self.paragraph(0, &format!("{name}, an action"));
        self.paragraph(0, &fields.about());
        self.fields("Fields", &fields.fields(false));
        let input = (action.input)().to_value();
        self.fields("Input, what a customMapping yields", &Shape::of(&input).fields(true));
        let mut batches = vec![("largest batch".to_owned(), number(action.max_batch))];
        batches.extend(idempotent(action).map(|it| ("idempotent".to_owned(), it.to_owned())));
        self.section("Sending", &batches);
        let refusals = action.rejections.iter();
        let refusals = refusals
            .map(|it| (it.code.to_owned(), format!("{}. Way out: {}.", it.meaning, it.way_out)));
        self.section("Refusals", &refusals.collect::<Vec<_>>());
        self.heading("Example");
        self.example(&example::step(connector, action));
    }

    fn fields(&mut self, heading: &str, fields: &[Field]) {
        let rows = fields.iter().map(|field| {
            let otherwise = field.otherwise();
            let otherwise = match &field.default {
                Some(_) => format!(", default {otherwise}"),
                None if otherwise.is_empty() => otherwise,
                None => format!(", {otherwise}"),
            };
            let choices: Vec<_> = field.choices.iter().map(|(value, _)| value.as_str()).collect();
            let kind = match field.kind.as_str() {
                "one of" => format!("one of {}", choices.join(", ")),
                kind => kind.to_owned(),
            };
            let about = Some(field.whole_about()).filter(|about| !about.is_empty());
            let about = about.map(|about| format!("\n{about}")).unwrap_or_default();
            (field.path.clone(), format!("{kind}{otherwise}{about}"))
        });
        self.section(heading, &rows.collect::<Vec<_>>());
    }

    /// A list: names on the left, what they are on the right, as far as there is room for both.
    fn section(&mut self, heading: &str, rows: &[(String, String)]) {
        if rows.is_empty() {
            return;
        }
        self.heading(heading);
        let widest = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let column = widest.min(self.width / 3) + 4;
        for (name, about) in rows {
            let width = self.width - column;
            let mut lines = about.lines().flat_map(|it| wrap(it, width));
            let first = if name.chars().count() + 4 > column { None } else { lines.next() };
            let left = format!("  {name}");
            self.line(&format!("{left:<column$}{}", first.unwrap_or_default()));
            for line in lines {
                self.line(&format!("{:column$}{line}", ""));
            }
        }
    }

    /// Markdown as it can be read in a terminal: paragraphs and lists, wrapped.
    fn prose(&mut self, heading: &str, markdown: &str) {
        if markdown.is_empty() {
            return;
        }
        self.heading(heading);
        let mut paragraph = String::new();
        for line in markdown.lines() {
            let item = line.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok())
                || line.starts_with("- ");
            if line.is_empty() || item {
                self.paragraph(2, &std::mem::take(&mut paragraph));
            }
            paragraph = format!("{paragraph} {}", line.trim());
        }
        self.paragraph(2, &paragraph);
    }

    fn heading(&mut self, heading: &str) {
        self.blank();
        self.line(heading);
    }

    fn paragraph(&mut self, indent: usize, text: &str) {
        for line in wrap(text, self.width - indent) {
            self.line(&format!("{:indent$}{line}", ""));
        }
    }

    fn example(&mut self, yaml: &str) {
        self.blank();
        yaml.trim_end().lines().for_each(|line| self.line(&format!("  {line}")));
    }

    fn blank(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

/// The text in lines of at most `width` characters; a longer word has a line of its own.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
