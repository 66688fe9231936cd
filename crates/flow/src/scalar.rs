//! From a position inside a text to the position in the file that the text was written in.

use std::ops::Range;

/// Finds the bytes of the file that hold `inner` of `value`, a scalar written at `outer`.
///
/// Folding, indentation, quotes and escapes only change white space and how single characters
/// are spelled, so the n-th visible character of the value is the n-th visible unit of what is
/// written: right for every style, without knowing which it is.
pub(crate) fn locate(
    file: &str,
    outer: &Range<usize>,
    value: &str,
    inner: Range<usize>,
) -> Range<usize> {
    let written = file.get(outer.clone()).unwrap_or("");
    let units = units(written);
    let start = find(&units, value, inner.start).unwrap_or_else(|| end(&units));
    // The end is the end of the last visible character inside.
    let inside = value.get(inner).unwrap_or("").trim_end();
    let visible = inside.chars().filter(|c| !c.is_whitespace()).count();
    let first = units.partition_point(|unit| unit.start < start);
    let end = visible.checked_sub(1).and_then(|last| units.get(first + last));
    let end = end.map_or(start + 1, |unit| unit.end).max(start);
    outer.start + start..(outer.start + end).min(outer.end.max(outer.start + start))
}

/// The written start of the first visible character at or after `at`.
fn find(units: &[Range<usize>], value: &str, at: usize) -> Option<usize> {
    let before = value.char_indices().take_while(|(index, _)| *index < at);
    let visible = before.filter(|(_, c)| !c.is_whitespace()).count();
    units.get(visible).map(|unit| unit.start)
}

fn end(units: &[Range<usize>]) -> usize {
    units.last().map_or(0, |unit| unit.end)
}

/// The visible characters as written: an escape or a doubled quote is one unit.
fn units(written: &str) -> Vec<Range<usize>> {
    let quote = written.chars().next().filter(|c| matches!(c, '"' | '\''));
    let quote = quote.filter(|c| written.len() > 1 && written.ends_with(*c));
    let mut units = vec![];
    let mut letters = written.char_indices().peekable();
    if quote.is_some() {
        letters.next();
    }
    let end = written.len() - usize::from(quote.is_some());
    while let Some((start, letter)) = letters.next() {
        if start >= end {
            break;
        }
        let mut visible = !letter.is_whitespace();
        match (quote, letter) {
            (Some('\''), '\'') => {
                letters.next_if(|(_, c)| *c == '\'');
            }
            (Some('"'), '\\') => {
                let (digits, shown) = match letters.next().map(|(_, c)| c) {
                    Some('x') => (2, true),
                    Some('u') => (4, true),
                    Some('U') => (8, true),
                    Some('n' | 't' | 'r' | ' ' | '\t' | 'v' | 'f' | 'N' | '_' | 'L' | 'P') => {
                        (0, false)
                    }
                    Some('\n' | '\r') => (0, false),
                    _ => (0, true),
                };
                visible = shown;
                for _ in 0..digits {
                    letters.next_if(|(_, c)| c.is_ascii_hexdigit());
                }
            }
            _ => {}
        }
        if visible {
            let after = letters.peek().map_or(end, |(next, _)| *next);
            units.push(start..after.min(end));
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;
    use crate::yaml;

    #[test]
    fn every_style_points_at_what_is_written() {
        for text in [
            "e: |\n\n  a: 'ü'\n\n    + FAULT\n",
            "e: |2-\n     a\n    + FAULT",
            "e: >\n  one\n  two\n\n   FAULT more\n  end\n",
            "e: 'it''s one ''FAULT'''\n",
            "e: \"a \\\"q\\\" \\u00e4 \\\n   \\n x\n  FAULT\"\n",
            "e: plain text\n   over FAULT lines # comment\n",
            "e: ab & FAULT",
        ] {
            let mut source = Source::new("t", text);
            let root = yaml::read(&mut source).unwrap();
            let node = root.get("e").unwrap();
            let value = node.text().unwrap();
            let at = value.find("FAULT").unwrap();
            let found = locate(text, &node.span, value, at..at + 5);
            assert_eq!(text.get(found), Some("FAULT"), "{text:?}");
            let end = locate(text, &node.span, value, value.len()..value.len());
            assert!(end.start <= text.len() && end.end <= text.len(), "{text:?}");
        }
    }
}
