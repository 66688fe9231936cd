//! Which step runs behind which.

use std::ops::Range;

use mapping::Mapping;

use crate::fields::CUSTOM;
use crate::file::{After, Spanned, StepFile};
use crate::finding::code;
use crate::source::Source;
use crate::{Step, scalar, suggest};

/// The name of the trigger in `after`.
pub(crate) const TRIGGER: &str = "trigger";

/// The steps of a flow in an order in which each comes behind those that it waits for.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// The steps by their places in the file's list.
    pub(crate) order: Vec<usize>,
    /// For each step of the list the steps that it waits for; none waits for the trigger alone.
    after: Vec<Vec<usize>>,
}

impl Graph {
    /// Reads `after` of all steps, and reports steps that do not exist, wait for themselves, or
    /// are never reached.
    pub(crate) fn check(source: &mut Source<'_>, files: &[StepFile]) -> Self {
        let after: Vec<_> = (0..files.len()).map(|at| waits_for(source, files, at)).collect();
        let mut graph = Self { order: vec![], after };
        while let Some(next) = (0..files.len()).find(|step| graph.is_ready(*step)) {
            graph.order.push(next);
        }
        graph.report_unordered(source, files);
        graph
    }

    fn is_ready(&self, step: usize) -> bool {
        let waits = self.after.get(step).into_iter().flatten();
        !self.order.contains(&step) && waits.into_iter().all(|before| self.order.contains(before))
    }

    fn report_unordered(&self, source: &mut Source<'_>, files: &[StepFile]) {
        let left: Vec<usize> = (0..files.len()).filter(|at| !self.order.contains(at)).collect();
        let mut told: Vec<usize> = vec![];
        for step in left {
            let Some(file) = files.get(step) else { continue };
            let name = |at: usize| format!("`{}`", files.get(at).map_or("", id));
            match self.circle(step) {
                Some(circle) if !circle.iter().any(|step| told.contains(step)) => {
                    let way: Vec<_> = circle.iter().skip(1).map(|at| name(*at)).collect();
                    let mut message = format!("{} waits for itself", name(step));
                    if way.len() > 1 {
                        let way = way.join(", which waits for ");
                        message = format!("{message}: it waits for {way}");
                    }
                    let hint = "take one of them out of an `after`".to_owned();
                    source.error(code::CIRCLE, place(file), message, hint);
                    told.extend(circle);
                }
                Some(_) => {}
                None => {
                    let blocked = self.after.get(step).into_iter().flatten();
                    let blocked = blocked.into_iter().find(|at| !self.order.contains(at));
                    let behind = blocked.map(|at| name(*at)).unwrap_or_default();
                    let message = format!("never reached: it waits for {behind}, which never runs");
                    source.error(code::UNREACHABLE, place(file), message, None);
                }
            }
        }
    }

    /// The way from a step over those it waits for back to itself, both ends included.
    fn circle(&self, step: usize) -> Option<Vec<usize>> {
        let mut ways = vec![vec![step]];
        let mut visited = vec![];
        while let Some(way) = ways.pop() {
            let last = way.last().copied()?;
            for before in self.after.get(last).into_iter().flatten() {
                let mut longer = way.clone();
                longer.push(*before);
                if *before == step {
                    return Some(longer);
                }
                if !visited.contains(before) {
                    visited.push(*before);
                    ways.push(longer);
                }
            }
        }
        None
    }

    /// What is wrong with reading the result of `read` in the step at a place, and the way out.
    fn missing_result(
        &self,
        files: &[StepFile],
        at: usize,
        read: &str,
    ) -> Option<(String, Option<String>)> {
        let waits = |step: usize| self.after.get(step).cloned().unwrap_or_default();
        let earlier: Vec<&str> =
            behind(at, waits).iter().filter_map(|at| files.get(*at)).map(id).collect();
        if earlier.contains(&read) {
            return None;
        }
        let Some(place) = files.iter().position(|file| id(file) == read) else {
            let message = format!("`$steps.{read}` is nothing: there is no such step");
            return Some((message, suggest::hint(read, earlier.iter().copied())));
        };
        if place == at || behind(place, waits).contains(&at) {
            return Some((format!("`$steps.{read}` is nothing yet: it runs later"), None));
        }
        let reader = files.get(at).map_or("", id);
        let message = format!("`$steps.{read}` is nothing here: `{reader}` does not wait for it");
        Some((message, Some(format!("add `{read}` to `after`"))))
    }

