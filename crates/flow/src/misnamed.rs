//! Warns of names in a trigger's fields that mean nothing beside the other files of a project.

use crate::finding::{Finding, code};
use crate::source::Source;
use crate::yaml::{self, Node};

/// The warnings about names in the list `key` of the trigger's fields in the file called `label`:
/// `problem` says of each what is wrong with it, and the way out.
pub fn misnamed(
    label: &str,
    text: &str,
    key: &str,
    problem: impl Fn(&str) -> Option<(String, Option<String>)>,
) -> Vec<Finding> {
    let mut source = Source::new(label, text);
    let Some(root) = yaml::read(&mut source) else { return vec![] };
    let fields = root.get("trigger").and_then(|trigger| trigger.get("fields"));
    let names = fields.and_then(|fields| fields.get(key)).and_then(Node::items);
    for node in names.unwrap_or_default() {
        if let Some((message, hint)) = node.text().and_then(&problem) {
            source.warning(code::MISNAMED, node.span.clone(), message, hint);
        }
    }
    source.into_findings().into_iter().filter(|finding| finding.code == code::MISNAMED).collect()
}
