//! Names and conditions of definitions.

use bytes::Bytes;
use serde_json::{Value, json};

use super::conditions;
use super::definition::Definition;
use super::names::Claims;

fn definition(plural: &str, kind: &str, short: &[&str], status: Value) -> Definition {
    let object = json!({
        "metadata": {"name": format!("{plural}.example.com"), "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {
                "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
                "shortNames": short,
            },
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
        "status": status,
    });
    Definition::parse(&Bytes::from(object.to_string())).unwrap()
}

fn summary(definition: &Definition, claims: &Claims<'_>, served: bool) -> Vec<String> {
    let plan = conditions::plan(definition, claims, served);
    let conditions = plan.map(|plan| plan.conditions).unwrap_or_default();
    conditions.iter().map(|c| format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message)).collect()
}

#[test]
fn names_are_accepted_before_the_resource_is_established() {
    let fresh = definition("widgets", "Widget", &["wd"], json!({}));
    let claims = Claims::default();
    assert_eq!(
        summary(&fresh, &claims, false),
        [
            "NamesAccepted=True NoConflicts: no conflicts found",
            "Established=False Installing: the initial names have been accepted",
        ]
    );
    let accepted = json!({
        "acceptedNames": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"]},
        "conditions": [
            {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found"},
            {"type": "Established", "status": "False", "reason": "Installing", "message": "the initial names have been accepted"},
        ],
    });
    let accepted = definition("widgets", "Widget", &["wd"], accepted);
    let own = Claims::of([&accepted].into_iter());
    assert!(summary(&accepted, &own, false).is_empty(), "rows are not there yet");
    assert_eq!(
        summary(&accepted, &own, true),
        ["Established=True InitialNamesAccepted: the initial names have been accepted"]
    );
}

#[test]
fn names_of_others_are_refused() {
    let names = json!({"acceptedNames": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd", "w"]}});
    let first = definition("widgets", "Widget", &["wd"], names);
    let claims = Claims::of([&first].into_iter());
    let cases = [
        (definition("gadgets", "Widget", &[], json!({})), "KindConflict: \"Widget\" is already in use"),
        (
            definition("gadgets", "Gadget", &["wd", "w"], json!({})),
            "ShortNamesConflict: [\"wd\" is already in use, \"w\" is already in use]",
        ),
        (definition("widget", "Gadget", &[], json!({})), "PluralConflict: \"widget\" is already in use"),
    ];
    for (second, expected) in cases {
        let found = summary(&second, &claims, false);
        assert_eq!(found[0], format!("NamesAccepted=False {expected}"));
        assert_eq!(found[1], "Established=False NotAccepted: not all names are accepted");
    }
}
