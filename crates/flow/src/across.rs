//! What the parts of a flow expect of each other: fields that a mapping reads and that are not
//! there, and keys that it gives and that nobody takes.
//!
//! Warnings only, and only of what is sure: what a connector does not declare, or a mapping does
//! not write out, may be anything.

use std::ops::Range;

use connector::{ActionDescriptor, Connector, TriggerDescriptor};
use mapping::{Mapping, Origin, Read, Shape};

use crate::fields::CUSTOM;
use crate::file::{FlowFile, Spanned};
use crate::finding::code;
use crate::kind::{Field, Kind, View};
use crate::source::Source;
use crate::yaml::Node;
use crate::{Step, Transformation, Trigger, scalar, secret, shared, suggest};

/// Warns of what the flow's own expressions read and give; `steps` are those of the file, where
/// they could be read.
pub(crate) fn check(
    source: &mut Source<'_>,
    file: &FlowFile,
    trigger: Option<&Trigger>,
    steps: &[Option<Step>],
    connectors: &[Connector],
) {
    let found = |name: &str| connectors.iter().find(|connector| connector.name() == name);
    let mut message = Seen { kind: Kind::Open, raw: false };
    if let Some(trigger) = trigger
        && let Some(descriptor) =
            found(&trigger.connector).and_then(|connector| connector.find_trigger(&trigger.name))
    {
        let fields = file.trigger.as_ref().and_then(|trigger| trigger.fields.as_ref());
        if let Some(written) = custom(&trigger.mapping, fields) {
            let scope = Scope {
                input: &Seen { kind: raw(descriptor), raw: true },
                trigger: None,
                fields: Kind::Schema(shared::schema(descriptor.fields)),
            };
            reads(source, &written, &scope);
        }
        message = messages(trigger, descriptor);
        if trigger.deletes.is_some() {
            message.kind = Kind::Any(vec![message.kind, delete()]);
        }
    }
    for (step, file) in steps.iter().zip(file.steps.iter().flatten()) {
        let Some(step) = step else { continue };
        let connector = found(&step.connector);
        let action = connector.and_then(|connector| connector.find_action(&step.name));
        let Some(action) = action else { continue };
        let scope = Scope {
            input: &message,
            trigger: Some(&message),
            fields: Kind::Schema(shared::schema(action.fields)),
        };
        if let (Some(mapping), Some(Spanned { span, .. })) = (&step.when, &file.when) {
            reads(source, &Written { mapping, span }, &scope);
        }
        if let Some(written) = custom(&step.mapping, file.fields.as_ref()) {
            reads(source, &written, &scope);
            input(source, &written, step, action);
        }
    }
}

/// An expression of the flow file and where it stands.
struct Written<'a> {
    mapping: &'a Mapping,
    span: &'a Range<usize>,
}

impl Written<'_> {
    /// The bytes of the file that hold a part of the expression.
    fn place(&self, source: &Source<'_>, inner: &Range<usize>) -> Range<usize> {
        scalar::locate(source.text(), self.span, self.mapping.source(), inner.clone())
    }

    /// Whether messages may quote it.
    fn may_be_shown(&self) -> bool {
        !secret::has_token(self.mapping.source())
    }
}

fn custom<'a>(mapping: &'a Transformation, fields: Option<&'a Node>) -> Option<Written<'a>> {
    let Transformation::Custom(mapping) = mapping else { return None };
    Some(Written { mapping, span: &fields?.get(CUSTOM)?.span })
}

/// The message or record that an expression sees.
struct Seen {
    kind: Kind,
    /// Whether its data is the raw record.
    raw: bool,
}

/// What an expression sees.
struct Scope<'a> {
    input: &'a Seen,
    /// `$trigger`.
    trigger: Option<&'a Seen>,
    /// `$fields`.
    fields: Kind,
}

/// A record as the trigger's mapping sees it.
fn raw(trigger: &TriggerDescriptor) -> Kind {
    message(declared(trigger.record), metadata())
}

fn declared(schema: Option<fn() -> schemars::Schema>) -> Kind {
    schema.map_or(Kind::Open, |schema| Kind::Schema(shared::schema(schema)))
}

