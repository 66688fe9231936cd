//! The same everyday mappings on both engines, and where jsonata-rs differs.
//!
//! Each row says what the language means by it, which is what jlens gives, and what jsonata-rs
//! gives. A new version of either that changes a row fails here.

use serde_json::{Value, json};
use towpath_mapping::{Engine, Error, Limits, Mapping, Moment, Variables};

const AT: Moment = Moment { now_ms: 1_700_000_000_000, seed: 7 };

/// What jsonata-rs gives.
enum Rs {
    /// The same.
    Same,
    /// The same, in an order that differs from call to call.
    Mixed,
    /// Something else; `null` stands for nothing.
    Gives(Value),
    /// It is refused when it is compiled, with this code.
    Refuses(&'static str),
    /// It fails on the record, with this code.
    Fails(&'static str),
}

use Rs::{Fails, Gives, Mixed, Refuses, Same};

fn data() -> Value {
    json!({
        "metadata": { "recordUid": "279" },
        "data": {
            "firstName": "Ada", "lastName": "Lovelace", "age": 36, "born": "1815-12-10",
            "seen": 1_598_960_975_000_i64, "active": true, "nickname": "", "title": null,
            "tags": ["vip", "blog", "vip"], "scores": [3, 1, 2], "empty": [],
            "contactData": [
                { "type": "email", "value": "ada@example.com" },
                { "type": "phone", "value": "+494411" },
                { "type": "email", "value": "second@example.com" },
            ],
            "orders": [
                { "id": 1, "lines": [{ "sku": "a", "price": 2.5, "n": 2 },
                                     { "sku": "b", "price": 1, "n": 1 }] },
                { "id": 2, "lines": [{ "sku": "a", "price": 2.5, "n": 4 }] },
            ],
            "address": { "street": "Hauptstraße 12", "zip": "26122", "my city": "Oldenburg" },
        },
    })
}

fn variables() -> Variables {
    Variables::new()
        .with("flow", json!({ "name": "f", "vars": { "country": "DE" } }))
        .with("fields", json!({ "identity": "email" }))
        .with_text("trigger", data().to_string())
        .with("steps", json!({ "profiles": { "id": 4 } }))
}

fn run(engine: Engine, source: &str, input: &str) -> Result<Option<Value>, Error> {
    let mapping = Mapping::compile_with(engine, source)?;
    assert_eq!(mapping.engine(), engine);
    mapping.evaluate(input, &variables(), &AT, &Limits::default())
}

#[rustfmt::skip]
fn table() -> Vec<(&'static str, Value, Rs)> {
    vec![
        // Paths and predicates.
        ("data.address.`my city`", json!("Oldenburg"), Same),
        ("data.missing.deeper", Value::Null, Same),
        ("data.contactData.value", json!(["ada@example.com", "+494411", "second@example.com"]), Same),
        ("data.contactData[-1].type", json!("email"), Same),
        ("data.contactData[type = 'email'].value", json!(["ada@example.com", "second@example.com"]), Same),
        ("(data.contactData[type = 'email'].value)[0]", json!("ada@example.com"), Same),
        ("data.contactData[type in ['phone', 'mobile']].value", json!("+494411"), Same),
        ("data.orders[id = 2].lines.sku[]", json!(["a"]), Same),
        ("data.orders.lines[0].sku", json!(["a", "a"]), Same),
        ("data.scores[[0..1]]", json!([3, 1]), Same),
        ("data.contactData.($$.metadata.recordUid & type)", json!(["279email", "279phone", "279email"]), Same),
        ("data.orders.lines.(sku & %.id)", json!(["a1", "b1", "a2"]), Refuses("U1007")),
        ("data.contactData@$c.(firstName & $c.type)", json!(["Adaemail", "Adaphone", "Adaemail"]), Same),
        ("data.tags#$i.($ & $i)", json!(["vip0", "blog1", "vip2"]), Same),
        // Wildcards: objects have no order in jsonata-rs.
        ("data.address.*", json!(["Hauptstraße 12", "26122", "Oldenburg"]), Mixed),
        ("data.**.sku", json!(["a", "b", "a"]), Same),
        // Conditions and operators.
        ("data.active ? 'yes' : 'no'", json!("yes"), Same),
        ("data.nickname ? data.nickname", Value::Null, Same),
        ("data.nickname ?: 'none'", json!("none"), Refuses("S0211")),
        ("data.missing ?? 'none'", json!("none"), Refuses("S0211")),
        ("data.age >= 18 and data.active", json!(true), Same),
        ("data.age % 5 + 4 * 2", json!(9), Same),
        ("data.firstName & ' ' & data.lastName", json!("Ada Lovelace"), Same),
        ("'vip' in data.tags", json!(true), Same),
        // Strings.
        ("$uppercase(data.firstName)", json!("ADA"), Same),
        ("$trim('  a   b ')", json!("a b"), Same),
        ("$substring(data.born, 0, 4)", json!("1815"), Same),
        ("$substring(data.firstName, 5)", json!(""), Fails("U1007")),
        ("$substringBefore('a@b', '@') & $substringAfter('a@b', '@')", json!("ab"), Same),
        ("$length(data.address.street)", json!(14), Same),
        ("$pad('7', -3, '0')", json!("007"), Same),
        ("$split('a,b,c', ',')", json!(["a", "b", "c"]), Same),
        ("$join(data.tags, ', ')", json!("vip, blog, vip"), Same),
        ("$replace('a.b.c', '.', '-')", json!("a-b-c"), Same),
        ("$string(data.scores)", json!("[3,1,2]"), Same),
        ("$string(1/3)", json!("0.333333333333333"), Gives(json!("0.33333333333333"))),
        ("$base64encode('ab') & $base64decode('YWI=')", json!("YWI=ab"), Same),
        ("$encodeUrlComponent('a b')", json!("a%20b"), Refuses("T1006")),
        // Regular expressions.
        ("$contains(data.lastName, /^love/i)", json!(true), Same),
        ("$split('a-b_c', /[-_]/)", json!(["a", "b", "c"]), Same),
        (r"$replace('ada lovelace', /(\w+) (\w+)/, '$2, $1')", json!("lovelace, ada"), Same),
        ("$replace('abc', /b/, function($m){ $uppercase($m.match) })", json!("aBc"), Same),
        ("$match('ada@example.com', /@(.+)$/).groups", json!(["example.com"]), Same),
        (r"$contains('a\\b', /\\/)", json!(true), Refuses("S0302")),
        // Numbers.
        ("$number('12.5') + $round(2.345, 2)", json!(14.84), Same),
        ("$floor(2.7) + $ceil(2.1) + $abs(-3) + $power(2, 3) + $sqrt(16)", json!(20), Same),
        ("$sum(data.orders.lines.(price * n))", json!(16), Same),
        ("$max(data.scores) - $min(data.scores)", json!(2), Same),
        ("$average(data.scores)", json!(2), Refuses("T1006")),
        ("$formatNumber(1234.5, '#,##0.00')", json!("1,234.50"), Refuses("T1006")),
        // Dates.
        ("$fromMillis(data.seen)", json!("2020-09-01T11:49:35.000Z"), Same),
        ("$fromMillis(data.seen, '[D01].[M01].[Y0001]')", json!("01.09.2020"), Same),
        ("$toMillis('2017-11-07T15:07:54.972Z')", json!(1_510_067_274_972_i64), Same),
        ("$toMillis('07.11.2017', '[D01].[M01].[Y0001]')", json!(1_510_012_800_000_i64), Gives(Value::Null)),
        ("$now()", json!("2023-11-14T22:13:20.000Z"), Same),
        ("$now('[Y0001]-[M01]-[D01]')", json!("2023-11-14"), Same),
        ("$millis()", json!(1_700_000_000_000_i64), Same),
        // Arrays.
        ("$count(data.tags) + $count(data.missing)", json!(3), Same),
        ("$sort(data.scores)", json!([1, 2, 3]), Same),
        ("$sort(data.orders, function($l, $r){ $l.id < $r.id }).id", json!([2, 1]), Same),
        ("$distinct($append(data.tags, 'new'))", json!(["vip", "blog", "new"]), Same),
        ("$reverse($zip(data.scores, data.tags))", json!([[2, "vip"], [1, "blog"], [3, "vip"]]), Same),
        ("$map(data.tags, function($t){ $uppercase($t) })", json!(["VIP", "BLOG", "VIP"]), Same),
        ("$map(data.tags, $uppercase)", json!(["VIP", "BLOG", "VIP"]), Same),
        ("$map(data.scores, function($v, $i){ $i })", json!([0, 1, 2]), Same),
        ("$filter(data.scores, function($s){ $s > 1 })", json!([3, 2]), Same),
        ("$filter(data.tags, function($t){ $contains($t, 'vip') })", json!(["vip", "vip"]), Gives(Value::Null)),
        ("data.tags[$contains($, 'vip')]", json!(["vip", "vip"]), Same),
        ("$reduce(data.scores, function($a, $b){ $a + $b }, 10)", json!(16), Same),
        ("$single(data.contactData, function($c){ $c.type = 'phone' }).value", json!("+494411"), Same),
        ("[1..3].($ * $)", json!([1, 4, 9]), Same),
        // Order-by and grouping.
        ("data.orders.lines^(>n, sku).n", json!([4, 2, 1]), Same),
        ("data.orders.lines{ sku: $sum(n) }", json!({ "a": 6, "b": 1 }), Same),
        ("data.contactData{ type: value }", json!({ "email": ["ada@example.com", "second@example.com"], "phone": "+494411" }), Same),
        // Objects.
        ("{ 'name': data.firstName, 'none': data.missing, 'title': data.title }", json!({ "name": "Ada", "title": null }), Same),
        ("data.contactData.{ 'to': value }[0]", json!([{ "to": "ada@example.com" }, { "to": "+494411" }, { "to": "second@example.com" }]), Same),
        ("$lookup(data.address, 'zip')", json!("26122"), Same),
        ("$merge([{ 'a': 1 }, { 'b': 2, 'a': 3 }])", json!({ "a": 3, "b": 2 }), Same),
        ("$keys(data.address)", json!(["street", "zip", "my city"]), Mixed),
        ("$each(data.address, function($v, $k){ $k })", json!(["street", "zip", "my city"]), Mixed),
        ("$sift(data.address, function($v, $k){ $k = 'zip' })", json!({ "zip": "26122" }), Refuses("T1006")),
        ("$type(data.tags)", json!("array"), Refuses("T1006")),
        ("(data ~> |address|{ 'zip': '00000' }, 'street'|).address", json!({ "zip": "00000", "my city": "Oldenburg" }), Same),
        // Variables, functions, chains.
        ("$flow.vars.country & $fields.identity & $steps.profiles.id & $trigger.data.firstName", json!("DEemail4Ada"), Same),
        ("($name := data.firstName; { 'n': $name, 'l': $length($name) })", json!({ "n": "Ada", "l": 3 }), Same),
        ("($f := function($n){ $n < 1 ? 0 : $n + $f($n - 1) }; $f(5))", json!(15), Same),
        ("($add := function($a){ function($b){ $a + $b } }; $one := $add(1); $one(2))", json!(3), Same),
        ("($add := function($a){ function($b){ $a + $b } }; $add(1)(2))", json!(3), Refuses("U1007")),
        ("($up := $substring(?, 0, 1); $up('abc'))", json!("a"), Refuses("U1007")),
        ("data.firstName ~> $uppercase() ~> $substring(0, 2)", json!("AD"), Same),
        ("($g := $trim ~> $uppercase; $g(' a '))", json!("A"), Same),
        ("$eval('1 + 1')", json!(2), Refuses("T1006")),
    ]
}

/// Members in one order, so that lists compare as bags.
fn sorted(mut value: Value) -> Value {
    if let Value::Array(items) = &mut value {
        items.sort_by_key(Value::to_string);
    }
    value
}

#[test]
fn everyday_mappings() {
    let input = data().to_string();
    let mut wrong = vec![];
    for (source, expected, rs) in table() {
        let result = run(Engine::Jlens, source, &input);
        if result != Ok((!expected.is_null()).then(|| expected.clone())) {
            wrong.push(format!("jlens: {source}: {result:?}"));
        }
        let refused = Mapping::compile_with(Engine::JsonataRs, source).err();
        let problems = Mapping::problems_with(Engine::JsonataRs, source);
        assert_eq!(problems.is_empty(), refused.is_none(), "{source}: {problems:?}");
        let result = run(Engine::JsonataRs, source, &input);
        let right = match (rs, &result) {
            (Same, Ok(value)) => value.clone().unwrap_or_default() == expected,
            (Mixed, Ok(Some(value))) => sorted(value.clone()) == sorted(expected),
            (Gives(other), Ok(value)) => value.clone().unwrap_or_default() == other,
            (Refuses(code), Err(error)) => refused.is_some() && error.code == code,
            (Fails(code), Err(error)) => refused.is_none() && error.code == code,
            _ => false,
        };
        if !right {
            wrong.push(format!("jsonata-rs: {source}: {result:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn input_is_never_code() {
    let hostile =
        "\"; $error('out') & \\\" \u{0} ${x} 'y' /* \u{1F600} */ \\u0041 \\ \n\u{7f}\u{2028}`}])";
    let input = json!({
        hostile: hostile, "$now()": "$now()", "n": [-1.5e-7, -0.0, 1e300, 9_007_199_254_740_993_i64],
        "nested": [[], [[]], {}, [null, [1]], { "a": [{}] }, true, false],
        "escaped": "a/b",
    });
    // Slashes may be escaped in JSON; and names may be there twice.
    let text = input.to_string().replace("a/b", r"a\/b");
    let text = format!(r#"{{"n":0,{}"#, text.trim_start_matches('{'));
    for engine in Engine::ALL {
        let back = run(engine, "$", &text).unwrap().unwrap();
        for (key, value) in input.as_object().unwrap() {
            let found = back.get(key).unwrap();
            let same = match (found.get(0).and_then(Value::as_f64), key.as_str()) {
                // All numbers are floats.
                (Some(first), "n") => first == -1.5e-7 && found.get(2) == value.get(2),
                _ => found == value,
            };
            assert!(same, "{engine:?} {key:?}: {found}");
        }
        for code in ["1 + 1", "$now()", "{\"a\": $uuid()}", "'text'", "[1..3]", "{a: 1}", "", "/a/"]
        {
            assert_eq!(run(engine, "$", code).unwrap_err().code, "U1004", "{engine:?}: {code}");
        }
    }
}

#[test]
fn jsonata_rs_is_given_only_what_it_can_bear() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let fails = |source: &str, input: &str| {
        let error = run(Engine::JsonataRs, source, input).unwrap_err();
        (error.code.clone(), error.message)
    };
    assert!(run(Engine::JsonataRs, "$", &nested(64)).is_ok());
    let (code, message) = fails("$", &nested(65));
    assert_eq!(code, "D1011");
    assert_eq!(
        message,
        "the input nests 65 levels deep, more than the 64 that jsonata-rs is given; use the \
         engine jlens"
    );
    assert_eq!(fails("$", &nested(100_000)).0, "D1011");
    assert_eq!(fails("$", &json!("x".repeat(256 << 10)).to_string()).0, "U1001");
    assert_eq!(fails("[[[$]]]", &nested(63)).0, "D1011");
    assert_eq!(fails(&format!("'{}'", "x".repeat(64 << 10)), "1").0, "U1001");
    // A variable that is not named is not looked at.
    let big = Variables::new().with("steps", json!("x".repeat(256 << 10)));
    let with_big = |source: &str| {
        let mapping = Mapping::compile_with(Engine::JsonataRs, source).unwrap();
        mapping.evaluate("1", &big, &AT, &Limits::default()).map_err(|error| error.code)
    };
    assert_eq!(with_big("$ + 1"), Ok(Some(json!(2))));
    assert_eq!(with_big("$steps"), Err("U1001".to_owned()));
}

#[test]
fn hostile_expressions_end_in_an_error_where_that_can_be_had() {
    let limits = Limits { time: std::time::Duration::from_millis(100), ..Limits::default() };
    for (source, code) in [
        ("[1..100001]", "U1001"),
        ("$map([1..1e7], function($x){ $x })", "D1012"),
        ("($f := function($n){ 1 + $f($n) }; $f(1))", "D1011"),
        ("($f := function($n){ $f($n + 1) }; $f(1))", "D1012"),
        ("($x := [1..1000]; $x.($x.($x)))", "D1012"),
        ("$ ~> |$|{ 'self': $ }|", "D1011"),
        ("1/0", "D1001"),
        ("$error('3: no')", "D3137"),
        (&format!("{}1{}", "(".repeat(8_000), ")".repeat(8_000)), "U1001"),
        (&format!("{}1", "-".repeat(16_000)), "U1001"),
        (&format!("1{}", "+1".repeat(8_000)), "U1001"),
    ] {
        let result = Mapping::compile_with(Engine::JsonataRs, source)
            .and_then(|mapping| mapping.evaluate("{}", &variables(), &AT, &limits));
        let shown: String = source.chars().take(50).collect();
        let error = result.expect_err(&shown);
        assert_eq!(
            (error.code.as_str(), error.position),
            (code, error.position),
            "{shown}: {error}"
        );
    }
}

#[test]
fn a_moment_fixes_clock_and_chance_of_jsonata_rs() {
    let source = "[$now(), $millis(), $random(), $random(), $uuid()]";
    let mapping = Mapping::compile_with(Engine::JsonataRs, source).unwrap();
    let at = |seed| {
        let moment = Moment { seed, ..AT };
        let result = mapping.evaluate("1", &Variables::new(), &moment, &Limits::default());
        result.unwrap().unwrap()
    };
    assert_eq!(at(1), at(1));
    assert_ne!(at(1)[2], at(1)[3]);
    assert_ne!(at(1)[2], at(2)[2]);
    assert!((0.0..1.0).contains(&at(3)[2].as_f64().unwrap()));
    assert_eq!(at(1)[4].as_str().unwrap().len(), 36);
}

#[test]
fn errors_of_jsonata_rs_have_their_place() {
    for (source, code, position) in [
        ("{ 'ä': $now() & (data.firstName + 1) }", "T2001", Some(33)),
        ("{ 'ä': data.firstName + 1 }", "T2001", Some(23)),
        ("{ 'ä': data.nickname ?: 1 }", "S0211", Some(23)),
        ("{ 'ä': $average([1]) }", "T1006", Some(8)),
        ("data.contactData[", "S0203", Some(17)),
        ("$error('3: no')", "D3137", None),
    ] {
        let error = run(Engine::JsonataRs, source, &data().to_string()).unwrap_err();
        assert_eq!((error.code.as_str(), error.position), (code, position), "{source}: {error}");
    }
    let problems = Mapping::problems_with(Engine::JsonataRs, "$average(a) & $type(b) & $sum(c)");
    let all: Vec<_> = problems.iter().map(|it| (it.position, it.length)).collect();
    assert_eq!(all, [(Some(0), 8), (Some(14), 5)]);
    let mapping = Mapping::compile_with(Engine::JsonataRs, "$steps.a.id & $steps.b").unwrap();
    assert_eq!(mapping.members_read("steps"), ["a", "b"]);
    let own = "($type := function($x){ $x }; $type(1))";
    assert!(Mapping::problems_with(Engine::JsonataRs, own).is_empty());
}
