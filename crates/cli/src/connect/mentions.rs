//! Which flow files name which account, without compiling any of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::project::Project;

/// The flows by the accounts that they name. What cannot be read names none.
pub(crate) fn flows_of(project: &Project) -> BTreeMap<String, BTreeSet<String>> {
    let mut flows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in project.flow_files(&[]).unwrap_or_default() {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = text.lines().find_map(|line| line.strip_prefix("flow:")).and_then(value);
        let Some(name) = name.or(stem) else { continue };
        for account in text.split("account:").skip(1).filter_map(value) {
            flows.entry(account).or_default().insert(name.clone());
        }
    }
    flows
}

/// The text behind a colon, without quotes and comments.
fn value(rest: &str) -> Option<String> {
    let line = rest.lines().next()?.split(" #").next()?;
    let value = line.split([',', '}']).next()?.trim().trim_matches(['"', '\'']);
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_name_is_read_in_each_form_of_yaml() {
        for (rest, name) in [
            (" newsletter\n", "newsletter"),
            (" \"news\" # ours\n", "news"),
            (" engagement, use: x }\n", "engagement"),
        ] {
            assert_eq!(value(rest).as_deref(), Some(name));
        }
        assert_eq!(value(" # none\n"), None);
    }
}
