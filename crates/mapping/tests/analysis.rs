//! What is told about an expression without running it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

extern crate towpath_mapping as mapping;

use mapping::{Analysis, Engine, Mapping, Object, Origin, Shape};

fn analysis(source: &str) -> Analysis {
    let analysis = Mapping::compile(source).unwrap().analysis().clone();
    if let Ok(other) = Mapping::compile_with(Engine::JsonataRs, source) {
        assert_eq!(*other.analysis(), analysis, "{source}");
    }
    analysis
}

/// The ways that an expression reads, in its order.
fn reads(source: &str) -> Vec<String> {
    let analysis = analysis(source);
    let shown = analysis.reads.iter().map(|read| {
        let name = source.get(read.span.clone()).unwrap();
        let last = read.path.last().unwrap();
        assert!(name.trim_matches(['`', '"']) == last, "{name} is not {last} in {source}");
        let path = read.path.join(".");
        match &read.from {
            Origin::Input => path,
            Origin::Variable(name) => format!("${name}.{path}"),
        }
    });
    shown.collect()
}

/// The keys of the result, `…` for others that there may be.
fn keys(source: &str) -> String {
    fn object(object: &Object) -> String {
        let keys = object.keys.iter().map(|key| match shape(&key.value) {
            value if value == "?" => key.name.clone(),
            value => format!("{}: {value}", key.name),
        });
        let open = object.open.then(|| "…".to_owned());
        format!("{{{}}}", keys.chain(open).collect::<Vec<_>>().join(" "))
    }
    fn shape(it: &Shape) -> String {
        match it {
            Shape::Unknown => "?".to_owned(),
            Shape::Object(it) => object(it),
            Shape::Any(shapes) => shapes.iter().map(shape).collect::<Vec<_>>().join("|"),
        }
    }
    shape(&analysis(source).result)
}

#[test]
fn ways_are_followed() {
    for (source, expected) in [
        ("a.b.c", &["a", "a.b", "a.b.c"][..]),
        ("a.`b c`.\"d\"", &["a", "a.b c", "a.b c.d"]),
        ("a[b = 1][0].c", &["a", "a.b", "a.c"]),
        ("a[b.c].(d & e[f])", &["a", "a.b", "a.b.c", "a.d", "a.e", "a.e.f"]),
        ("a.$trim(b)", &["a", "a.b"]),
        ("a.{ \"x\": b, c: $ }", &["a", "a.b", "a.c"]),
        ("a^(>b, c).d", &["a", "a.b", "a.c", "a.d"]),
        ("a{b: $sum(c)}", &["a", "a.b", "a.c"]),
        ("a.(b ? c : $$.d)", &["a", "a.b", "a.c", "d"]),
        ("$trigger.a & $.b", &["$trigger.a", "b"]),
        ("$filter(a, function($v) { $v.b })[0].c", &["a", "a.b", "a.c"]),
        ("$map(a.b, function($v, $i) { $v.c & $i.d })", &["a", "a.b", "a.b.c"]),
        ("$sort(a, function($l, $r) { $l.b > $r.c })", &["a", "a.b", "a.c"]),
        ("$reduce(a, function($sum, $v) { $sum.x & $v.b }, {})", &["a", "a.b"]),
        (
            "$map(a, function($v) { $map($v.b, function($w) { $w.c & $v.d }) })",
            &["a", "a.b", "a.b.c", "a.d"],
        ),
        ("(a ? b).c", &["a", "b", "b.c"]),
        // A variable that is set once is followed.
        ("($x := a.b; $x.c)", &["a", "a.b", "a.b.c"]),
        ("a.($x := b; $x[c])", &["a", "a.b", "a.b.c"]),
    ] {
        assert_eq!(reads(source), expected, "{source}");
    }
}

