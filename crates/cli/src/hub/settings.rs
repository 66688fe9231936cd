//! What becomes of the settings of flows and nodes: mostly a note.

use serde_json::{Map, Value};

use super::read::{Flow, says_something};

/// What a setting of a node asked for, and what does it here.
const SETTINGS: &[(&str, &str)] = &[
    (
        "passthrough",
        "expressions of every step see the trigger's message as `$trigger`, and what earlier steps gave as `$steps.ID`",
    ),
    (
        "idLinking",
        "there is no data hub: actions find their records by what the systems know them by, such as the e-mail address",
    ),
    ("applicationUid", "there is no data hub, and nothing that needs it"),
    ("alternateAppUid", "there is no data hub, and nothing that needs it"),
    ("storeRawRecord", "raw records are not stored: `towpath map` shows them"),
    (
        "governance",
        "no events of provenance are sent: `towpath why` tells what became of each record",
    ),
    ("applyPolicy", "no policies are asked: say what may pass with `when`"),
    ("policyAction", "no policies are asked: say what may pass with `when`"),
    ("flowPolicy", "no policies are asked: say what may pass with `when`"),
    ("autoSaveSnapshots", "the runtime keeps the snapshot, and nobody else can"),
    (
        "snapshotKey",
        "the runtime keeps the snapshot: connectors know by what their records are dated",
    ),
    ("skipSnapshot", "the runtime keeps the snapshot: `towpath run FLOW --from TIME` reads again"),
    ("arraySplittingKey", "triggers give one message a record"),
    ("syncParam", "connectors know how to ask for what changed"),
    ("logLevel", "what is logged is for all flows: `towpath serve --log-level`"),
];

/// What is to be known of a node's settings.
pub(super) fn of_node(settings: &Map<String, Value>) -> Vec<String> {
    let mut notes = vec![];
    // What their values are is not told: they may be anything.
    for (key, _) in settings.iter().filter(|(_, value)| says_something(value)) {
        if ["applyTransform", "transformFunction", "secondTransformFunction"].contains(&&**key) {
            continue;
        }
        let known = SETTINGS.iter().find(|(known, _)| known == key);
        let instead = known.map_or("nothing here does that", |(_, instead)| instead);
        notes.push(format!("nodeSettings.{key} is left out: {instead}"));
    }
    notes
}

/// When a node had its messages transformed, beside what its own fields say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    Before,
    After,
    Both,
}

impl Transform {
    pub(super) fn of(settings: &Map<String, Value>) -> Option<Self> {
        match settings.get("applyTransform")?.as_str()? {
            "before" => Some(Self::Before),
            "after" => Some(Self::After),
            "both" => Some(Self::Both),
            _ => None,
        }
    }
}

/// What is to be known of a flow.
pub(super) fn of_flow(flow: &Flow) -> Vec<String> {
    let mut notes = vec![];
    if let Some(cron) = &flow.cron {
        if cron.split_whitespace().count() > 5 {
            notes.push("`cron` has seconds, which are left out: runs begin with the minute".into());
        }
        notes.push(
            "schedules had no time zone there: `cron` is in UTC, unless `timezone` says other"
                .into(),
        );
    }
    if flow.has_webhooks {
        notes.push(
            "the flow was called by a webhook: `http.received` is the trigger for that, and \
             `towpath serve` shows its address"
                .to_owned(),
        );
    }
    if flow.has_edge_settings {
        notes.push(
            "conditions and mappers of edges are left out: nothing looked at them there".into(),
        );
    }
    if flow.status.as_deref().is_some_and(|status| status != "active") {
        notes.push(
            "the flow was not active: a flow file in the folder of a service runs; leave `cron` out to \
             run it by hand only"
                .to_owned(),
        );
    }
    if !flow.others.is_empty() {
        notes.push(format!(
            "{} left out: flows are files, and whoever may read them owns them",
            match &*flow.others {
                [one] => format!("`{one}` is"),
                several => format!(
                    "{} are",
                    several.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
                ),
            }
        ));
    }
    notes
}
