//! Where in a text something is.

use std::ops::Range;

use crate::finding::{Finding, Place, Severity};

/// A text and the name of its file; collects what is wrong with it.
pub(crate) struct Source<'a> {
    label: &'a str,
    text: &'a str,
    lines: Vec<usize>,
    findings: Vec<Finding>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(label: &'a str, text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { label, text, lines, findings: vec![] }
    }

    pub(crate) const fn text(&self) -> &'a str {
        self.text
    }

    /// The place of a span; one that leaves the text or splits a character is moved inside.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let start = boundary(self.text, span.start);
        let end = boundary(self.text, span.end).max(start);
        let line = self.lines.partition_point(|begin| *begin <= start).max(1);
        let begin = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(begin..start).unwrap_or("").trim_start_matches('\u{feff}');
        let column = before.chars().count() + 1;
        Place { file: self.label.to_owned(), line, column, span: start..end }
    }

    pub(crate) fn error(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        self.add(Severity::Error, code, span, message.into(), hint.into());
    }

    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        self.add(Severity::Warning, code, span, message.into(), hint.into());
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Range<usize>,
        message: String,
        hint: Option<String>,
    ) {
        let place = self.place(span);
        self.findings.push(Finding { severity, code, message, place, hint });
    }

    /// Gives what was found at a place another hint.
    pub(crate) fn hint(&mut self, code: &str, start: usize, hint: &str) {
        let found = self.findings.iter_mut();
        for finding in found.filter(|it| it.code == code && it.place.span.start == start) {
            finding.hint = Some(hint.to_owned());
        }
    }

    /// How many errors were found so far.
    pub(crate) fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.is_error()).count()
    }

    /// What was found, in the order of the file.
    pub(crate) fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| finding.place.span.start);
        self.findings
    }
}

/// The last character boundary at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let source = Source::new("a.yaml", "ä: 1\nbö: 2\n");
        let at =
            |start: usize| (source.place(start..start + 1).line, source.place(start..9).column);
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(1), (1, 1));
        assert_eq!(at(2), (1, 2));
        assert_eq!(at(6), (2, 1));
        assert_eq!(at(9), (2, 3));
        assert_eq!(at(99), (3, 1));
    }
}
