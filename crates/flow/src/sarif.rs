//! Findings as SARIF 2.1.0, the format in which code hosts and editors take them.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Value, json};

use crate::finding::{CODES, Code, Finding, Severity};

/// The findings of one run as a SARIF log: `files` holds what was found in each file, and its text.
///
/// Columns and offsets count characters, and lines and columns begin with 1. Only the rules that
/// results refer to are listed, each with its whole page.
pub fn sarif<'a>(files: impl IntoIterator<Item = (&'a [Finding], &'a str)>) -> Value {
    let files: Vec<_> = files.into_iter().collect();
    let found = files.iter().flat_map(|(findings, _)| findings.iter().map(|finding| finding.code));
    let mut rules: BTreeMap<&str, usize> = found.map(|code| (code, 0)).collect();
    for (place, index) in rules.values_mut().enumerate() {
        *index = place;
    }
    let described = rules.keys().filter_map(|code| CODES.iter().find(|known| known.code == *code));
    let described: Vec<Value> = described.map(rule).collect();
    let results: Vec<Value> = files
        .iter()
        .flat_map(|(findings, text)| {
            let lines = Lines::new(text);
            findings.iter().map(move |finding| (finding, lines.region(&finding.place.span)))
        })
        .map(|(finding, region)| result(finding, &region, rules.get(finding.code)))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "towpath",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": described,
                },
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &Code) -> Value {
    json!({
        "id": code.code,
        "shortDescription": { "text": code.title },
        "help": { "text": code.page, "markdown": code.page },
    })
}

fn result(finding: &Finding, region: &Value, rule: Option<&usize>) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let hint = finding.hint.iter().map(|hint| format!("; {hint}"));
    let text: String = std::iter::once(finding.message.clone()).chain(hint).collect();
    json!({
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": level,
        "message": { "text": text },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&finding.place.file) },
                "region": region,
            },
        }],
    })
}

/// A path as a URI: relative ones stay so.
fn uri(path: &str) -> String {
    let path = path.replace('\\', "/");
    let path = path.strip_prefix("./").unwrap_or(&path);
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

/// Where the lines of a text begin. A mark of the byte order at its beginning is not counted.
struct Lines<'a> {
    text: &'a str,
    /// How many bytes were left out at the beginning.
    mark: usize,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(whole: &'a str) -> Self {
        let text = whole.trim_start_matches('\u{feff}');
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { text, mark: whole.len() - text.len(), starts }
    }

    /// The lines, columns and characters of a span of the whole text.
    fn region(&self, span: &Range<usize>) -> Value {
        let start = span.start.saturating_sub(self.mark);
        let end = span.end.saturating_sub(self.mark).max(start);
        let [(start_line, start_column), (end_line, end_column)] =
            [start, end].map(|at| self.place(at));
        let count = |range: Range<usize>| self.text.get(range).map_or(0, |it| it.chars().count());
        json!({
            "startLine": start_line,
            "startColumn": start_column,
            "endLine": end_line,
            "endColumn": end_column,
            "charOffset": count(0..start),
            "charLength": count(start..end),
        })
    }

    /// Line and column, from 1.
    fn place(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or("");
        (line, before.chars().count() + 1)
    }
}
