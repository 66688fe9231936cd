//! Whether an output is what a guide shows, but for what differs each time.
//!
//! A line with only `…` stands for any lines, `[…]` inside a line for any text. Times, durations
//! and rates differ between machines and are taken as alike.

use std::sync::LazyLock;

use regex::Regex;

/// What differs between two runs of the same command, and what is compared in its place.
static DIFFERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "TIME"),
        (r"\b[\d,.]+ records/s", "RATE"),
        (r"\b\d+(\.\d+)? ?(ms|µs|s)\b", "DURATION"),
    ];
    rules.map(|(rule, name)| (Regex::new(rule).unwrap(), name)).into()
});

/// Tells whether `got` is what `shown` shows.
pub(crate) fn alike(shown: &[String], got: &[String]) -> bool {
    lines(&all_plain(shown), &all_plain(got))
}

/// The lines without what differs, less empty ones at the end.
fn all_plain(lines: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = lines.iter().map(|line| plain(line)).collect();
    lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |at| at + 1));
    lines
}

fn plain(line: &str) -> String {
    let line = line.trim_end().to_owned();
    DIFFERS.iter().fold(line, |line, (rule, name)| rule.replace_all(&line, *name).into_owned())
}

fn lines(shown: &[String], got: &[String]) -> bool {
    match (shown, got) {
        ([], []) => true,
        ([any, shown @ ..], _) if any == "…" => {
            (0..=got.len()).any(|skipped| lines(shown, &got[skipped..]))
        }
        ([first, shown @ ..], [line, got @ ..]) => text(first, line) && lines(shown, got),
        _ => false,
    }
}

fn text(shown: &str, got: &str) -> bool {
    let Some((before, after)) = shown.split_once("[…]") else { return shown == got };
    let Some(rest) = got.strip_prefix(before) else { return false };
    let mut tails = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    tails.any(|at| rest.get(at..).is_some_and(|tail| text(after, tail)))
}

#[test]
fn only_what_differs_each_time_may_differ() {
    let of = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (shown, got, expected) in [
        ("done in 0.38 s: 3 found", "done in 12.01 s: 3 found", true),
        ("done in 0.38 s: 3 found", "done in 0.38 s: 4 found", false),
        (
            "at 2026-01-01T00:00:00Z, 5 records/s",
            "at 2027-02-03T04:05:06Z, 1,234.5 records/s",
            true,
        ),
        ("a\n…\nd", "a\nb\nc\nd", true),
        ("a\n…\nd", "a\nb\nc", false),
        ("in […]/x of […]", "in /tmp/1/x of it  ", true),
        ("in […]/x", "in /tmp/1/y", false),
        ("a", "a\n\n", true),
        ("", "more", false),
    ] {
        assert_eq!(alike(&of(shown), &of(got)), expected, "{shown} / {got}");
    }
}
