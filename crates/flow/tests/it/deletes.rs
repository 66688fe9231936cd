//! Records that are gone: who finds them, and which steps hear of them.

use async_trait::async_trait;
use connector::prelude::*;
use flow::{Context, Flow, MaxDeletes, Takes};

use crate::crm::connectors;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Contacts<const CHANGES: u8> {}

#[async_trait]
impl<const CHANGES: u8> PollingTrigger for Contacts<CHANGES> {
    type Cursor = u32;
    const CHANGES: Changes = match CHANGES {
        0 => Changes::Timestamps,
        1 => Changes::Content,
        2 => Changes::Both,
        _ => Changes::None,
    };

    async fn poll(&self, _: &Api, _: &Scan<u32>) -> connector::Result<Page<u32>> {
        Ok(Page { records: vec![], next: None })
    }
}

const RIGHT: &str = r#"flow: contacts
trigger:
  use: lists.both
  account: sales
  emitDeletes: true
steps:
  - id: contacts
    use: example-crm.upsertContact
    account: sales
  - id: gone
    use: example-crm.upsertContact
    account: sales
    for: deletes
    after: trigger
    when: metadata.deleted
    fields:
      customMapping: '{ "identity": metadata.recordUid, "name": "gone" }'
tests:
  - given: { metadata: { recordUid: "7" }, data: { name: Ada } }
    expect: { contacts: [ { identity: "7", name: Ada } ], gone: [] }
  - given: { metadata: { recordUid: "7", deleted: true }, data: {} }
    expect: { contacts: [], gone: [ { identity: "7", name: gone } ] }
"#;

fn check(text: &str) -> (Option<Flow>, String) {
    let lists = Connector::new("lists", "https://lists.test", Auth::None)
        .polling::<Contacts<0>>("timestamps", "data")
        .polling::<Contacts<1>>("content", "data")
        .polling::<Contacts<2>>("both", "data")
        .polling::<Contacts<3>>("none", "data");
    let connectors: Vec<_> = connectors().into_iter().chain([lists]).collect();
    let context = Context { connectors: &connectors, config: None };
    let (flow, findings) = flow::check("a.yaml", text, &context);
    // The place alone, without the lines around it.
    let shown = findings.iter().map(|it| {
        let hint = it.hint.as_deref().unwrap_or("-");
        format!("{} {}:{} {} ({hint})\n", it.code, it.place.line, it.place.column, it.message)
    });
    (flow, shown.collect())
}

/// What is said of the right file with something replaced.
fn findings(replaced: &[(&str, &str)]) -> String {
    let text = replaced.iter().fold(RIGHT.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    check(&text).1
}

#[test]
fn deletes_come_to_the_steps_that_are_for_them() {
    let (flow, said) = check(RIGHT);
    assert_eq!(said, "");
    let flow = flow.unwrap();
    assert_eq!(flow.trigger.deletes, Some(MaxDeletes { share: 0.1, at_least: 10 }));
    let takes: Vec<_> = flow.steps.iter().map(|step| step.takes).collect();
    assert_eq!(takes, [Takes::Changes, Takes::Deletes]);
    let results = flow.run_tests();
    assert!(results.iter().all(flow::TestResult::passed), "{results:?}");
    let deleted = flow::message::delete("7");
    assert_eq!(deleted, r#"{"metadata":{"recordUid":"7","deleted":true},"data":{}}"#);
    assert!(flow::message::is_delete(&deleted));
    assert!(!flow::message::is_delete(r#"{"metadata":{"deleted":"true"},"data":{}}"#));
}

#[test]
fn a_share_of_the_records_or_ten_may_be_gone() {
    let limit = MaxDeletes::default();
    for (gone, known, allowed) in
        [(10, 10, true), (11, 11, false), (100, 1000, true), (101, 1000, false)]
    {
        assert_eq!(limit.allows(gone, known), allowed, "{gone} of {known}");
    }
    let (flow, said) =
        check(&RIGHT.replace("emitDeletes: true", "emitDeletes: true\n  maxDeletes: 0.5"));
    assert_eq!(said, "");
    let mut trigger = flow.unwrap().trigger;
    assert!(!trigger.deletes.unwrap().allows(501, 1000));
    trigger.allow_deletes();
    assert!(trigger.deletes.unwrap().allows(1000, 1000));
}

#[test]
fn a_trigger_that_never_reads_everything_cannot_tell_what_is_gone() {
    assert_eq!(findings(&[("lists.both", "lists.content")]), "");
    insta::assert_snapshot!(
        [
            findings(&[("lists.both", "lists.timestamps")]),
            findings(&[("lists.both", "lists.none")]),
            findings(&[("emitDeletes: true", "emitDeletes: true\n  sweep: off")]),
            findings(&[("emitDeletes: true", "emitDeletes: true\n  maxDeletes: 2")]),
        ].concat(),
        @r"
        TP0185 5:16 this trigger asks for what changed and never reads everything (leave `emitDeletes` out)
        TP0185 5:16 this trigger's records are not remembered, so none is missed (leave `emitDeletes` out)
        TP0185 5:16 without a sweep this trigger never reads everything (leave `sweep: off` out)
        TP0112 6:15 `maxDeletes` is at most 1 (-)
        "
    );
}

#[test]
fn deletes_that_come_to_no_step_are_warned_about() {
    let gone_behind = ("    after: trigger\n", "");
    insta::assert_snapshot!(
        [
            findings(&[("    for: deletes\n", "")]),
            findings(&[("emitDeletes: true", "emitDeletes: false\n  maxDeletes: 0.5")]),
            findings(&[gone_behind]),
            findings(&[("for: deletes", "for: all"), gone_behind]),
            findings(&[("id: contacts", "id: contacts\n    for: deletes"), gone_behind]),
            findings(&[("for: deletes", "for: gone")]),
        ].join("---\n"),
        @r"
        TP0186 5:16 no step takes the messages of records that are gone (write `for: deletes` or `for: all` in a step)
        ---
        TP0186 6:15 `maxDeletes` says nothing without `emitDeletes: true` (-)
        TP0186 14:10 the trigger finds no records that are gone (write `emitDeletes: true` in the trigger)
        ---
        TP0186 13:10 no delete comes here: `contacts`, before it, takes none (write `after: trigger`)
        ---
        TP0186 13:10 no delete comes here: `contacts`, before it, takes none (write `after: trigger`)
        ---
        TP0186 8:10 the default mapping of `example-crm.upsertContact` reads `data`, which is empty where a record is gone (write a `customMapping` of the `metadata`)
        ---
        TP0186 5:16 no step takes the messages of records that are gone (write `for: deletes` or `for: all` in a step)
        TP0106 13:10 `for` cannot be this; it is one of changes, deletes, all (-)
        "
    );
}
