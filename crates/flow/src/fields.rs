//! The `fields` of a trigger or step: its own settings, and how data is brought into shape.

use std::ops::Range;
use std::sync::Arc;

use connector::Connector;
use mapping::{Engine, Mapping};
use schemars::Schema;
use serde_json::Value;

use crate::Transformation;
use crate::file::Spanned;
use crate::finding::code;
use crate::scalar;
use crate::secret;
use crate::shape;
use crate::shared;
use crate::source::Source;
use crate::syntax;
use crate::yaml::{Kind, Node};

/// The names that mean the same in all `fields`; they are taken out before a connector sees them.
pub(crate) const SKIP: &str = "skipTransformation";
pub(crate) const CUSTOM: &str = "customMapping";

/// What a connector says about a trigger's or action's fields.
pub(crate) struct Described<T> {
    /// `connector.name`.
    pub(crate) name: String,
    /// Where it is used.
    pub(crate) at: Range<usize>,
    /// The default mapping; blank if data passes as it is.
    pub(crate) mapping: &'static str,
    /// What evaluates an expression that the flow file writes.
    pub(crate) engine: Engine,
    pub(crate) schema: fn() -> Schema,
    pub(crate) configure: fn(Value) -> Result<T, String>,
}

/// Fields as checked.
pub(crate) struct Checked<T> {
    pub(crate) fields: Arc<Value>,
    pub(crate) mapping: Transformation,
    pub(crate) configured: T,
}

/// Checks fields against what the connector says; `None` after any error.
pub(crate) fn check<T>(
    source: &mut Source<'_>,
    fields: Option<&Node>,
    described: &Described<T>,
) -> Option<Checked<T>> {
    let mapping = transformation(source, fields, described);
    let at = fields.map_or(&described.at, |fields| &fields.span);
    let own = own(fields, at);
    let before = source.errors();
    let schema = shared::schema(described.schema);
    shape::report(source, &own, &schema, &format!("`{}`", described.name), shape::FIELDS);
    let fields = own.to_json();
    // What the schema has found the type would find again, in words of less help.
    let configured = if source.errors() == before {
        let configured = (described.configure)(fields.clone());
        configured.map_err(|problem| {
            let message = format!("`{}` does not take these fields: {problem}", described.name);
            source.error(code::FIELDS_REFUSED, first_line(source.text(), at), message, None);
        })
    } else {
        Err(())
    };
    Some(Checked { fields: Arc::new(fields), mapping: mapping?, configured: configured.ok()? })
}

/// Explains unknown keys of triggers and steps that are fields: they stand beside `fields`, not
/// below it.
pub(crate) fn misplaced(source: &mut Source<'_>, root: &Node, connectors: &[Connector]) {
    let steps = root.get("steps").and_then(Node::items).unwrap_or_default();
    for part in root.get("trigger").into_iter().chain(steps) {
        let uses = part.get("use").and_then(Node::text).and_then(|uses| uses.split_once('.'));
        let schema = uses.and_then(|(connector, name)| {
            let connector = connectors.iter().find(|known| known.name() == connector)?;
            let trigger = connector.find_trigger(name).map(|trigger| trigger.fields);
            trigger.or_else(|| Some(connector.find_action(name)?.fields))
        });
        let schema = schema.map(shared::schema);
        let known = schema.as_ref().and_then(|schema| schema.get("properties"));
        for entry in part.entries().unwrap_or_default() {
            let key = entry.key.as_str();
            if key == SKIP || key == CUSTOM || known.is_some_and(|known| known.get(key).is_some()) {
                let hint = format!("`{key}` is one of the `fields`: indent it below them");
                source.hint(code::UNKNOWN_KEY, entry.key_span.start, &hint);
            }
        }
    }
}

/// The fields without the reserved names; an object even where nothing is written.
fn own(fields: Option<&Node>, at: &Range<usize>) -> Node {
    let entries = fields.and_then(Node::entries).unwrap_or_default().iter();
    let own = entries.filter(|entry| entry.key != SKIP && entry.key != CUSTOM).cloned().collect();
    Node::new(Kind::Map(own), at.clone())
}

