//! `towpath.yaml`, right and wrong.

use flow::config::Given;

use crate::crm::{config, connectors};

#[test]
fn a_right_configuration_looks_nothing_up() {
    let config = config();
    let sales = config.accounts.get("sales").unwrap();
    assert_eq!(sales.connector, "example-crm");
    assert_eq!(sales.settings.get("apiKey"), Some(&Given::Env("SALES_KEY".to_owned())));
    assert_eq!(sales.settings.get("project"), Some(&Given::Literal("17".to_owned())));
    assert_eq!(config.vars.get("country"), Some(&"DE".into()));
    assert_eq!(config.limits.get("sales").unwrap().get("write"), Some(&2));
    assert_eq!(config.store.unwrap().to_str(), Some("state"));
    let (empty, findings) = flow::config::check("towpath.yaml", "# nothing yet\n", &connectors());
    assert!(empty.is_some() && findings.is_empty());
}

#[test]
fn a_secret_of_the_vault_is_named_and_not_looked_up() {
    let check = |name: &str| {
        let text =
            format!("accounts:\n  sales: {{ connector: other, apiKey: {{ secret: {name} }} }}\n");
        let (config, findings) = flow::config::check("towpath.yaml", &text, &connectors());
        let shown = flow::render(&findings, &text, false);
        let account = config.unwrap().accounts.remove("sales").unwrap();
        (account.settings.get("apiKey").cloned().unwrap(), shown)
    };
    for name in ["sales", "Sales_key-2.eu", &"a".repeat(100)] {
        assert_eq!(check(name), (Given::Secret(name.to_owned()), String::new()));
    }
    let long = "a".repeat(101);
    for name in [r#""""#, "'two words'", "17", "a/b", &long, "eyJub3QiOiJyZWFsIn0.0123456789abcd"] {
        let (_, shown) = check(name);
        assert!(shown.contains("TP0172") && shown.contains("`towpath secret set NAME`"), "{shown}");
    }
    // Whoever wrote the secret in the place of its name does not see it printed.
    assert!(!check("'hunter 2!'").1.contains("hunter"));
}

