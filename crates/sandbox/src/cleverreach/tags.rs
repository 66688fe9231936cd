//! Tags: what may be in one, and what a list of them makes of those that are there.

use crate::options::UpsertTags;

/// As long may the origin of a tag be, as the vendor's own plug-ins cut it.
const LONGEST_ORIGIN: usize = 50;

/// Adds tags, or replaces them. `-tag` takes one away, `-origin.*` all of an origin; what a tag
/// may not hold becomes `_`.
pub(super) fn change(tags: &mut Vec<String>, given: &[String], how: UpsertTags) {
    if how == UpsertTags::Replace && !given.is_empty() {
        tags.clear();
    }
    for tag in given {
        if let Some(gone) = tag.strip_prefix('-') {
            match gone.strip_suffix(".*") {
                Some(origin) => tags.retain(|tag| tag.split('.').next() != Some(origin)),
                None => tags.retain(|tag| tag != gone),
            }
            continue;
        }
        let tag = clean(tag);
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
}

fn clean(tag: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let tag: String = tag.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    match tag.split_once('.') {
        Some((origin, name)) if origin.chars().count() > LONGEST_ORIGIN => {
            let origin: String = origin.chars().take(LONGEST_ORIGIN).collect();
            format!("{origin}.{name}")
        }
        _ => tag,
    }
}
