//! Rules against values, and against the writers of definitions.

use api_types::field::ErrorList;
use api_types::schema;
use serde_json::{Value, json};

use super::{Rules, validate_definition};

fn rules(spec: Value) -> Rules {
    let written = json!({"type": "object", "properties": {"spec": spec}});
    Rules::of(&schema::custom_root(Some(&written)).unwrap())
}

fn texts(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn rules_hold_or_say_why() {
    let rules = rules(json!({
        "type": "object",
        "properties": {
            "min": {"type": "integer"}, "max": {"type": "integer"},
            "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is fixed"}]},
        },
        "x-kubernetes-validations": [
            {"rule": "self.min <= self.max", "message": "min over max", "fieldPath": ".min", "reason": "FieldValueForbidden"},
            {"rule": "self.max != 13", "messageExpression": "'not ' + string(self.max)"},
        ],
    }));
    let check = |new: Value, old: Option<Value>| {
        let object = json!({"spec": new});
        let old = old.map(|old| json!({"spec": old}));
        texts(&rules.check(&object, old.as_ref(), &ErrorList::new()))
    };
    assert!(check(json!({"min": 1, "max": 2, "fixed": "a"}), None).is_empty());
    assert_eq!(
        check(json!({"min": 20, "max": 13}), None),
        ["spec.min: Forbidden: min over max", "spec: Invalid value: not 13"]
    );
    let old = json!({"min": 1, "max": 2, "fixed": "a"});
    assert_eq!(
        check(json!({"min": 1, "max": 2, "fixed": "b"}), Some(old)),
        ["spec.fixed: Invalid value: \"b\": is fixed"]
    );
    let broken = json!({"min": 3, "max": 2});
    assert!(check(broken.clone(), Some(broken)).is_empty(), "what is as it was stays");
    assert_eq!(
        check(json!({"max": 2}), None),
        ["spec: Invalid value: \"object\": no such key: min evaluating rule: min over max"]
    );
}

#[test]
fn definitions_are_refused_for_their_rules() {
    let definition = |spec: Value| {
        json!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": spec},
        }}}]}})
    };
    let found = |spec: Value| texts(&validate_definition(&definition(spec), None));
    let text = |rules: Value| json!({"type": "string", "maxLength": 10, "x-kubernetes-validations": rules});
    assert!(found(text(json!([{"rule": "self.startsWith('a')"}]))).is_empty());
    let place = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]";
    assert_eq!(
        found(text(json!([{"rule": " "}]))),
        [format!("{place}.rule: Required value: rule is not specified")]
    );
    assert!(found(text(json!([{"rule": "1"}])))[0].ends_with("cel expression must evaluate to a bool"));
    let expensive = json!({
        "type": "array", "items": {"type": "array", "items": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": "self.all(x, self.all(y, x == y))"}],
    });
    let errors = found(expensive);
    assert!(
        errors[0].starts_with(&format!("{place}.rule: Forbidden: estimated rule cost exceeds budget")),
        "{errors:?}"
    );
    assert_eq!(errors.len(), 3, "{errors:?}");
}
