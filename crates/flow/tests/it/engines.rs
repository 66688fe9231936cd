//! What evaluates a flow's own expressions.

use mapping::Engine;

use crate::crm::{RIGHT, config, connectors, shown};

fn chosen(engine: &str) -> String {
    format!("mapping: {{ engine: {engine} }}\n{RIGHT}")
}

#[test]
fn what_jsonata_rs_cannot_read_is_a_mistake_at_its_place() {
    assert_eq!(shown(&chosen("jlens")), "");
    let text = chosen("jsonata-rs")
        .replace("data.name &", "$average(data.x) & data.name &")
        .replace("data.name !=", "(data.name ?? 1) !=");
    insta::assert_snapshot!(shown(&text), @r#"
    TP0144

      ⚠ jsonata-rs loses memory with every record, is slower, and knows a part of JSONata
       ╭─[a.yaml:1:20]
     1 │ mapping: { engine: jsonata-rs }
       ·                    ──────────
     2 │ flow: contacts-to-crm
       ╰────
      help: leave `engine` out, unless exactly this one is needed

    TP0140

      × bad JSONata: jsonata-rs cannot read this, jlens can: the symbol `?` cannot be used as a unary
      │ operator (S0211)
        ╭─[a.yaml:19:23]
     18 │     after: trigger
     19 │     when: (data.name ?? 1) != "Nobody"
        ·                       ─
     20 │     batch: 20
        ╰────

    TP0140

      × bad JSONata: jsonata-rs has no `$average`, jlens has (T1006)
        ╭─[a.yaml:26:19]
     25 │           "identity": metadata.recordUid,
     26 │           "name": $average(data.x) & data.name & " (" & $flow.vars.country & ")"
        ·                   ────────
     27 │         }
        ╰────
    "#);
}

#[test]
fn a_flow_chooses_before_the_configuration() {
    let engines = |text: &str, by_default: Engine| {
        let config = flow::Config { engine: by_default, ..config() };
        let connectors = connectors();
        let context = flow::Context { connectors: &connectors, config: Some(&config) };
        let (flow, _) = flow::check("a.yaml", text, &context);
        let flow = flow.unwrap();
        assert!(flow.run_tests().iter().all(flow::TestResult::passed));
        // The trigger's mapping is the connector's own.
        assert_eq!(flow.trigger.mapping.mapping().unwrap().engine(), Engine::Jlens);
        let own = flow.steps.first().unwrap();
        let [when, custom] =
            [own.when.as_ref(), own.mapping.mapping()].map(|it| it.unwrap().engine());
        assert_eq!(when, custom);
        assert_eq!(flow.is_evaluated_by(Engine::JsonataRs), when == Engine::JsonataRs);
        when
    };
    assert_eq!(engines(RIGHT, Engine::Jlens), Engine::Jlens);
    assert_eq!(engines(RIGHT, Engine::JsonataRs), Engine::JsonataRs);
    assert_eq!(engines(&chosen("jlens"), Engine::JsonataRs), Engine::Jlens);
    assert_eq!(engines(&chosen("jsonata-rs"), Engine::Jlens), Engine::JsonataRs);
}

#[test]
fn a_configuration_chooses_and_is_warned_of() {
    let read = |text: &str| flow::config::check("towpath.yaml", text, &connectors());
    let (config, findings) = read("mapping: { engine: jsonata-rs }\n");
    assert_eq!(config.unwrap().engine, Engine::JsonataRs);
    let [warning] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!((warning.code, warning.is_error(), warning.place.column), ("TP0144", false, 20));
    let (config, findings) = read("mapping: {}\n");
    assert_eq!((config.unwrap().engine, findings.len()), (Engine::Jlens, 0));
}
