//! Wrong files and what is said about them.

use crate::crm::{RIGHT, check, shown};

/// The right file with one thing replaced.
fn wrong(from: &str, to: &str) -> String {
    assert!(RIGHT.contains(from), "{from}");
    RIGHT.replacen(from, to, 1)
}

#[test]
fn not_yaml() {
    insta::assert_snapshot!(shown("flow: a\ntrigger: {\n  use: b\n"), @r"
    TP0101

      × unclosed bracket '{'
       ╭─[a.yaml:2:10]
     1 │ flow: a
     2 │ trigger: {
       ·          ─
     3 │   use: b
       ╰────
      help: indent with spaces, and put quotes around text with `: ` or ` #` in it
    ");
}

#[test]
fn keys() {
    let text = "flow: My Flow\nflow: b\ntriger: {}\nsteps: []\nwindow: 0\nmaxRejects: { share: 20 }\nabout: 7\n";
    insta::assert_snapshot!(shown(text), @r"
    TP0110

      × a flow's name has small letters, digits and hyphens, at most 100
       ╭─[a.yaml:1:7]
     1 │ flow: My Flow
       ·       ───────
     2 │ flow: b
       ╰────
      help: for example `my-flow`

    TP0103

      × `flow` is already there, in line 1
       ╭─[a.yaml:2:1]
     1 │ flow: My Flow
     2 │ flow: b
       · ────
     3 │ triger: {}
       ╰────
      help: keep one of the two

    TP0104

      × a flow has no `triger`
       ╭─[a.yaml:3:1]
     2 │ flow: b
     3 │ triger: {}
       · ──────
     4 │ steps: []
       ╰────
      help: did you mean `trigger`?

    TP0105

      × `steps` has at least 1
       ╭─[a.yaml:4:8]
     3 │ triger: {}
     4 │ steps: []
       ·        ──
     5 │ window: 0
       ╰────

    TP0112

      × `window` is at least 1
       ╭─[a.yaml:5:9]
     4 │ steps: []
     5 │ window: 0
       ·         ─
     6 │ maxRejects: { share: 20 }
       ╰────

    TP0112

      × `share` is at most 1
       ╭─[a.yaml:6:22]
     5 │ window: 0
     6 │ maxRejects: { share: 20 }
       ·                      ──
     7 │ about: 7
       ╰────

    TP0106

      × `about` is text, not a number
       ╭─[a.yaml:7:8]
     6 │ maxRejects: { share: 20 }
     7 │ about: 7
       ·        ─
       ╰────
      help: put quotes around it
    ");
}

#[test]
fn names_that_nobody_knows() {
    let text = "\
flow: a
trigger: { use: exmaple-crm.contactChanged, account: sales }
steps:
  - { id: one, use: example-crm.upsertContct, account: salse }
  - { id: two, use: example-crm.contactChanged, account: mail }
  - { id: three, use: example-crm.upsertContact, account: mail }
";
    insta::assert_snapshot!(shown(text), @r"
    TP0120

      × there is no connector `exmaple-crm`
       ╭─[a.yaml:2:17]
     1 │ flow: a
     2 │ trigger: { use: exmaple-crm.contactChanged, account: sales }
       ·                 ──────────────────────────
     3 │ steps:
       ╰────
      help: did you mean `example-crm`?

    TP0122

      × `example-crm` has no action `upsertContct`
       ╭─[a.yaml:4:21]
     3 │ steps:
     4 │   - { id: one, use: example-crm.upsertContct, account: salse }
       ·                     ────────────────────────
     5 │   - { id: two, use: example-crm.contactChanged, account: mail }
       ╰────
      help: did you mean `upsertContact`?

    TP0123

      × there is no account `salse`
       ╭─[a.yaml:4:56]
     3 │ steps:
     4 │   - { id: one, use: example-crm.upsertContct, account: salse }
       ·                                                        ─────
     5 │   - { id: two, use: example-crm.contactChanged, account: mail }
       ╰────
      help: did you mean `sales`?

    TP0122

      × `example-crm` has no action `contactChanged`
       ╭─[a.yaml:5:21]
     4 │   - { id: one, use: example-crm.upsertContct, account: salse }
     5 │   - { id: two, use: example-crm.contactChanged, account: mail }
       ·                     ──────────────────────────
     6 │   - { id: three, use: example-crm.upsertContact, account: mail }
       ╰────
      help: `contactChanged` is a trigger: use it under `trigger`

    TP0124

      × account `mail` is of `other`, not `example-crm`
       ╭─[a.yaml:6:59]
     5 │   - { id: two, use: example-crm.contactChanged, account: mail }
     6 │   - { id: three, use: example-crm.upsertContact, account: mail }
       ·                                                           ────
       ╰────
      help: known: `sales`
    ");
}

#[test]
fn fields() {
    let text = wrong(
        "list: Newsletter\n    kind: active",
        "lists: 7\n    kind: actve\n    pageSize: many",
    );
    insta::assert_snapshot!(shown(&text), @r"
    TP0130

      × `example-crm.contactChanged` has no `lists`
        ╭─[a.yaml:10:5]
      9 │   fields:
     10 │     lists: 7
        ·     ─────
     11 │     kind: actve
        ╰────
      help: did you mean `list`?

    TP0133

      × `kind` cannot be this; it is one of active, all
        ╭─[a.yaml:11:11]
     10 │     lists: 7
     11 │     kind: actve
        ·           ─────
     12 │     pageSize: many
        ╰────
      help: did you mean `active`?

    TP0132

      × `pageSize` is a whole number, not text
        ╭─[a.yaml:12:15]
     11 │     kind: actve
     12 │     pageSize: many
        ·               ────
     13 │ 
        ╰────
    ");
}

#[test]
fn a_field_without_a_default_is_needed() {
    insta::assert_snapshot!(shown(&wrong("    list: Newsletter\n", "")), @r#"
    TP0131

      × `example-crm.contactChanged` needs `list`
        ╭─[a.yaml:10:5]
      9 │   fields:
     10 │     kind: active
        ·     ────
     11 │ 
        ╰────
      help: `list`: The list to read
    "#);
}

#[test]
fn fields_that_the_type_refuses() {
    insta::assert_snapshot!(shown(&wrong("kind: active", "pageSize: 501")), @r"
    TP0134

      × `example-crm.contactChanged` does not take these fields: `pageSize` is at most 500
        ╭─[a.yaml:10:5]
      9 │   fields:
     10 │     list: Newsletter
        ·     ────────────────
     11 │     pageSize: 501
        ╰────
    ");
}

#[test]
fn durations_and_numbers() {
    let text = wrong("every: 5m", "every: 5 minutes")
        .replace("overlap: 0s", "overlap: 90")
        .replace("batch: 20", "batch: 51")
        .replace("base: 2s, cap: 1m", "base: 2m, cap: 1m");
    insta::assert_snapshot!(shown(&text), @r#"
    TP0111

      × `5 minutes` is not a whole number and a unit
       ╭─[a.yaml:7:10]
     6 │   account: sales
     7 │   every: 5 minutes
       ·          ─────────
     8 │   overlap: 90
       ╰────
      help: write `5m`

    TP0106

      × `overlap` is text, not a number
       ╭─[a.yaml:8:12]
     7 │   every: 5 minutes
     8 │   overlap: 90
       ·            ──
     9 │   fields:
       ╰────
      help: write it with its unit: `90s`

    TP0112

      × `upsertContact` takes at most 50 in a batch
        ╭─[a.yaml:19:12]
     18 │     when: data.name != "Nobody"
     19 │     batch: 51
        ·            ──
     20 │     retry: { attempts: 3, base: 2m, cap: 1m }
        ╰────

    TP0111

      × `cap` is shorter than `base`: no wait could be both
        ╭─[a.yaml:20:42]
     19 │     batch: 51
     20 │     retry: { attempts: 3, base: 2m, cap: 1m }
        ·                                          ──
     21 │     fields:
        ╰────
    "#);
}

#[test]
fn expressions_in_blocks_and_quotes() {
    let text = wrong("\"name\": data.name &", "\"name\": data.näme & &")
        .replace("when: data.name != \"Nobody\"", "when: 'data[type = ''x'''");
    insta::assert_snapshot!(shown(&text), @r#"
    TP0140

      × bad JSONata: expected "]" before end of expression (S0203)
        ╭─[a.yaml:18:29]
     17 │     after: trigger
     18 │     when: 'data[type = ''x'''
        ·                             ─
     19 │     batch: 20
        ╰────
      help: close what was opened, in the order of its opening

    TP0140

      × bad JSONata: the symbol "&" cannot be used as a unary operator (S0211)
        ╭─[a.yaml:25:32]
     24 │           "identity": metadata.recordUid,
     25 │           "name": data.näme & & " (" & $flow.vars.country & ")"
        ·                               ─
     26 │         }
        ╰────
    "#);
}

#[test]
fn an_expression_in_a_folded_block() {
    let text = wrong("customMapping: |\n        {", "customMapping: >-\n        { \"a\": (1 + ),");
    insta::assert_snapshot!(shown(&text), @r#"
    TP0140

      × bad JSONata: the symbol ")" cannot be used as a unary operator (S0211)
        ╭─[a.yaml:23:21]
     22 │       customMapping: >-
     23 │         { "a": (1 + ),
        ·                     ─
     24 │           "identity": metadata.recordUid,
        ╰────
      help: a value is missing before this
    "#);
}

#[test]
fn mappings() {
    let text =
        wrong("skipTransformation: true", "skipTransformation: \"yes\", customMapping: { a: 1 }");
    insta::assert_snapshot!(shown(&text), @r#"
    TP0141

      × `skipTransformation` is true or false, not text
        ╭─[a.yaml:27:96]
     26 │         }
     27 │   - { id: again, use: example-crm.upsertContact, account: sales, fields: { skipTransformation: "yes", customMapping: { a: 1 } } }
        ·                                                                                                ─────
     28 │ 
        ╰────
      help: write `true` or `false`, without quotes

    TP0142

      × `customMapping` is a JSONata expression as text, not an object
        ╭─[a.yaml:27:118]
     26 │         }
     27 │   - { id: again, use: example-crm.upsertContact, account: sales, fields: { skipTransformation: "yes", customMapping: { a: 1 } } }
        ·                                                                                                                      ────────
     28 │ 
        ╰────
      help: write `customMapping: |` and the expression indented below it
    "#);
    let text = wrong("skipTransformation: true", "skipTransformation: true, customMapping: data");
    insta::assert_snapshot!(shown(&text), @r"
    TP0143

      ⚠ `customMapping` is never used: `skipTransformation` is true
        ╭─[a.yaml:27:102]
     26 │         }
     27 │   - { id: again, use: example-crm.upsertContact, account: sales, fields: { skipTransformation: true, customMapping: data } }
        ·                                                                                                      ─────────────
     28 │ 
        ╰────
      help: remove one of the two
    ");
}

#[test]
fn secrets_are_found_and_not_shown() {
    let text = wrong("list: Newsletter", "list: Newsletter\n    apiKey: not-a-real-key-1")
        .replace("data.name != \"Nobody\"", "'\"Bearer not-a-real-token-0123\" = data.x'");
    let shown = shown(&text);
    assert!(!shown.contains("not-a-real"), "{shown}");
    insta::assert_snapshot!(shown, @r"
    TP0130

      × `example-crm.contactChanged` has no `apiKey`
        ╭─[a.yaml:11:5]
     10 │     list: Newsletter
     11 │     apiKey: ****************
        ·     ──────
     12 │     kind: active
        ╰────
      help: known: `list`, `kind`, `pageSize`

    TP0150

      × `apiKey` looks like a secret
        ╭─[a.yaml:11:13]
     10 │     list: Newsletter
     11 │     apiKey: ****************
        ·             ────────────────
     12 │     kind: active
        ╰────
      help: put it into the account in `towpath.yaml` as `{ secret: NAME }`, `{ env: NAME }` or
            `{ file: PATH }`, and change it if the file was shared

    TP0150

      × this looks like a secret
        ╭─[a.yaml:19:11]
     18 │     after: trigger
     19 │     when: ******** ********************** * *******
        ·           ─────────────────────────────────────────
     20 │     batch: 20
        ╰────
      help: put it into the account in `towpath.yaml` as `{ secret: NAME }`, `{ env: NAME }` or
            `{ file: PATH }`, and change it if the file was shared
    ");
}

#[test]
fn graphs() {
    let step = |id: &str, rest: &str| {
        format!(
            "  - {{ id: {id}, use: example-crm.upsertContact, account: sales, {rest} \
             fields: {{ skipTransformation: true }} }}\n"
        )
    };
    let (before, after) = RIGHT.split_once("  - { id: again").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let text = [
        before.to_owned(),
        step("again", "after: trigger,"),
        step("one", "after: [again, three],"),
        step("two", "when: $steps.agian.ok,"),
        step("three", ""),
        step("four", "after: two,"),
        step("own", "after: own,"),
        step("join", "after: [contacts, again], when: '$steps.contacts.id and $steps.own',"),
        step("early", "after: contacts, when: $steps.late,"),
        step("late", ""),
        after.to_owned(),
    ];
    let text =
        text.concat().replace("kind: active", "kind: active\n    customMapping: $steps.one.id");
    insta::assert_snapshot!(shown(&text), @r#"
    TP0118

      × `$steps.one` is nothing here: the trigger comes before all steps
        ╭─[a.yaml:12:20]
     11 │     kind: active
     12 │     customMapping: $steps.one.id
        ·                    ──────────
     13 │ 
        ╰────

    TP0116

      × `one` waits for itself: it waits for `three`, which waits for `two`, which waits for `one`
        ╭─[a.yaml:29:72]
     28 │   - { id: again, use: example-crm.upsertContact, account: sales, after: trigger, fields: { skipTransformation: true } }
     29 │   - { id: one, use: example-crm.upsertContact, account: sales, after: [again, three], fields: { skipTransformation: true } }
        ·                                                                        ────────────
     30 │   - { id: two, use: example-crm.upsertContact, account: sales, when: $steps.agian.ok, fields: { skipTransformation: true } }
        ╰────
      help: take one of them out of an `after`

    TP0118

      × `$steps.agian` is nothing: there is no such step
        ╭─[a.yaml:30:70]
     29 │   - { id: one, use: example-crm.upsertContact, account: sales, after: [again, three], fields: { skipTransformation: true } }
     30 │   - { id: two, use: example-crm.upsertContact, account: sales, when: $steps.agian.ok, fields: { skipTransformation: true } }
        ·                                                                      ────────────
     31 │   - { id: three, use: example-crm.upsertContact, account: sales,  fields: { skipTransformation: true } }
        ╰────
      help: did you mean `again`?

    TP0117

      × never reached: it waits for `two`, which never runs
        ╭─[a.yaml:32:72]
     31 │   - { id: three, use: example-crm.upsertContact, account: sales,  fields: { skipTransformation: true } }
     32 │   - { id: four, use: example-crm.upsertContact, account: sales, after: two, fields: { skipTransformation: true } }
        ·                                                                        ───
     33 │   - { id: own, use: example-crm.upsertContact, account: sales, after: own, fields: { skipTransformation: true } }
        ╰────

    TP0116

      × `own` waits for itself
        ╭─[a.yaml:33:71]
     32 │   - { id: four, use: example-crm.upsertContact, account: sales, after: two, fields: { skipTransformation: true } }
     33 │   - { id: own, use: example-crm.upsertContact, account: sales, after: own, fields: { skipTransformation: true } }
        ·                                                                       ───
     34 │   - { id: join, use: example-crm.upsertContact, account: sales, after: [contacts, again], when: '$steps.contacts.id and $steps.own', fields: { skipTransformation: true } }
        ╰────
      help: take one of them out of an `after`

    TP0118

      × `$steps.own` is nothing here: `join` does not wait for it
        ╭─[a.yaml:34:121]
     33 │   - { id: own, use: example-crm.upsertContact, account: sales, after: own, fields: { skipTransformation: true } }
     34 │   - { id: join, use: example-crm.upsertContact, account: sales, after: [contacts, again], when: '$steps.contacts.id and $steps.own', fields: { skipTransformation: true } }
        ·                                                                                                                         ──────────
     35 │   - { id: early, use: example-crm.upsertContact, account: sales, after: contacts, when: $steps.late, fields: { skipTransformation: true } }
        ╰────
      help: add `own` to `after`

    TP0118

      × `$steps.late` is nothing yet: it runs later
        ╭─[a.yaml:35:89]
     34 │   - { id: join, use: example-crm.upsertContact, account: sales, after: [contacts, again], when: '$steps.contacts.id and $steps.own', fields: { skipTransformation: true } }
     35 │   - { id: early, use: example-crm.upsertContact, account: sales, after: contacts, when: $steps.late, fields: { skipTransformation: true } }
        ·                                                                                         ───────────
     36 │   - { id: late, use: example-crm.upsertContact, account: sales,  fields: { skipTransformation: true } }
        ╰────
    "#);
}

#[test]
fn ids_and_order() {
    let text = wrong("id: again,", "id: contacts, after: [trigger, contcts],")
        .replace("after: trigger\n", "after: again\n")
        .replacen("id: contacts", "id: Contacts", 1);
    insta::assert_snapshot!(shown(&text), @r#"
    TP0113

      × a step's id has letters, digits and underscores, a small letter first
        ╭─[a.yaml:14:9]
     13 │ steps:
     14 │   - id: Contacts
        ·         ────────
     15 │     use: example-crm.upsertContact
        ╰────
      help: for example `contacts`

    TP0115

      × there is no step `again`
        ╭─[a.yaml:17:12]
     16 │     account: sales
     17 │     after: again
        ·            ─────
     18 │     when: data.name != "Nobody"
        ╰────
      help: known: `Contacts`, `contacts`, `trigger`

    TP0115

      × there is no step `contcts`
        ╭─[a.yaml:27:38]
     26 │         }
     27 │   - { id: contacts, after: [trigger, contcts], use: example-crm.upsertContact, account: sales, fields: { skipTransformation: true } }
        ·                                      ───────
     28 │ 
        ╰────
      help: did you mean `Contacts`?

    TP0160

      × there is no step `again`
        ╭─[a.yaml:37:7]
     36 │       contacts: [ { identity: "1", type: contact, name: Ada (DE) } ]
     37 │       again: [ { identity: "1", name: Ada } ]
        ·       ─────
     38 │   - name: filtered out
        ╰────
      help: known: `Contacts`, `contacts`

    TP0160

      × there is no step `again`
        ╭─[a.yaml:40:29]
     39 │     given: { data: { name: Nobody } }
     40 │     expect: { contacts: [], again: [] }
        ·                             ─────
     41 │   - name: a raw record
        ╰────
      help: known: `Contacts`, `contacts`
    "#);
}

#[test]
fn examples() {
    let text = wrong("again: [ {", "agian: [ {")
        .replace("{ data: { name: Nobody } }", "{ dta: 1 }")
        .replace("{ contacts: [], again: [] }", "{ contacts: {} }");
    insta::assert_snapshot!(shown(&text), @r#"
    TP0160

      × there is no step `agian`
        ╭─[a.yaml:37:7]
     36 │       contacts: [ { identity: "1", type: contact, name: Ada (DE) } ]
     37 │       agian: [ { identity: "1", name: Ada } ]
        ·       ─────
     38 │   - name: filtered out
        ╰────
      help: did you mean `again`?

    TP0104

      × `given` has no `dta`
        ╭─[a.yaml:39:14]
     38 │   - name: filtered out
     39 │     given: { dta: 1 }
        ·              ───
     40 │     expect: { contacts: {} }
        ╰────
      help: did you mean `data`?

    TP0160

      × `given` needs `data`, or `record` for a raw record
        ╭─[a.yaml:39:14]
     38 │   - name: filtered out
     39 │     given: { dta: 1 }
        ·              ───
     40 │     expect: { contacts: {} }
        ╰────

    TP0106

      × `contacts` is a list, not an object
        ╭─[a.yaml:40:25]
     39 │     given: { dta: 1 }
     40 │     expect: { contacts: {} }
        ·                         ──
     41 │   - name: a raw record
        ╰────
      help: put `- ` in front of each, and indent the rest of it alike
    "#);
}

#[test]
fn bombs_are_defused() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (name, before) in "bcdefghij".chars().zip("abcdefghi".chars()) {
        let aliases = vec![format!("*{before}"); 10].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{aliases}]\n"));
    }
    let nested = format!("flow: {}", "[".repeat(10_000));
    let blocks: String = (0..200).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    let long = "x".repeat(2 << 20);
    let wide: String = (0..60_000).map(|key| format!("k{key}: 1\n")).collect();
    for text in [bomb, nested, blocks, long, wide] {
        let codes: Vec<_> = check(&text).1.iter().map(|finding| finding.code).collect();
        assert!(codes == ["TP0102"] || codes == ["TP0101"], "{codes:?}");
    }
    let (_, findings) = check("flow: &a [*a]\n");
    assert_eq!(findings.first().unwrap().code, "TP0102");
    // An alias within bounds is what it stands for.
    let text = wrong("account: sales", "account: &account sales")
        .replace("account: sales", "account: *account");
    assert_eq!(shown(&text), "");
}

#[test]
fn findings_are_data_too() {
    let (_, findings) = check(&wrong("window: 2", "windw: 2"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&findings).unwrap(), @r#"
    [
      {
        "severity": "error",
        "code": "TP0104",
        "message": "a flow has no `windw`",
        "place": {
          "file": "a.yaml",
          "line": 30,
          "column": 1,
          "span": {
            "start": 681,
            "end": 686
          }
        },
        "hint": "did you mean `window`?"
      }
    ]
    "#);
}

#[test]
fn what_an_action_warns_of_keeps_no_flow_from_running() {
    let text = wrong("skipTransformation: true", "skipTransformation: true, mail: true");
    assert!(check(&text).0.is_some());
    insta::assert_snapshot!(shown(&text), @r"
    TP0135

      ⚠ `mail` is on: every contact gets a mail
        ╭─[a.yaml:27:23]
     26 │         }
     27 │   - { id: again, use: example-crm.upsertContact, account: sales, fields: { skipTransformation: true, mail: true } }
        ·                       ─────────────────────────
     28 │ 
        ╰────
    ");
}