#[test]
fn every_mistake_of_a_configuration_is_found() {
    let text = "\
accounts:
  sales:
    connector: example-crm
    baseUrl: http://user@localhost
    project: A17
    apiKey: not-a-real-key
    apikey: { env: X }
  mail: { connector: othr }
  none: { baseUrl: https://x.test }
  keys: { connector: other, apiKey: { enw: X } }
  more: { connector: example-crm, project: 17 }
limits:
  sales: { wirte: 2, write: 0 }
  nobody: { write: 1 }
sotre: {}
";
    let (config, findings) = flow::config::check("towpath.yaml", text, &connectors());
    // What can be read is there for flow files to be checked against.
    assert!(config.unwrap().accounts.contains_key("sales"));
    insta::assert_snapshot!(flow::render(&findings, text, false), @r"
    TP0151

      × `baseUrl`: credentials do not belong in a URL
       ╭─[towpath.yaml:4:14]
     3 │     connector: example-crm
     4 │     baseUrl: *********************
       ·              ─────────────────────
     5 │     project: A17
       ╰────

    TP0172

      × `project`: it has digits only
       ╭─[towpath.yaml:5:14]
     4 │     baseUrl: *********************
     5 │     project: A17
       ·              ───
     6 │     apiKey: **************
       ╰────
      help: The project's number.

    TP0151

      × `apiKey` is a secret and does not belong in a file
       ╭─[towpath.yaml:6:13]
     5 │     project: A17
     6 │     apiKey: **************
       ·             ──────────────
     7 │     apikey: { env: X }
       ╰────
      help: write `apiKey: { secret: NAME }` and run `towpath secret set NAME`; or `{ env: API_KEY }`,
            or `{ file: PATH }`

    TP0170

      × an account of `example-crm` has no setting `apikey`
       ╭─[towpath.yaml:7:5]
     6 │     apiKey: **************
     7 │     apikey: { env: X }
       ·     ──────
     8 │   mail: { connector: othr }
       ╰────
      help: did you mean `apiKey`?

    TP0120

      × there is no connector `othr`
       ╭─[towpath.yaml:8:22]
     7 │     apikey: { env: X }
     8 │   mail: { connector: othr }
       ·                      ────
     9 │   none: { baseUrl: https://x.test }
       ╰────
      help: did you mean `other`?

    TP0105

      × account `none` needs `connector`
        ╭─[towpath.yaml:9:3]
      8 │   mail: { connector: othr }
      9 │   none: { baseUrl: https://x.test }
        ·   ────
     10 │   keys: { connector: other, apiKey: { enw: X } }
        ╰────
      help: known: `example-crm`, `other`

    TP0172

      × `apiKey` cannot come from `enw`
        ╭─[towpath.yaml:10:39]
      9 │   none: { baseUrl: https://x.test }
     10 │   keys: { connector: other, apiKey: { enw: X } }
        ·                                       ───
     11 │   more: { connector: example-crm, project: 17 }
        ╰────
      help: write text, `{ secret: NAME }`, `{ env: NAME }` or `{ file: PATH }`

    TP0171

      × account `more` needs `apiKey`
        ╭─[towpath.yaml:11:3]
     10 │   keys: { connector: other, apiKey: { enw: X } }
     11 │   more: { connector: example-crm, project: 17 }
        ·   ────
     12 │ limits:
        ╰────
      help: `apiKey: { secret: more }`: The API key.

    TP0172

      × `project` is text, not a number
        ╭─[towpath.yaml:11:44]
     10 │   keys: { connector: other, apiKey: { enw: X } }
     11 │   more: { connector: example-crm, project: 17 }
        ·                                            ──
     12 │ limits:
        ╰────
      help: write text, `{ secret: NAME }`, `{ env: NAME }` or `{ file: PATH }`

    TP0173

      × `example-crm` has no limit class `wirte`
        ╭─[towpath.yaml:13:12]
     12 │ limits:
     13 │   sales: { wirte: 2, write: 0 }
        ·            ─────
     14 │   nobody: { write: 1 }
        ╰────
      help: did you mean `write`?

    TP0112

      × `write` is at least 1
        ╭─[towpath.yaml:13:29]
     12 │ limits:
     13 │   sales: { wirte: 2, write: 0 }
        ·                             ─
     14 │   nobody: { write: 1 }
        ╰────

    TP0173

      × there is no connector or account `nobody`
        ╭─[towpath.yaml:14:3]
     13 │   sales: { wirte: 2, write: 0 }
     14 │   nobody: { write: 1 }
        ·   ──────
     15 │ sotre: {}
        ╰────
      help: known: `keys`, `more`, `sales`, `example-crm`, `other`

    TP0104

      × the configuration has no `sotre`
        ╭─[towpath.yaml:15:1]
     14 │   nobody: { write: 1 }
     15 │ sotre: {}
        · ─────
        ╰────
      help: did you mean `store`?
    ");
}

#[test]
fn retention_has_defaults_and_says_what_is_wrong() {
    let check = |retention: &str| {
        let text = format!("store:\n  retention: {retention}\n");
        let (config, findings) = flow::config::check("towpath.yaml", &text, &connectors());
        (config.unwrap().retention, flow::render(&findings, &text, false))
    };
    let month = std::time::Duration::from_secs(30 * 24 * 3600);
    let (kept, shown) = check("{ trail: 12h, runs: 7 }");
    assert_eq!(shown, "");
    assert_eq!((kept.dead_letters, kept.trail), (month, month / 60));
    assert_eq!((kept.trail_megabytes, kept.runs, kept.history), (64, 7, 50));
    for (wrong, problem) in [
        ("{ trail: 12 }", "unit"),
        ("{ deadLetters: for ever }", "whole number"),
        ("{ runs: 0 }", "TP"),
        ("{ letters: 3d }", "`deadLetters`"),
    ] {
        let (_, shown) = check(wrong);
        assert!(shown.contains(problem), "{wrong}: {shown}");
    }
}
