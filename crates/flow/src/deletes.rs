//! What a flow says about records that are gone: who finds them, and which step hears of them.

use connector::Changes;
use mapping::Origin;

use crate::file::{FlowFile, StepFile, TriggerFile};
use crate::finding::code;
use crate::graph::Graph;
use crate::source::Source;
use crate::{MaxDeletes, Step, Takes, Transformation};

/// Reads how many records may be gone, and reports a trigger that could never tell.
pub(crate) fn trigger(
    source: &mut Source<'_>,
    file: &TriggerFile,
    changes: Changes,
) -> Option<MaxDeletes> {
    let Some(emits) = file.emit_deletes.as_ref().filter(|it| it.value) else {
        if let Some(written) = &file.max_deletes {
            let message = "`maxDeletes` says nothing without `emitDeletes: true`";
            source.warning(code::DELETES_UNUSED, written.span.clone(), message, None);
        }
        return None;
    };
    let span = emits.span.clone();
    match changes {
        Changes::Timestamps => {
            let message = "this trigger asks for what changed and never reads everything";
            let hint = "leave `emitDeletes` out".to_owned();
            source.error(code::DELETES_UNKNOWN, span, message, hint);
        }
        Changes::None | Changes::Appended => {
            let message = "this trigger's records are not remembered, so none is missed";
            let hint = "leave `emitDeletes` out".to_owned();
            source.error(code::DELETES_UNKNOWN, span, message, hint);
        }
        Changes::Both if file.sweep.as_ref().is_some_and(|sweep| sweep.value == "off") => {
            let message = "without a sweep this trigger never reads everything";
            let hint = "leave `sweep: off` out".to_owned();
            source.error(code::DELETES_UNKNOWN, span, message, hint);
        }
        Changes::Both | Changes::Content => {}
    }
    let default = MaxDeletes::default();
    let share = file.max_deletes.as_ref().map_or(default.share, |share| share.value);
    Some(MaxDeletes { share, ..default })
}

/// Warns of deletes that come to no step, and of steps that no message comes to; `steps` are those
/// of the file, where they could be read.
pub(crate) fn steps(
    source: &mut Source<'_>,
    file: &FlowFile,
    steps: &[Option<Step>],
    graph: &Graph,
) {
    let files = file.steps.as_deref().unwrap_or_default();
    let emits = file.trigger.as_ref().and_then(|trigger| trigger.emit_deletes.as_ref());
    let emits = emits.filter(|emits| emits.value);
    if let Some(emits) = emits
        && !files.iter().any(|file| takes(file).takes(true))
    {
        let message = "no step takes the messages of records that are gone";
        let hint = "write `for: deletes` or `for: all` in a step".to_owned();
        source.warning(code::DELETES_UNUSED, emits.span.clone(), message, hint);
    }
    for (at, file) in files.iter().enumerate() {
        let own = takes(file);
        let id = || file.id.as_ref().map_or_else(|| file.span.clone(), |id| id.span.clone());
        let span = file.takes.as_ref().map_or_else(id, |written| written.span.clone());
        if emits.is_none() && own.takes(true) {
            let message = "the trigger finds no records that are gone";
            let hint = "write `emitDeletes: true` in the trigger".to_owned();
            source.warning(code::DELETES_UNUSED, span.clone(), message, hint);
        }
        let before = graph.before(at);
        for (deleted, what) in [(true, "delete"), (false, "change")] {
            let refuses = |at: &&StepFile| !takes(at).takes(deleted);
            if own.takes(deleted)
                && let Some(other) = before.iter().filter_map(|at| files.get(*at)).find(refuses)
            {
                let other = other.id.as_ref().map_or("", |id| &id.value);
                let message = format!("no {what} comes here: `{other}`, before it, takes none");
                let hint = "write `after: trigger`".to_owned();
                source.warning(code::DELETES_UNUSED, span.clone(), message, hint);
            }
        }
        // The data of a delete is empty: a mapping of the data makes a message of nothing.
        if own.takes(true)
            && let Some(Some(step)) = steps.get(at)
            && let Transformation::Default(mapping) = &step.mapping
            && mapping.analysis().reads.iter().any(|read| {
                read.from == Origin::Input && read.path.first().is_some_and(|it| it == "data")
            })
        {
            let (connector, name) = (&step.connector, &step.name);
            let message = format!(
                "the default mapping of `{connector}.{name}` reads `data`, which is empty where \
                 a record is gone"
            );
            let hint = "write a `customMapping` of the `metadata`".to_owned();
            source.warning(code::DELETES_UNUSED, span, message, hint);
        }
    }
}

fn takes(file: &StepFile) -> Takes {
    file.takes.as_ref().and_then(|it| Takes::named(&it.value)).unwrap_or_default()
}
