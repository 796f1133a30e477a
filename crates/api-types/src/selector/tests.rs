use serde_json::json;

use super::*;

#[test]
fn label_selectors_match() {
    let labels = json!({"x": "1", "y": "", "g.example.com/z": "v"});
    let cases = [
        ("", true),
        ("x", true),
        ("!x", false),
        ("x=1", true),
        ("x==1", true),
        ("x!=1", false),
        ("q!=1", true),
        ("x in (1,2)", true),
        ("x notin (1)", false),
        ("q notin (1)", true),
        ("x=1,g.example.com/z", true),
        ("y=", true),
        ("y in (,)", true),
        ("x>0", true),
        ("x<1", false),
        ("y>0", false),
        ("in=1", false),
        ("!q , x", true),
    ];
    for (text, expected) in cases {
        assert_eq!(Selector::parse(text).unwrap().matches(&labels), expected, "{text}");
    }
}

#[test]
fn label_selector_errors() {
    let cases = [
        (
            "x in ()",
            "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
        ),
        ("x exists", "unable to parse requirement: found 'exists', expected: in, notin, =, ==, !=, gt, lt"),
        ("=1", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=1 b", "found 'b', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("x in x", "unable to parse requirement: found 'x' expected: '('"),
        (
            "x>a",
            "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(Selector::parse(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn selectors_print_canonically() {
    for (text, printed) in [("b=1,a in (2,1)", "a in (1,2),b=1"), ("!x,y", "!x,y"), ("x>1", "x>1")] {
        assert_eq!(Selector::parse(text).unwrap().to_string(), printed);
    }
}

#[test]
fn label_selector_objects() {
    let selector =
        json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]});
    let selector = Selector::from_value(&selector).unwrap();
    assert!(selector.matches(&json!({"a": "1", "b": ""})));
    assert!(!selector.matches(&json!({"a": "1"})));
    assert!(Selector::from_value(&json!(null)).unwrap().is_nothing());
    assert!(Selector::from_value(&json!({})).unwrap().is_everything());
    assert_eq!(selector.exact_value("a"), Some("1"));
}

#[test]
fn field_selectors() {
    let parsed = FieldSelector::parse(r"a=b\,c,d!=e,f==g").unwrap();
    assert_eq!(parsed.to_string(), r"a=b\,c,d!=e,f=g");
    assert_eq!(parsed.exact_value("a"), Some("b,c"));
    assert!(parsed.matches(|field| match field {
        "a" => "b,c",
        "f" => "g",
        _ => "",
    }));
    let cases = [
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ];
    for (text, expected) in cases {
        assert_eq!(FieldSelector::parse(text).unwrap_err().to_string(), expected);
    }
}