fn message(data: Kind, metadata: Kind) -> Kind {
    Kind::fields([("metadata", metadata), ("data", data)])
}

/// What is known of every record.
fn metadata() -> Kind {
    Kind::fields([("recordUid", Kind::Open)])
}

/// The message of a record that is gone.
fn delete() -> Kind {
    let metadata = Kind::fields([("recordUid", Kind::Open), ("deleted", Kind::Open)]);
    message(Kind::fields([]), metadata)
}

/// The messages of a trigger.
fn messages(trigger: &Trigger, descriptor: &TriggerDescriptor) -> Seen {
    let model = || descriptor.message.map(shared::schema);
    let kind = match &trigger.mapping {
        Transformation::Skip => return Seen { kind: raw(descriptor), raw: true },
        Transformation::Custom(mapping) => {
            let model = model().unwrap_or_default();
            given(&mapping.analysis().result, &|shape| Kind::of_model(shape, &model))
        }
        Transformation::Default(mapping) => {
            let model = model().map(Kind::Schema);
            given(&mapping.analysis().result, &|shape| {
                model.clone().unwrap_or_else(|| Kind::of(shape))
            })
        }
    };
    Seen { kind, raw: false }
}

/// The message that a mapping's result becomes, by the rule of [`crate::message::message`]; `data`
/// says what is known of its data.
fn given(result: &Shape, data: &impl Fn(&Shape) -> Kind) -> Kind {
    let object = match result {
        Shape::Any(shapes) => {
            return Kind::Any(shapes.iter().map(|shape| given(shape, data)).collect());
        }
        Shape::Object(object) if !object.open => object,
        _ => return message(data(&Shape::Unknown), Kind::Open),
    };
    let value = |name: &str| object.keys.iter().find(|key| key.name == name);
    let all = object.keys.iter().all(|key| key.name == "data" || key.name == "metadata");
    let Some(inside) = value("data").filter(|_| all) else {
        return message(data(result), metadata());
    };
    let metadata = match value("metadata").map(|key| &key.value) {
        None => metadata(),
        Some(written @ Shape::Object(_)) => Kind::Any(vec![metadata(), Kind::of(written)]),
        Some(_) => Kind::Open,
    };
    message(data(&inside.value), metadata)
}

/// Warns of every field that an expression reads and that is not there, and of functions.
fn reads(source: &mut Source<'_>, written: &Written<'_>, scope: &Scope<'_>) {
    if !written.may_be_shown() {
        return;
    }
    for call in &written.mapping.analysis().unknown {
        let message = format!("there is no function `${}`", call.name);
        let known = Mapping::functions();
        let hint = suggest::meant(&call.name, known);
        let hint = hint.or_else(|| suggest::nearest(&call.name, known));
        let hint = hint.map(|near| format!("did you mean `${near}`?"));
        source.warning(code::FUNCTION, written.place(source, &call.span), message, hint);
    }
    let flow = Kind::fields([("name", Kind::Open), ("vars", Kind::Open)]);
    for read in &written.mapping.analysis().reads {
        let (seen, kind, variable) = match &read.from {
            Origin::Input => (Some(scope.input), &scope.input.kind, None),
            Origin::Variable(name) => match name.as_str() {
                "trigger" => match scope.trigger {
                    Some(trigger) => (Some(trigger), &trigger.kind, Some(name)),
                    None => continue,
                },
                "fields" => (None, &scope.fields, Some(name)),
                "flow" => (None, &flow, Some(name)),
                _ => continue,
            },
        };
        let Some((name, way)) = read.path.split_last() else { continue };
        let Field::Known(parents) = kind.view().at(way) else { continue };
        let missing = |view: &View<'_>| matches!(view.field(name), Field::Missing);
        if parents.is_empty() || !parents.iter().all(missing) {
            continue;
        }
        let (text, hint) = misread(read, &parents, seen, variable.map(String::as_str));
        let place = written.place(source, &read.span);
        source.warning(code::FIELD_READ, place, text, hint);
    }
}