#[test]
fn what_is_not_sure_is_left_out() {
    for (source, expected) in [
        ("a.*.b", &["a"][..]),
        ("**.b", &[]),
        ("a.b.%.c", &["a", "a.b"]),
        ("$lookup(a, \"b\").c", &["a"]),
        ("(a ? b : c).d", &["a", "b", "c"]),
        ("(a ?: b).c", &["a", "b"]),
        ("function($v) { $v.a & b }", &[]),
        ("a ~> |b|{ \"c\": d }|", &["a"]),
        ("a@$x.b", &["a"]),
        ("a#$i.b", &["a", "a.b"]),
        // Set twice, a parameter too, or in another block.
        ("($x := a; $x := b; $x.c)", &["a", "b"]),
        ("($x := a; $map(b, function($x) { $x.c }))", &["a", "b"]),
        ("$map(a, function($v) { ($v := b; $v.c) })", &["a"]),
        ("$map(a, function($v) { $f(function($v) { $v.c }) })", &["a"]),
        ("($map := a; $map(b, function($v) { $v.c }))", &["a", "b"]),
        ("a ~> $map(function($v) { $v.c })", &["a"]),
        ("$map($f(a), function($v) { $v.c })", &["a"]),
        ("$each(a, function($v) { $v.c })", &["a"]),
        ("(($x := a); $x.b)", &["a"]),
        ("($trigger := a; ($trigger.b))", &["a", "a.b"]),
        ("($trigger.b; $trigger := a)", &["a"]),
        ("($filter := a; $filter(b).c)", &["a", "b"]),
    ] {
        assert_eq!(reads(source), expected, "{source}");
    }
    let deep = format!("{}a{}", "(".repeat(500), ")".repeat(500));
    assert_eq!(reads(&deep), [""; 0]);
}

#[test]
fn results_are_told_by_their_literal_keys() {
    for (source, expected) in [
        (r#"{ "a": 1, "b": { "c": x } }"#, "{a b: {c}}"),
        (r#"{ "a": 1, b: 2 }"#, "{a …}"),
        (r#"($x := { "a": 1 }; { "b": $x, "c": [$x, 2] })"#, "{b: {a} c: {a}|?}"),
        (r#"a ? { "b": 1 } : { "c": 2 }"#, "{b}|{c}"),
        (r#"a ? { "b": 1 }"#, "{b}"),
        (r#"$merge([{ "a": 1 }, b ? { "c": 2 } : { "d": 3 }])"#, "{a c d}"),
        (r#"$merge([{ "a": 1 }, b])"#, "{a …}"),
        (r#"a.{ "b": c }"#, "{b}"),
        (r#"{ "a": 1 }[b]"#, "?"),
        (r#"a{ "b": c }"#, "?"),
        ("$f({ \"a\": 1 })", "?"),
        (r#"($merge := function($x) { $x }; $merge([{ "a": 1 }]))"#, "?"),
    ] {
        assert_eq!(keys(source), expected, "{source}");
    }
    let doubled = (1..40).map(|n| format!("$x{n} := {{ \"a\": $x{0}, \"b\": $x{0} }};", n - 1));
    let source = format!("($x0 := {{}}; {} $x39)", doubled.collect::<String>());
    assert!(keys(&source).len() < 20_000);
}

#[test]
fn functions_that_there_are_not_are_told() {
    for (source, expected) in [
        ("$toLowerCase(a) & $lowercase(b)", &["toLowerCase"][..]),
        ("($f := function($g) { $g(1) }; $f($sum) & $h(1))", &["h"]),
        ("a.$trim($bad(b))", &["bad"]),
        ("a ~> $trim ~> $toUpper", &["toUpper"]),
        ("($g := $f; a ~> $g)", &[]),
        ("$substring(?, 1) & $part(?, 1)", &["part"]),
    ] {
        let unknown: Vec<_> = analysis(source).unknown;
        let names: Vec<_> = unknown.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, expected, "{source}");
        for call in &unknown {
            assert_eq!(source.get(call.span.clone()), Some(&*format!("${}", call.name)));
        }
    }
}
