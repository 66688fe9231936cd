//! The accounts in the text of towpath.yaml: one added or taken away, all else left as it is.
//!
//! The file is the person's: comments, order and form stay. What is written in another form than
//! one account below another is not touched; then the text to write is told.

use std::ops::Range;

use connector::Connector;

use crate::scaffold;

/// What a setting becomes in the file.
pub(crate) enum Value {
    Text(String),
    /// The name of a secret in the vault.
    Secret(String),
}

/// The lines of an account, for a file whose accounts are indented by so many blanks.
pub(crate) fn account(
    name: &str,
    connector: &Connector,
    base_url: Option<&str>,
    settings: &[(String, Value)],
    indent: usize,
) -> String {
    let (outer, inner) = (" ".repeat(indent), " ".repeat(indent * 2));
    let mut text =
        format!("{outer}{}:\n{inner}connector: {}\n", scaffold::scalar(name), connector.name());
    if let Some(url) = base_url {
        text.push_str(&format!("{inner}baseUrl: {}\n", scaffold::scalar(url)));
    }
    for (setting, value) in settings {
        let value = match value {
            Value::Text(text) => scaffold::scalar(text),
            Value::Secret(name) => format!("{{ secret: {name} }}"),
        };
        text.push_str(&format!("{inner}{setting}: {value}\n"));
    }
    text
}

/// The text with one more account, which `lines` gives for the file's indentation; `None` where
/// its accounts are written in a form that cannot be added to.
pub(crate) fn added(text: &str, lines: impl Fn(usize) -> String) -> Option<String> {
    let Some(section) = Section::find(text) else {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let space = if text.trim().is_empty() { "" } else { "\n" };
        return Some(format!("{text}{end}{space}accounts:\n{}", lines(2)));
    };
    if section.is_empty {
        let before = text.get(..section.head.start)?;
        let after = text.get(section.head.end..)?;
        let head = text.get(section.head)?.trim_end();
        let comment = head.split_once(" #").map_or_else(String::new, |(_, it)| format!(" #{it}"));
        return Some(format!("{before}accounts:{comment}\n{}{after}", lines(2)));
    }
    let indent = section.indent?;
    let (before, after) = (text.get(..section.end)?, text.get(section.end..)?);
    let end = if before.ends_with('\n') { "" } else { "\n" };
    Some(format!("{before}{end}{}{after}", lines(indent)))
}

/// The text without an account; `None` where it is written in a form that cannot be taken out.
pub(crate) fn removed(text: &str, name: &str) -> Option<String> {
    let section = Section::find(text)?;
    let indent = section.indent?;
    let mut found: Option<Range<usize>> = None;
    let mut others = 0;
    for (at, line) in lines(text).filter(|(at, _)| *at >= section.head.end && *at < section.end) {
        let is_entry = blanks(line) == indent && !line.trim().is_empty() && !is_comment(line);
        if is_entry && is_key(line.trim_start(), name) {
            found = Some(at..at + line.len());
        } else if is_entry {
            others += 1;
        } else if let Some(found) = &mut found
            && found.end == at
            && blanks(line) > indent
            && !line.trim().is_empty()
        {
            found.end = at + line.len();
        }
    }
    let found = found?;
    if others == 0 {
        // A key without a value would be a mistake.
        let before = text.get(..section.head.start)?;
        let kept =
            format!("{}{}", text.get(section.head.end..found.start)?, text.get(found.end..)?);
        return Some(format!("{before}accounts: {{}}\n{kept}"));
    }
    Some(format!("{}{}", text.get(..found.start)?, text.get(found.end..)?))
}

/// Where the accounts are.
struct Section {
    /// The line of `accounts:`.
    head: Range<usize>,
    /// How far accounts are indented; `None` where they are not one below another.
    indent: Option<usize>,
    is_empty: bool,
    /// Behind the last line of the last account.
    end: usize,
}

impl Section {
    fn find(text: &str) -> Option<Self> {
        let (start, head) = lines(text).find(|(_, line)| is_key(line, "accounts"))?;
        let value = head.split_once(':').map_or("", |(_, value)| value);
        let value = value.split(" #").next().unwrap_or_default().trim();
        let head = start..start + head.len();
        let mut section = Self { end: head.end, head, indent: None, is_empty: false };
        if !matches!(value, "" | "{}" | "~" | "null") {
            return Some(section);
        }
        for (at, line) in lines(text).filter(|(at, _)| *at >= section.head.end) {
            if line.trim().is_empty() || is_comment(line) {
                continue;
            }
            if blanks(line) == 0 {
                break;
            }
            section.indent.get_or_insert(blanks(line));
            section.end = at + line.len();
        }
        section.is_empty = section.indent.is_none();
        Some(section)
    }
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line)
    })
}

fn blanks(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Whether a line begins with this key, with or without quotes.
fn is_key(line: &str, key: &str) -> bool {
    let forms = [key.to_owned(), format!("\"{key}\""), format!("'{key}'")];
    forms.iter().any(|form| {
        line.strip_prefix(form.as_str()).is_some_and(|rest| {
            let rest = rest.trim_start_matches(' ');
            rest.strip_prefix(':')
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\n', '\r']))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(indent: usize) -> String {
        format!("{}new: X\n", " ".repeat(indent))
    }

    #[test]
    fn an_account_is_added_behind_the_others_and_nothing_else_moves() {
        for (before, after) in [
            ("", "accounts:\n  new: X\n"),
            ("# mine\nvars: { a: 1 }", "# mine\nvars: { a: 1 }\n\naccounts:\n  new: X\n"),
            ("accounts: {} # none\nvars: {}\n", "accounts: # none\n  new: X\nvars: {}\n"),
            ("accounts:\n# soon\nvars: {}\n", "accounts:\n  new: X\n# soon\nvars: {}\n"),
            (
                "accounts:\n    a: # first\n        b: 1\n\n    # trailing\n\nvars: {}\n",
                "accounts:\n    a: # first\n        b: 1\n    new: X\n\n    # trailing\n\nvars: {}\n",
            ),
            ("accounts:\n  a:\n    b: 1", "accounts:\n  a:\n    b: 1\n  new: X\n"),
        ] {
            assert_eq!(added(before, new).as_deref(), Some(after), "{before}");
        }
        assert_eq!(added("accounts: { a: { b: 1 } }\n", new), None);
    }

    #[test]
    fn an_account_is_taken_out_with_its_lines_alone() {
        let text = "accounts:\n  # one\n  a:\n    b: 1\n    # in a\n    c: 2\n\n  # two\n  \"b-c\":\n    d: 1\nvars: {}\n";
        assert_eq!(
            removed(text, "a").as_deref(),
            Some("accounts:\n  # one\n\n  # two\n  \"b-c\":\n    d: 1\nvars: {}\n")
        );
        let one = removed(text, "b-c").unwrap();
        assert_eq!(
            one,
            "accounts:\n  # one\n  a:\n    b: 1\n    # in a\n    c: 2\n\n  # two\nvars: {}\n"
        );
        assert_eq!(
            removed("accounts:\n  a:\n    b: 1\nvars: {}\n", "a").as_deref(),
            Some("accounts: {}\nvars: {}\n")
        );
        assert_eq!(removed(text, "nobody"), None);
        assert_eq!(removed("accounts: { a: { b: 1 } }\n", "a"), None);
    }
}