    /// The steps that a step waits for, directly or behind one another, by their places in the
    /// list.
    pub(crate) fn before(&self, step: usize) -> Vec<usize> {
        behind(step, |at| self.after.get(at).cloned().unwrap_or_default())
    }

    /// The steps that a step waits for, by their places in the order.
    pub(crate) fn after(&self, step: usize) -> Vec<usize> {
        let before = self.after.get(step).into_iter().flatten();
        before.filter_map(|before| self.order.iter().position(|at| at == before)).collect()
    }
}

/// Reports expressions that read the result of a step that does not run before theirs; `steps` are
/// those of the file, where they could be read.
pub(crate) fn check_results(
    source: &mut Source<'_>,
    files: &[StepFile],
    steps: &[Option<Step>],
    graph: &Graph,
) {
    for ((at, file), step) in files.iter().enumerate().zip(steps) {
        let Some(step) = step else { continue };
        let custom = file.fields.as_ref().and_then(|fields| fields.get(CUSTOM));
        let expressions = [
            step.when.as_ref().zip(file.when.as_ref().map(|when| when.span.clone())),
            step.mapping.mapping().zip(custom.map(|node| node.span.clone())),
        ];
        for (expression, span) in expressions.into_iter().flatten() {
            for read in expression.members_read("steps") {
                if let Some((message, hint)) = graph.missing_result(files, at, &read) {
                    let span = place_of(source, expression, &span, &format!("$steps.{read}"));
                    source.error(code::RESULT, span, message, hint);
                }
            }
        }
    }
}

/// Reports a trigger's mapping that reads results: no step has run before it.
pub(crate) fn check_trigger(source: &mut Source<'_>, mapping: &Mapping, span: &Range<usize>) {
    for read in mapping.members_read("steps") {
        let message =
            format!("`$steps.{read}` is nothing here: the trigger comes before all steps");
        let span = place_of(source, mapping, span, &format!("$steps.{read}"));
        source.error(code::RESULT, span, message, None);
    }
}

/// Where an expression, which is written at `outer`, says `name`; all of it if that is not found.
fn place_of(
    source: &Source<'_>,
    expression: &Mapping,
    outer: &Range<usize>,
    name: &str,
) -> Range<usize> {
    let text = expression.source();
    let Some(start) = text.find(name) else { return outer.clone() };
    scalar::locate(source.text(), outer, text, start..start + name.len())
}

/// The steps that have to be done before a step, directly or behind one another.
pub(crate) fn behind(step: usize, after: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    let mut found: Vec<usize> = vec![];
    let mut open = after(step);
    while let Some(step) = open.pop() {
        if !found.contains(&step) {
            found.push(step);
            open.extend(after(step));
        }
    }
    found.sort_unstable();
    found
}

/// The steps that one waits for, by their places in the list: those that `after` names, else the
/// one above.
fn waits_for(source: &mut Source<'_>, files: &[StepFile], at: usize) -> Vec<usize> {
    let named = match files.get(at).and_then(|file| file.after.as_ref()) {
        None => return at.checked_sub(1).into_iter().collect(),
        Some(After::One(one)) => std::slice::from_ref(one),
        Some(After::Several(several)) => several.as_slice(),
    };
    let mut found = vec![];
    for Spanned { value, span } in named {
        if value == TRIGGER {
            continue;
        }
        match files.iter().position(|file| id(file) == value) {
            Some(step) if !found.contains(&step) => found.push(step),
            Some(_) => {}
            None => {
                let message = format!("there is no step `{value}`");
                let hint = suggest::hint(value, files.iter().map(id).chain([TRIGGER]));
                source.error(code::AFTER, span.clone(), message, hint);
            }
        }
    }
    found
}

fn id(file: &StepFile) -> &str {
    file.id.as_ref().map_or("", |id| &id.value)
}

/// Where a step says what it waits for.
fn place(file: &StepFile) -> Range<usize> {
    match &file.after {
        Some(After::One(one)) => one.span.clone(),
        Some(After::Several(several)) => match (several.first(), several.last()) {
            (Some(first), Some(last)) => first.span.start..last.span.end,
            _ => file.span.clone(),
        },
        None => file.id.as_ref().map_or_else(|| file.span.clone(), |id| id.span.clone()),
    }
}
