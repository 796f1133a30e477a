mod fuzz;

use super::*;

fn env() -> Environment {
    Environment::new().with("object", Type::Dyn).with("n", Type::Int).with("names", Type::list(Type::String))
}

fn eval(source: &str) -> Result<String, String> {
    let program = env().compile(source).map_err(|e| e.to_string())?;
    let object =
        serde_json::json!({"a": 1, "s": "text", "l": [3, 1, 2], "m": {"k": "v"}, "f": 1.5, "z": null});
    let names = serde_json::json!(["x", "yy"]);
    let variables =
        [("object", Value::from_json(&object)), ("n", Value::Int(5)), ("names", Value::from_json(&names))];
    let mut meter = Meter::new(CALL_LIMIT);
    let value = program.evaluate(&variables, &mut meter).map_err(|e| e.to_string())?;
    Ok(value.to_json().map_or_else(|| format!("{value:?}"), |json| json.to_string()))
}

#[test]
fn values() {
    let cases = [
        ("1 + 2 * 3", "7"),
        ("object.a + 1", "2"),
        ("object.l[1]", "1"),
        ("object.m['k'] + object.m.k", "\"vv\""),
        ("has(object.a) && !has(object.b)", "true"),
        ("object.?b.orValue(7)", "7"),
        ("object.?m.?k.orValue('')", "\"v\""),
        ("object.l.all(x, x > 0)", "true"),
        ("object.l.exists(x, x == 2) && object.l.exists_one(x, x == 2)", "true"),
        ("object.l.map(x, x * 2)", "[6,2,4]"),
        ("object.l.filter(x, x > 1)", "[3,2]"),
        ("object.l.map(x, x > 1, x + 1)", "[4,3]"),
        ("object.m.map(k, k)", "[\"k\"]"),
        ("object.l.transformList(i, x, i + x)", "[3,2,4]"),
        ("object.m.transformMap(k, v, v + '!')", "{\"k\":\"v!\"}"),
        ("object.m.transformMapEntry(k, v, {v: k})", "{\"v\":\"k\"}"),
        ("object.l.all(i, x, i < x || x == 1 || x == 2)", "true"),
        ("optional.of(3).optMap(x, x + 1).value()", "4"),
        ("optional.none().hasValue()", "false"),
        ("'abc'.size() + size([1, 2]) + size({'a': 1})", "6"),
        ("'%s is %d and %.2f'.format([dyn('x'), dyn(3), dyn(1.5)])", "\"x is 3 and 1.50\""),
        (
            "1 == 1.0 && 1u == 1u && 2 > 1.5",
            "error: ERROR: <input>:1:3: found no matching overload for '_==_' applied to '(int, double)'\n | 1 == 1.0 && 1u == 1u && 2 > 1.5\n | ..^",
        ),
        ("2 > 1.5", "true"),
        ("dyn(1) == 1.0", "true"),
        ("true || object.nope == 1", "true"),
        ("object.nope == 1 || true", "true"),
        ("object.nope == 1 && true", "error: no such key: nope"),
        ("1 / 0", "error: division by zero"),
        ("object.l[7]", "error: index out of bounds: 7"),
        ("object.s > 1", "error: no such overload"),
        ("type(1) == int && type('') == string", "true"),
        ("string(duration('90m'))", "\"5400s\""),
        ("timestamp('2024-02-29T12:00:00Z').getMonth()", "1"),
        ("timestamp('2024-02-29T12:00:00Z') + duration('24h') == timestamp('2024-03-01T12:00:00Z')", "true"),
        ("quantity('1Gi').isGreaterThan(quantity('1Mi'))", "true"),
        ("quantity('50k').add(20).sub(quantity('20')).compareTo(quantity('50k')) == 0", "true"),
        ("url('https://a.b:80/c?x=1&x=2').getHost()", "\"a.b:80\""),
        ("url('https://a.b/c?x=1&x=2').getQuery()['x']", "[\"1\",\"2\"]"),
        ("ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.1.1.1')", "true"),
        ("ip.isCanonical('::FFFF')", "false"),
        ("semver('1.2.3').isLessThan(semver('v1.10', true))", "true"),
        ("format.dns1123Label().validate('Bad_').hasValue()", "true"),
        ("format.named('uuid').value().validate('0b7f9b0e-8d7c-4a57-9e5c-111111111111').hasValue()", "false"),
        ("sets.contains([1, 2], [1]) && [3, 1, 2].sum() == 6 && ['a', 'b'].indexOf('b') == 1", "true"),
        ("'a,b'.split(',')", "[\"a\",\"b\"]"),
        ("names.join('-')", "\"x-yy\""),
        ("'hello'.substring(1, 3) + 'x'.upperAscii()", "\"elX\""),
        ("'10.0.0.1'.matches('^[0-9.]+$')", "true"),
        ("'a1b22'.findAll('[0-9]+')", "[\"1\",\"22\"]"),
        ("n in [1, 5] && 'k' in object.m", "true"),
        ("[1, 2, 3].map(x, [1, 2].map(y, x * y))", "[[1,2],[2,4],[3,6]]"),
        ("object.z == null", "true"),
        ("{'a': 1, ?'b': object.?nope}", "{\"a\":1}"),
        ("[?object.?nope, 1]", "[1]"),
        ("jsonpatch.escapeKey('k8s.io/my~label')", "\"k8s.io~1my~0label\""),
    ];
    for (source, expected) in cases {
        let found = eval(source).unwrap_or_else(|error| format!("error: {error}"));
        assert_eq!(found, expected, "{source}");
    }
}

#[test]
fn compile_errors() {
    let cases = [
        (
            "object.",
            "ERROR: <input>:1:8: Syntax error: no viable alternative at input '.'\n | object.\n | .......^",
        ),
        (
            "params.x == 1",
            "ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.x == 1\n | ^",
        ),
        (
            "n > 'a'",
            "ERROR: <input>:1:3: found no matching overload for '_>_' applied to '(int, string)'\n | n > 'a'\n | ..^",
        ),
        (
            "names.nope",
            "ERROR: <input>:1:6: type 'list(string)' does not support field selection\n | names.nope\n | .....^",
        ),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        (
            "n.all(x, true)",
            "ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | n.all(x, true)\n | ^",
        ),
        (
            "n.startsWith('a')",
            "ERROR: <input>:1:13: found no matching overload for 'startsWith' applied to 'int.(string)'\n | n.startsWith('a')\n | ............^",
        ),
        (
            "nope(1)",
            "ERROR: <input>:1:5: undeclared reference to 'nope' (in container '')\n | nope(1)\n | ....^",
        ),
    ];
    for (source, expected) in cases {
        let error = env().compile(source).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some(expected), "{source}");
    }
}

#[test]
fn budget_stops_an_evaluation() {
    let ten = "[1,2,3,4,5,6,7,8,9,0]";
    let source = (0..8).fold("true".to_owned(), |inner, i| format!("{ten}.all(x{i}, {inner})"));
    let program = Environment::new().compile(&source).unwrap();
    let mut meter = Meter::new(CALL_LIMIT);
    let empty: [(&str, Value<'_>); 0] = [];
    assert_eq!(program.evaluate(&empty, &mut meter).unwrap_err(), Error::CostLimit);
    assert!(meter.spent() < CALL_LIMIT + 1000);
}