/// What is wrong with reading a field, and the way out.
fn misread(
    read: &Read,
    parents: &[View<'_>],
    seen: Option<&Seen>,
    variable: Option<&str>,
) -> (String, Option<String>) {
    let (name, way) = read.path.split_last().map_or(("", &[][..]), |(name, way)| (name, way));
    let dollar = variable.map(|name| format!("${name}"));
    let whole: Vec<&str> =
        dollar.iter().map(String::as_str).chain(way.iter().map(String::as_str)).collect();
    let whole = whole.join(".");
    let names: Vec<&str> =
        parents.iter().flat_map(|view| view.names()).filter(|known| *known != name).collect();
    let Some(seen) = seen else {
        return (format!("`{whole}` has no `{name}`"), suggest::hint(name, names));
    };
    let prefix = dollar.map(|dollar| format!("{dollar}.")).unwrap_or_default();
    if way.is_empty() {
        let what = if seen.raw { "a mapping" } else { "an expression" };
        let message = format!(
            "there is no `{prefix}{name}`: {what} sees `{prefix}metadata` and `{prefix}data`"
        );
        let data = ["data".to_owned()];
        let inside = match seen.kind.view().at(&data) {
            Field::Known(views) => views.iter().flat_map(|view| view.names()).collect(),
            _ => vec![],
        };
        let hint = suggest::nearest(name, &["metadata", "data"]).map_or_else(
            || {
                let near = suggest::nearest(name, &inside).unwrap_or(name);
                format!("did you mean `{prefix}data.{near}`?")
            },
            |near| format!("did you mean `{prefix}{near}`?"),
        );
        return (message, Some(hint));
    }
    if let Some(scalar) = parents.first().and_then(|view| view.scalar())
        && parents.iter().all(|view| view.scalar() == Some(scalar))
    {
        return (format!("`{whole}` is {scalar} and has no `{name}`"), None);
    }
    let raw = seen.raw && way == ["data"];
    let behind = if raw { ": `data` is the raw record" } else { "" };
    (format!("`{whole}` has no `{name}`{behind}"), suggest::hint(name, names))
}

/// Warns of what a mapping gives and the action does not take, and of what it leaves out.
fn input(source: &mut Source<'_>, written: &Written<'_>, step: &Step, action: &ActionDescriptor) {
    if !written.may_be_shown() {
        return;
    }
    let schema = shared::schema(action.input);
    let view = View::Schema { root: &schema, schema: &schema };
    let name = format!("{}.{}", step.connector, step.name);
    taken(source, written, &written.mapping.analysis().result, view, &name);
}

fn taken(
    source: &mut Source<'_>,
    written: &Written<'_>,
    shape: &Shape,
    view: View<'_>,
    name: &str,
) {
    let object = match shape {
        Shape::Unknown => return,
        Shape::Any(shapes) => {
            shapes.iter().for_each(|shape| taken(source, written, shape, view, name));
            return;
        }
        Shape::Object(object) => object,
    };
    let mut misspelled = vec![];
    for key in &object.keys {
        match view.field(&key.name) {
            Field::Unknown => {}
            Field::Known(views) => {
                if let [view] = views[..] {
                    taken(source, written, &key.value, view, &key.name);
                }
            }
            Field::Missing => {
                let names: Vec<&str> = view.names().into_iter().collect();
                misspelled.extend(suggest::nearest(&key.name, &names));
                let message = format!("`{name}` takes no `{}`", key.name);
                let hint = match view.scalar() {
                    Some(word) => Some(format!("`{name}` is {word}")),
                    None => suggest::hint(&key.name, names),
                };
                let place = written.place(source, &key.span);
                source.warning(code::KEY_GIVEN, place, message, hint);
            }
        }
    }
    let needed = view.object().map(|object| object.required).unwrap_or_default();
    for needed in needed {
        let given = object.keys.iter().any(|key| key.name == needed);
        if !given && !object.open && !misspelled.contains(&needed) {
            let message = format!("`{name}` needs `{needed}`, and this leaves it out");
            let brace = object.span.start..object.span.start + 1;
            let place = written.place(source, &brace);
            source.warning(code::KEY_MISSING, place, message, None);
        }
    }
}