fn transformation<T>(
    source: &mut Source<'_>,
    fields: Option<&Node>,
    described: &Described<T>,
) -> Option<Transformation> {
    let skip = fields.and_then(|fields| fields.get(SKIP));
    let custom = fields.and_then(|fields| fields.entry(CUSTOM));
    let skip = match skip.map(|node| (&node.kind, node)) {
        None => Some(false),
        Some((Kind::Bool(skip), _)) => Some(*skip),
        Some((_, node)) => {
            let message = format!("`{SKIP}` is true or false, not {}", node.type_name());
            let hint = "write `true` or `false`, without quotes".to_owned();
            source.error(code::SKIP_TYPE, node.span.clone(), message, hint);
            None
        }
    };
    let custom = match custom.map(|entry| (&entry.value.kind, entry)) {
        None => Some(None),
        Some((Kind::Text(text), entry)) => {
            let text = Spanned { value: text.clone(), span: entry.value.span.clone() };
            let mapping = expression(source, described.engine, &text);
            if skip == Some(true) {
                let message = format!("`{CUSTOM}` is never used: `{SKIP}` is true");
                let hint = "remove one of the two".to_owned();
                source.warning(code::UNUSED_MAPPING, entry.key_span.clone(), message, hint);
            }
            mapping.map(Some)
        }
        Some((_, entry)) => {
            let message = format!(
                "`{CUSTOM}` is a JSONata expression as text, not {}",
                entry.value.type_name()
            );
            let hint = format!("write `{CUSTOM}: |` and the expression indented below it");
            let span = first_line(source.text(), &entry.value.span);
            source.error(code::CUSTOM_TYPE, span, message, hint);
            None
        }
    };
    match (skip?, custom?) {
        (true, _) => Some(Transformation::Skip),
        (false, Some(mapping)) => Some(Transformation::Custom(mapping)),
        (false, None) if described.mapping.trim().is_empty() => Some(Transformation::Skip),
        // A connector's author wrote it for the default engine, whatever the flow is evaluated by.
        (false, None) => match shared::compile(Engine::Jlens, described.mapping) {
            Ok(mapping) => Some(Transformation::Default(mapping)),
            Err(error) => {
                let message =
                    format!("the default mapping of `{}` is faulty: {error}", described.name);
                let hint = format!("this is a mistake in the connector; `{CUSTOM}` replaces it");
                source.error(code::EXPRESSION, described.at.clone(), message, hint);
                None
            }
        },
    }
}

/// Warns of an engine that cannot promise what flows are promised.
pub(crate) fn doubtful_engine(source: &mut Source<'_>, engine: &Spanned<Engine>) {
    if engine.value == Engine::JsonataRs {
        let message = "jsonata-rs loses memory with every record, is slower, and knows a part of \
                       JSONata";
        let hint = "leave `engine` out, unless exactly this one is needed".to_owned();
        source.warning(code::ENGINE, engine.span.clone(), message, hint);
    }
}

/// Compiles an expression; all its mistakes are reported where they are written.
pub(crate) fn expression(
    source: &mut Source<'_>,
    engine: Engine,
    text: &Spanned<String>,
) -> Option<Mapping> {
    match shared::compile(engine, &text.value) {
        Ok(mapping) => Some(mapping),
        Err(first) => {
            let mut problems = Mapping::problems_with(engine, &text.value);
            if problems.is_empty() {
                problems.push(first);
            }
            for problem in syntax::jsonata::first_causes(&problems) {
                let start = problem.position.unwrap_or(0);
                let inner = start..start.saturating_add(problem.length.max(1));
                let span = scalar::locate(source.text(), &text.span, &text.value, inner);
                // The engine's words may quote the expression.
                let message = if secret::has_token(&text.value) {
                    format!("bad JSONata ({})", problem.code)
                } else {
                    format!("bad JSONata: {problem}")
                };
                let hint = syntax::jsonata::hint(&text.value, problem);
                source.error(code::EXPRESSION, span, message, hint.map(ToOwned::to_owned));
            }
            None
        }
    }
}

/// The first line of a span: a caret under more than that shows nothing.
pub(crate) fn first_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let line = text.get(span.clone()).and_then(|text| text.lines().next()).unwrap_or("");
    span.start..span.start + line.len()
}
