//! What is the same, and which of two changes wins.

use flow::Prefer;
use serde_json::json;
use store::Echo;

use super::content::form;
use super::meeting::{Read, Verdict, verdict};
use crate::seen::UNVERSIONED;

#[test]
fn what_is_empty_is_not_there_and_lists_have_no_order() {
    let same = [
        (json!({ "a": "x", "b": "" }), json!({ "b": null, "a": " x " })),
        (json!({ "zip": 26122 }), json!({ "zip": "26122" })),
        (json!({ "tags": ["b", "a"] }), json!({ "tags": ["a", "b", "a", ""] })),
        (json!({ "at": [{ "city": "", "zip": null }] }), json!({})),
        (json!(null), json!({ "a": { "b": [] } })),
    ];
    for (one, other) in same {
        assert_eq!(form(&one), form(&other), "{one} {other}");
    }
    let others = [
        (json!({ "a": "x" }), json!({ "a": "X" })),
        (json!({ "a": "x" }), json!({ "b": "x" })),
        (json!({ "a": ["x"] }), json!({ "a": "x" })),
        (json!({ "a": ["x,y"] }), json!({ "a": ["x", "y"] })),
    ];
    for (one, other) in others {
        assert_ne!(form(&one), form(&other), "{one} {other}");
    }
}

#[test]
fn of_two_changes_at_once_the_newer_one_wins_and_a_tie_is_the_flow_s() {
    let echo = |version| Echo { key: [1; 16], content: [1; 8], version, moment: 100, at: 0 };
    let read = |content, asked, version| Read { content: Some([content; 8]), version, asked };
    for (read, version, source, target) in [
        (read(1, 50, 7), 9, Verdict::Echo, Verdict::Echo),
        // Asked for after that was written: somebody changed it since.
        (read(2, 101, 7), 9, Verdict::Later, Verdict::Later),
        (read(2, 100, 9), 7, Verdict::Wins, Verdict::Wins),
        (read(2, 100, 7), 9, Verdict::Loses, Verdict::Loses),
        (read(2, 100, 9), 9, Verdict::Wins, Verdict::Loses),
        (read(2, 100, UNVERSIONED), 9, Verdict::Wins, Verdict::Loses),
        (read(2, 100, 9), UNVERSIONED, Verdict::Wins, Verdict::Loses),
    ] {
        assert_eq!(verdict(&read, &echo(version), Prefer::Source), source);
        assert_eq!(verdict(&read, &echo(version), Prefer::Target), target);
    }
}

#[test]
fn moments_only_rise() {
    let clock = connector::ManualClock::new(connector::Timestamp::from_secs(1_000));
    let first = super::now(&clock);
    let second = super::now(&clock);
    clock.set(connector::Timestamp::from_secs(900));
    assert!(first < second && second < super::now(&clock));
}
