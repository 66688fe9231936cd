//! What callers of a mapping rely on.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};
use towpath_mapping::{Error, Limits, Mapping, Moment, Variables};

const AT: Moment = Moment { now_ms: 1_700_000_000_000, seed: 7 };

fn evaluate(source: &str, input: &Value) -> Result<Option<Value>, Error> {
    Mapping::compile(source)?.evaluate(
        &input.to_string(),
        &Variables::new(),
        &AT,
        &Limits::default(),
    )
}

#[test]
fn results_undefined_and_variables() {
    assert_eq!(evaluate("a.b & '!'", &json!({"a": {"b": "x"}})).unwrap(), Some(json!("x!")));
    assert_eq!(evaluate("a.c", &json!({"a": {"b": "x"}})).unwrap(), None);

    let variables = Variables::new()
        .with("steps", json!({"one": {"id": 4, "other": 5}}))
        .with("flow", json!({"name": "f"}))
        .with("flow", json!({"name": "g"}));
    let run = |source: &str| {
        let mapping = Mapping::compile(source).unwrap();
        mapping.evaluate("{}", &variables, &AT, &Limits::default()).unwrap()
    };
    assert_eq!(run("$flow.name & $steps.one.id"), Some(json!("g4")));
    assert_eq!(run("$steps"), Some(json!({"one": {"id": 4, "other": 5}})));
    assert_eq!(run("$eval('$steps.one.other')"), Some(json!(5)));
    assert_eq!(run("$nobody"), None);
    let nobody = Mapping::compile("$nobody").unwrap();
    let text = nobody.evaluate_to_text("{}", &variables, &AT, &Limits::default());
    assert_eq!(text.unwrap(), None);
}

#[test]
fn conditions_follow_boolean() {
    let input = json!({"n": 0, "s": "", "list": [0, [""], {"a": 1}], "no": [0, ""], "o": {}});
    for (source, expected) in [
        ("n", false),
        ("n + 1", true),
        ("s", false),
        ("list", true),
        ("no", false),
        ("o", false),
        ("missing", false),
        ("$sum", false),
        ("list[$type($) = 'object']", true),
        ("null", false),
    ] {
        let mapping = Mapping::compile(source).unwrap();
        let result =
            mapping.is_true(&input.to_string(), &Variables::new(), &AT, &Limits::default());
        assert_eq!(result.unwrap(), expected, "{source}");
        let boolean = evaluate(&format!("$boolean({source})"), &input).unwrap();
        assert_eq!(boolean.unwrap_or(json!(false)), json!(expected), "$boolean({source})");
    }
}

#[test]
fn a_moment_fixes_clock_and_chance() {
    let mapping = Mapping::compile("[$now(), $millis(), $random(), $random()]").unwrap();
    let at = |seed| {
        let moment = Moment { seed, ..AT };
        let variables = Variables::new();
        mapping.evaluate("null", &variables, &moment, &Limits::default()).unwrap().unwrap()
    };
    assert_eq!(at(1), at(1));
    assert_eq!(at(1)[0], json!("2023-11-14T22:13:20.000Z"));
    assert_eq!(at(1)[1], json!(1_700_000_000_000_i64));
    assert_ne!(at(1)[2], at(1)[3]);
    assert_ne!(at(1)[2], at(2)[2]);
}

#[test]
fn errors_carry_code_and_byte_position() {
    let source = "{ \"ä\": data.name,\n  \"b\": 1 + \"ö\" }";
    let error = evaluate(source, &json!({})).unwrap_err();
    assert_eq!(error.code, "T2002");
    let position = error.position.unwrap();
    assert!(source.get(position..position + error.length).is_some(), "{error:?}");
    assert_eq!(source.get(position..).unwrap().chars().next(), Some('1'), "{error:?}");

    let error = Mapping::compile("data.contactData[").unwrap_err();
    assert_eq!((error.code.as_str(), error.position), ("S0203", Some(17)));
    assert_eq!(error.message, "expected \"]\" before end of expression");

    let problems = Mapping::problems("{ \"a\": (1 + ), \"b\": data.[, \"c\": 'open }");
    assert!(problems.len() >= 2, "{problems:?}");
    assert!(Mapping::problems("a.b[0] ~> $string()").is_empty());
}

#[test]
fn hostile_expressions_end_in_an_error() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases = [
        ("[1..1e7]", "null"),
        ("[1..10000000].{'a': $}", "null"),
        ("$pad('x', 100000000)", "null"),
        ("($f := function($n){ 1 + $f($n) }; $f(1))", "null"),
        ("($f := function($n){ $f($n + 1) }; $f(1))", "null"),
        ("$match('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!', /^(a+)+$/)", "null"),
        ("$reduce([1..99999], function($a, $b){ $a & $a & 'x' })", "null"),
        ("($x := [1..1000]; $x.($x.($x)))", "null"),
        ("$string($eval('[1..1e7]'))", "null"),
        ("$", &deep),
        (&deep, "null"),
    ];
    for (source, input) in cases {
        let shown: String = source.chars().take(60).collect();
        let started = Instant::now();
        let limits = Limits { time: Duration::from_millis(300), ..Limits::default() };
        let result = Mapping::compile(source)
            .and_then(|mapping| mapping.evaluate(input, &Variables::new(), &AT, &limits));
        assert!(result.is_err(), "{shown}: no error");
        assert!(started.elapsed() < Duration::from_secs(20), "{shown}: hung");
    }
}

#[test]
fn one_mapping_serves_many_threads() {
    let mapping = Mapping::compile("n * 2").unwrap();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let mapping = mapping.clone();
            scope.spawn(move || {
                let result = mapping.evaluate(
                    &json!({ "n": n }).to_string(),
                    &Variables::new(),
                    &AT,
                    &Limits::default(),
                );
                assert_eq!(result.unwrap(), Some(json!(n * 2)));
            });
        }
    });
}

/// JSON of any kind: every character, numbers of every size, what nests.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn text_is_that_of_the_value(input in json()) {
        let mapping = Mapping::compile("{ \"it\": $, \"all\": [$, -0, 1e300 * 10], \"no\": $none }").unwrap();
        let (input, variables, limits) = (input.to_string(), Variables::new(), Limits::default());
        let value = mapping.evaluate(&input, &variables, &AT, &limits).unwrap();
        let text = mapping.evaluate_to_text(&input, &variables, &AT, &limits).unwrap();
        prop_assert_eq!(text, value.map(|value| value.to_string()));
    }

    #[test]
    fn any_text_is_an_answer(source in ".{0,60}") {
        let compiled = Mapping::compile(&source);
        prop_assert_eq!(compiled.is_ok(), Mapping::problems(&source).is_empty());
    }

    #[test]
    fn any_tokens_are_an_answer(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "a", "$", "$x", "1", "\"s\"", "(", ")", "[", "]", "{", "}", ".", ",", ":", ";",
                ":=", "function", "?", "~>", "|", "^", "@", "#", "%", "*", "**", "-", "/a/", "&",
                "..", "=", "<", "and", "in", "`", "/*", "λ", "$eval", "$string", "\\u",
            ]),
            0..14,
        ),
    ) {
        let source = tokens.join(" ");
        let compiled = Mapping::compile(&source);
        prop_assert_eq!(compiled.is_ok(), Mapping::problems(&source).is_empty(), "{}", source);
        if let Ok(mapping) = compiled {
            let limits = Limits { steps: 10_000, ..Limits::default() };
            drop(mapping.evaluate(r#"{"a":[1,{"b":"x"}]}"#, &Variables::new(), &AT, &limits));
        }
    }
}
