//! Flows of Open Integration Hub, written anew as flow files.
//!
//! Start with [`translate`]. `read` takes the graph from the JSON of its flow repository, `part`
//! translates a node, `settings` says what becomes of a node's settings, and `write` makes the text.
//! What has no counterpart is a [`Note`], in the file and on the terminal; credentials are never
//! copied.

mod part;
mod read;
mod settings;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use connector::Connector;

pub(crate) use read::flows;

use part::{Part, Parts};
use read::{Flow, Node};

/// Something that somebody should know of a flow that was translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// What it is about: `flow`, `trigger` or a step's id.
    pub(crate) at: String,
    pub(crate) text: String,
}

/// An account that a flow needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    /// `None` if no connector is known for it.
    pub(crate) connector: Option<&'static str>,
    /// The id of the credentials there.
    pub(crate) credentials: Option<String>,
    /// What replaced the system's own URL.
    pub(crate) base_url: Option<String>,
}

/// A flow file.
#[derive(Debug)]
pub(crate) struct Translated {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) notes: Vec<Note>,
    pub(crate) accounts: Vec<Account>,
}

/// Translates a flow; `components` are connectors by the ids that the components have there.
///
/// The error says why there is no such flow here at all. Parts of which no connector is known are
/// written down all the same, and `check` finds them.
pub(crate) fn translate(
    flow: &Flow,
    connectors: &[Connector],
    components: &BTreeMap<String, String>,
) -> Result<Translated, String> {
    let ordered = ordered(flow)?;
    let mut parts = Parts::new(connectors, components);
    let (trigger, steps) = ordered.split_first().ok_or("the flow has no nodes")?;
    let trigger_part = parts.trigger(trigger);
    let mut ids: BTreeMap<&str, String> = BTreeMap::new();
    let mut translated: Vec<(Part, Vec<String>)> = vec![];
    for (at, node) in steps.iter().enumerate() {
        let id = free_id(&node.id, at, &ids);
        let mut part = parts.action(node, &id);
        let sources = flow.sources(&node.id);
        let after: Vec<String> = sources
            .iter()
            .map(|source| ids.get(source).cloned().unwrap_or_else(|| "trigger".to_owned()))
            .collect();
        if let Some(step) = after.iter().find(|step| *step != "trigger") {
            part.note(format!(
                "there, this step got what `{step}` gave; here every step gets the trigger's \
                 message, and its expressions see what `{step}` gave as `$steps.{step}`"
            ));
        }
        if after.len() > 1 {
            part.note("there, this step ran once for each step before it; here it waits for all");
        }
        ids.insert(&node.id, id);
        translated.push((part, after));
    }
    let name = name_of(flow);
    let notes = settings::of_flow(flow);
    Ok(write::flow(flow, name, notes, trigger_part, translated, parts.accounts))
}

/// The nodes, the first one without a node before it, each behind those that it follows.
fn ordered(flow: &Flow) -> Result<Vec<&Node>, String> {
    let roots: Vec<&Node> =
        flow.nodes.iter().filter(|node| flow.sources(&node.id).is_empty()).collect();
    match roots.as_slice() {
        [_] => {}
        [] if flow.nodes.is_empty() => return Err("the flow has no nodes".to_owned()),
        [] => return Err("the flow's graph goes round: every node has one before it".to_owned()),
        several => {
            let ids: Vec<_> = several.iter().map(|node| format!("`{}`", node.id)).collect();
            return Err(format!(
                "{} nodes have none before them: {}; a flow here has one trigger: make a flow of each",
                several.len(),
                ids.join(", ")
            ));
        }
    }
    let mut ordered: Vec<&Node> = vec![];
    while ordered.len() < flow.nodes.len() {
        let is_placed = |id: &str| ordered.iter().any(|node| node.id == id);
        let mut left = flow.nodes.iter().filter(|node| !is_placed(&node.id));
        let next = left.find(|node| flow.sources(&node.id).into_iter().all(is_placed));
        match next {
            Some(next) => ordered.push(next),
            None => return Err("the flow's graph goes round".to_owned()),
        }
    }
    Ok(ordered)
}

/// A step's id here, as near to the one there as may be.
fn free_id(id: &str, at: usize, taken: &BTreeMap<&str, String>) -> String {
    let mut letters = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    let mut own: String = letters.next().map(|c| c.to_ascii_lowercase()).into_iter().collect();
    own.extend(letters);
    if !own.starts_with(|c: char| c.is_ascii_lowercase()) {
        own = format!("step{}", at + 1);
    }
    let is_free = |id: &str| id != "trigger" && !taken.values().any(|taken| taken == id);
    let mut numbered = (2_u32..).map(|number| format!("{own}_{number}"));
    if is_free(&own) { own } else { numbered.find(|id| is_free(id)).unwrap_or_default() }
}

/// The flow's name here.
fn name_of(flow: &Flow) -> String {
    let source = flow.name.as_deref().or(flow.id.as_deref()).unwrap_or_default().to_lowercase();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let parts = source.split(|c: char| !fits(c)).filter(|part| !part.is_empty());
    let name: String = parts.collect::<Vec<_>>().join("-").chars().take(100).collect();
    let name = name.trim_end_matches('-');
    if name.is_empty() { "imported-flow".to_owned() } else { name.to_owned() }
}
