//! Whatever is written, compiling and evaluating end, within the budget, and do not panic.

use proptest::prelude::*;

use super::*;

/// What an evaluation may be charged beyond its limit: the one step that exceeds it.
const ONE_STEP: u64 = 400_000;

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "object",
        "names",
        "n",
        "x",
        ".",
        "?",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ",",
        ":",
        "+",
        "-",
        "*",
        "/",
        "%",
        "&&",
        "||",
        "!",
        "==",
        "<",
        ">=",
        " in ",
        "1",
        "-9223372036854775808",
        "2u",
        "1.5e3",
        "'a'",
        "b'\\xff'",
        "null",
        "true",
        ".a",
        ".s",
        ".l",
        ".all(x,",
        ".map(x,",
        ".filter(x,",
        ".exists(i,x,",
        ".transformMap(k,v,",
        "has(object.a)",
        "size(",
        ".split(''",
        ".substring(",
        ".replace('','aaaa')",
        ".matches('",
        "duration('1h')",
        "timestamp(",
        "quantity('1Gi')",
        "ip('::1')",
        "cidr('10.0.0.0/8')",
        ".format([",
        "optional.of(",
        ".orValue(",
        "sets.contains(",
    ])
}

/// Expressions that mostly compile.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "1",
        "n",
        "object.a",
        "names",
        "object.l",
        "'text'",
        "object.nope",
        "2u",
        "1.5",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[dyn({a}), dyn({b})]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("dyn({a}).map(x, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("dyn({a})[dyn({b})]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(dyn({a}) == dyn({b}) ? {a} : {a})")),
            inner.clone().prop_map(|a| format!("string(dyn({a}))")),
            inner.prop_map(|a| format!("dyn({a}).transformList(i, x, [i, x, x])")),
        ]
    })
}

fn run(source: &str) -> Result<(), TestCaseError> {
    let Ok(program) = env().compile(source) else { return Ok(()) };
    let object = serde_json::json!({"a": 1, "s": "text", "l": [3, 1, 2]});
    let names = serde_json::json!(["x", "yy"]);
    let variables =
        [("object", Value::from_json(&object)), ("n", Value::Int(5)), ("names", Value::from_json(&names))];
    let limit = 20_000;
    let mut meter = Meter::new(limit);
    let outcome = program.evaluate(&variables, &mut meter);
    prop_assert!(meter.spent() <= limit || outcome.is_err(), "{source} spent {}", meter.spent());
    prop_assert!(meter.spent() <= limit + ONE_STEP, "{source} spent {}", meter.spent());
    let _shown = program.estimate(&());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tokens_in_any_order(tokens in prop::collection::vec(token(), 0..24)) {
        run(&tokens.concat())?;
    }

    #[test]
    fn any_text(text in ".{0,60}") {
        run(&text)?;
    }

    #[test]
    fn expressions(source in expression()) {
        run(&source)?;
    }
}

#[test]
fn depth_is_bounded() {
    for source in [
        format!("{}1{}", "(".repeat(5000), ")".repeat(5000)),
        format!("n{}", " + n".repeat(5000)),
        format!("object{}", ".a".repeat(5000)),
        format!("{}true", "!".repeat(5001)),
        "[".repeat(3000),
    ] {
        run(&source).unwrap();
    }
}
