//! The tags of an XML text, as far as a look at a logo needs them.

/// A tag: `<name a="b">`, `<name/>` or `</name>`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// Without the prefix of its name space.
    pub(super) name: &'a str,
    pub(super) attributes: Vec<(&'a str, &'a str)>,
    /// Whether it ends an element that was begun before.
    pub(super) ends: bool,
    /// Whether it ends its own.
    pub(super) empty: bool,
}

impl<'a> Tag<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.trim())
    }
}

/// The tags in their order, comments and the like left out; `None` where the text is no XML.
pub(super) fn tags(text: &str) -> Option<Vec<Tag<'_>>> {
    let mut tags = vec![];
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once('<') {
        let skipped = [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>"), ("!", ">")];
        if let Some((from, to)) = skipped.iter().find(|(from, _)| begun.starts_with(from)) {
            rest = begun.get(from.len()..)?.split_once(to)?.1;
            continue;
        }
        let (tag, behind) = tag(begun)?;
        tags.push(tag);
        rest = behind;
    }
    Some(tags)
}

/// The tag whose `<` was read, and what is behind it.
fn tag(text: &str) -> Option<(Tag<'_>, &str)> {
    let (ends, text) = match text.strip_prefix('/') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let end = text.find(|c: char| c.is_whitespace() || c == '>' || c == '/')?;
    let (name, mut rest) = text.split_at(end);
    let name = name.rsplit(':').next().filter(|name| !name.is_empty())?;
    let mut attributes = vec![];
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix("/>") {
            return Some((Tag { name, attributes, ends, empty: true }, behind));
        }
        if let Some(behind) = rest.strip_prefix('>') {
            return Some((Tag { name, attributes, ends, empty: false }, behind));
        }
        let (key, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, behind) = value.get(1..)?.split_once(quote)?;
        attributes.push((key.trim(), value));
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_with_their_attributes() {
        let text = "<?xml version='1.0'?><!-- <no> --><svg:svg a = \"1 > 0\" b='2'><g/></svg:svg>";
        let tags = tags(text).unwrap();
        let names: Vec<_> = tags.iter().map(|tag| (tag.name, tag.ends, tag.empty)).collect();
        assert_eq!(names, [("svg", false, false), ("g", false, true), ("svg", true, false)]);
        let first = tags.first().unwrap();
        assert_eq!((first.get("a"), first.get("b")), (Some("1 > 0"), Some("2")));
        for odd in ["<svg", "<svg a=1>", "< >", "<!-- "] {
            assert!(super::tags(odd).is_none(), "{odd}");
        }
    }
}
