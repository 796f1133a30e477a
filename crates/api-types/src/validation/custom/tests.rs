//! Values against schemas.

use serde_json::json;

use super::*;
use crate::schema::{SchemaRef, from_open_api};

fn schema() -> SchemaRef {
    let spec = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string", "maxLength": 5, "pattern": "^[a-z]+$"},
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "f": {"type": "number", "multipleOf": 0.5},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "ip": {"type": "string", "format": "ipv4"},
        "port": {"x-kubernetes-int-or-string": true},
        "either": {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "string"}},
            "oneOf": [{"required": ["x"]}, {"required": ["y"]}]}}});
    from_open_api(&json!({"type": "object", "properties": {"spec": spec}})).unwrap()
}

#[test]
fn values_are_checked() {
    let cases = [
        (json!({"name": "ab", "size": 9, "port": 80, "ip": "1.2.3.4", "f": 1.5, "either": {"x": ""}}), ""),
        (json!({}), "spec.name: Required value"),
        (json!({"name": "abcdef"}), "spec.name: Too long: may not be more than 5 bytes"),
        (json!({"name": "A"}), "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'"),
        (
            json!({"name": "a", "size": "x"}),
            "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
        ),
        (
            json!({"name": "a", "size": 0}),
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
        (
            json!({"name": "a", "f": 0.3}),
            "spec.f: Invalid value: 0.3: spec.f in body should be a multiple of 0.5",
        ),
        (
            json!({"name": "a", "mode": "c"}),
            "spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\"",
        ),
        (json!({"name": "a", "tags": ["x", "x"]}), "spec.tags[1]: Duplicate value: \"x\""),
        (json!({"name": "a", "tags": ["x", "y", "z"]}), "spec.tags: Too many: 3: must have at most 2 items"),
        (
            json!({"name": "a", "ip": "1.2.3"}),
            "spec.ip: Invalid value: \"1.2.3\": spec.ip in body must be of type ipv4: \"1.2.3\"",
        ),
        (
            json!({"name": "a", "either": {}}),
            "spec.either: Invalid value: \"\": \"spec.either\" must validate one and only one schema (oneOf). Found none valid",
        ),
    ];
    for (spec, expected) in cases {
        let errors = validate(&schema(), &json!({"spec": spec}), None);
        let got = if errors.is_empty() { String::new() } else { errors.to_string() };
        assert_eq!(got, expected, "{spec}");
    }
}
