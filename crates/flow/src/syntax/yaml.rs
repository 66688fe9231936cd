//! What the YAML parser complains of, in words for who wrote the file.

use std::ops::Range;

/// A complaint: its place, what is wrong, and the way out.
pub(crate) struct Complaint {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// Explains what the parser said at a byte of the text.
pub(crate) fn explain(said: &str, text: &str, at: usize) -> Complaint {
    let is = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let (span, message, hint) = if is(&["tab"]) {
        let tab = text.get(..at).and_then(|before| before.rfind('\t'));
        let inside = tab.filter(|tab| text.get(*tab..at).is_some_and(|it| !it.contains('\n')));
        let tab = inside.unwrap_or(at);
        (tab..tab + 1, "a tab cannot indent", "put spaces in its place")
    } else if is(&["unknown anchor"]) {
        let hint = "put quotes around text that begins with `*`: YAML takes it for an alias";
        (at..at + 1, "there is no anchor for this alias", hint)
    } else if is(&["mapping values are not allowed"]) {
        let hint = "put quotes around text with `: ` in it; if it is a key, indent it like its \
                    neighbours";
        (at..at + 1, "a `:` that cannot be here: the line already has a value", hint)
    } else if is(&["quoted scalar"]) && is(&["indentation", "document indicator", "eof"]) {
        let quote = opened(text, at).unwrap_or(at);
        let hint = "put the same quotation mark at the end of the text";
        (quote..quote + 1, "a quotation mark that is not closed", hint)
    } else if is(&["expected '-' indicator", "did not find expected key"]) {
        let hint = "indent all keys of one object alike, and each `- ` of one list";
        (at..at + 1, "this is indented unlike the lines above", hint)
    } else {
        let hint = "indent with spaces, and put quotes around text with `: ` or ` #` in it";
        (at..at + 1, said, hint)
    };
    Complaint { span, message: message.to_owned(), hint: hint.to_owned() }
}

/// The last quotation mark before `at` that no other on its line closes.
fn opened(text: &str, at: usize) -> Option<usize> {
    let before = text.get(..at)?;
    let mut end = before.len();
    for line in before.split_inclusive('\n').rev() {
        let start = end - line.len();
        for quote in ['"', '\''] {
            if line.matches(quote).count() % 2 == 1 {
                return line.rfind(quote).map(|at| start + at);
            }
        }
        end = start;
    }
    None
}
