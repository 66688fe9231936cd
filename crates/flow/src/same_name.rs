//! Says that a flow's name is taken by another file.

use crate::finding::{Finding, code};
use crate::source::Source;
use crate::yaml;

/// The finding that the flow in the file called `label` has the name of the one in the file
/// `other`: state belongs to a name, so only one of them can run.
pub fn same_name(label: &str, text: &str, other: &str) -> Option<Finding> {
    let mut source = Source::new(label, text);
    let root = yaml::read(&mut source)?;
    let name = root.get("flow")?;
    let message =
        format!("{other} already has a flow `{}`", name.text().unwrap_or_default().trim());
    let hint = "state belongs to a flow's name: give one of the two another".to_owned();
    source.error(code::SAME_NAME, name.span.clone(), message, hint);
    source.into_findings().into_iter().find(|finding| finding.code == code::SAME_NAME)
}
