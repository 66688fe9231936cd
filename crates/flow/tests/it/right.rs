//! A right file, its flow and its examples.

use std::time::Duration;

use flow::{Schedule, Transformation};
use proptest::prelude::*;

use crate::crm::{RIGHT, check, connectors, shown};

#[test]
fn a_right_file_becomes_a_flow() {
    assert_eq!(shown(RIGHT), "");
    let flow = check(RIGHT).0.unwrap();
    assert_eq!(flow.name, "contacts-to-crm");
    assert_eq!(flow.trigger.schedule, Some(Schedule::Every(Duration::from_secs(300))));
    assert_eq!(flow.trigger.overlap, Duration::ZERO);
    assert!(matches!(flow.trigger.mapping, Transformation::Default(_)));
    assert_eq!(*flow.trigger.fields, serde_json::json!({"list": "Newsletter", "kind": "active"}));
    assert_eq!(flow.window.get(), 2);
    assert_eq!(flow.max_rejects.at_least, 3);
    let [contacts, again] = flow.steps.as_slice() else { panic!("{:?}", flow.steps) };
    assert_eq!(contacts.batch.get(), 20);
    assert_eq!(contacts.retry.cap, Duration::from_secs(60));
    assert!(matches!(contacts.mapping, Transformation::Custom(_)));
    assert_eq!((again.batch.get(), again.retry.attempts.get()), (50, 5));
    assert!(matches!(again.mapping, Transformation::Skip));
    assert_eq!(*again.fields, serde_json::json!({}));
}

#[test]
fn examples_pass_and_fail_at_their_line() {
    let results = check(RIGHT).0.unwrap().run_tests();
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(flow::TestResult::passed), "{results:?}");

    let wrong = RIGHT
        .replace("name: Ada (DE) }", "nam: Ada (DE) }")
        .replace("name: Grace (DE)", "name: Grace")
        .replace("{ data: { name: Nobody } }", "{ data: [] }");
    let results = check(&wrong).0.unwrap().run_tests();
    let failures = results.iter().flat_map(|result| &result.failures);
    let failures: Vec<_> = failures
        .map(|failure| {
            let step = failure.step.as_deref().unwrap_or("trigger");
            format!("{}: {step}: {}", failure.place.line, failure.message)
        })
        .collect();
    insta::assert_snapshot!(failures.join("\n"), @r#"
    36: contacts: nam: expected "Ada (DE)", got nothing
    name: expected nothing, got "Ada (DE)"
    43: contacts: name: expected "Grace", got "Grace (DE)"
    "#);
}

#[test]
fn a_flow_without_configuration_is_checked_too() {
    let connectors = connectors();
    let context = flow::Context { connectors: &connectors, config: None };
    let (flow, findings) =
        flow::check("a.yaml", &RIGHT.replace("account: sales", "account: x"), &context);
    assert!(findings.is_empty() && flow.is_some(), "{findings:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_an_answer(text in "(?s).{0,200}") {
        shown(&text);
        let (_, findings) = flow::config::check("towpath.yaml", &text, &connectors());
        flow::render(&findings, &text, false);
    }

    /// Pieces of a right file, cut out, repeated and put elsewhere.
    #[test]
    fn any_mutation_is_an_answer(
        from in 0..1500_usize, length in 0..60_usize, to in 0..1500_usize, noise in "[ \\n:{}\\[\\]'\"&*|>#ä-]{0,6}",
    ) {
        let letters: Vec<char> = RIGHT.chars().collect();
        let piece: String = letters.iter().skip(from).take(length).collect();
        let mut text: String = letters.iter().take(to).collect();
        text.push_str(&piece);
        text.push_str(&noise);
        text.extend(letters.iter().skip(to + length));
        shown(&text);
    }
}
