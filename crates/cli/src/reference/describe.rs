//! A connector as JSON, for machines.

use connector::{ActionDescriptor, Changes, Connector, Rejection, TriggerDescriptor, TriggerKind};
use serde_json::{Value, json};

use super::example;

/// Everything that a connector says about itself.
pub(crate) fn describe(connector: &Connector) -> Value {
    let about = connector.documentation();
    let capabilities = about.capabilities();
    let capabilities =
        capabilities.iter().map(|(what, which)| json!({ "what": what, "which": which }));
    let troubles = about.troubles();
    let troubles = troubles
        .iter()
        .map(|it| json!({ "symptom": it.symptom, "cause": it.cause, "wayOut": it.way_out }));
    let settings = connector.settings().iter().map(|it| {
        json!({
            "name": it.name, "about": it.about, "secret": it.secret, "default": it.default,
            "required": it.default.is_none(), "label": it.label(), "help": it.help,
            "choices": it.choices.iter().map(|(value, label)| json!({ "value": value, "label": label })).collect::<Vec<_>>(),
        })
    });
    let limits = connector.limits().iter().map(|it| {
        json!({ "class": it.class, "concurrency": it.concurrency, "perSecond": it.per_second })
    });
    json!({
        "name": connector.name(),
        "title": connector.title(),
        "about": connector.description(),
        "capabilities": capabilities.collect::<Vec<_>>(),
        "access": connector.access().name(),
        "deletion": connector.deletion().name(),
        "rolesAndAccountType": about.section("Roles and account type"),
        "credentials": about.section("Credentials"),
        "settings": settings.collect::<Vec<_>>(),
        "triggers": connector.triggers().iter().map(trigger).collect::<Vec<_>>(),
        "actions": connector.actions().iter().map(action).collect::<Vec<_>>(),
        "limits": limits.collect::<Vec<_>>(),
        "troubleshooting": troubles.collect::<Vec<_>>(),
    })
}

/// A trigger, with its schemas.
pub(crate) fn trigger(trigger: &TriggerDescriptor) -> Value {
    let changes = match trigger.changes {
        Changes::Timestamps => "timestamps",
        Changes::Content => "content",
        Changes::Both => "both",
        Changes::None => "none",
        Changes::Appended => "appended",
    };
    let kind = match trigger.kind {
        TriggerKind::Polling => "polling",
        TriggerKind::Webhook => "webhook",
        TriggerKind::Heard => "heard",
        TriggerKind::Told => "told",
    };
    let fields = (trigger.fields)().to_value();
    json!({
        "name": trigger.name,
        "aliases": trigger.aliases,
        "about": fields.get("description"),
        "kind": kind,
        "changes": changes,
        "volatile": trigger.volatile,
        "example": example::fields(&fields),
        "fields": fields,
        "record": trigger.record.map(|schema| schema().to_value()),
        "message": trigger.message.map(|schema| schema().to_value()),
        "defaultMapping": trigger.mapping,
    })
}

/// An action, with its schemas.
pub(crate) fn action(action: &ActionDescriptor) -> Value {
    let rejection =
        |it: &Rejection| json!({ "code": it.code, "meaning": it.meaning, "wayOut": it.way_out });
    let fields = (action.fields)().to_value();
    let configured = (action.configure)(example::fields(&fields)).ok();
    json!({
        "name": action.name,
        "aliases": action.aliases,
        "about": fields.get("description"),
        "largestBatch": action.max_batch,
        "idempotent": configured.map(|it| it.idempotent()),
        "rejections": action.rejections.iter().map(rejection).collect::<Vec<_>>(),
        "example": example::fields(&fields),
        "fields": fields,
        "input": (action.input)().to_value(),
        "defaultMapping": action.mapping,
    })
}
