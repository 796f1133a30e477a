use serde_json::{Value, json};

use super::*;
use crate::schema::{SchemaRef, by_gvk};
use crate::time;

fn schema(api_version: &str, kind: &str) -> SchemaRef {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    by_gvk(group, version, kind).unwrap()
}

fn manager(api_version: &str, kind: &str) -> FieldManager {
    FieldManager::new(schema(api_version, kind), api_version, kind, "").with_reset_fields(["status"])
}

fn now() -> jiff::Timestamp {
    time::parse("2024-01-01T00:00:00Z").unwrap()
}

fn fields(object: &Value, index: usize) -> &Value {
    &object["metadata"]["managedFields"][index]["fieldsV1"]
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "uid": "u"}, "data": data})
}

#[test]
fn field_sets_read_back() {
    let encoded = json!({"f:a": {".": {}, "k:{\"b\":1,\"c\":\"x\"}": {"f:d": {}}}, "f:e": {"v:\"q\"": {}}});
    assert_eq!(Set::from_value(&encoded).unwrap().to_value(), encoded);
    let paths: Vec<String> =
        Set::from_value(&encoded).unwrap().paths().iter().map(|p| path_text(p)).collect();
    assert_eq!(paths, [".a", ".a[b=1,c=\"x\"].d", ".e[=\"q\"]"]);
}

#[test]
fn creation_is_tracked() {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"app": "w"}},
        "spec": {"containers": [{"name": "a", "image": "i", "resources": {},
            "ports": [{"containerPort": 80, "protocol": "TCP"}]}], "restartPolicy": "Always"},
        "status": {"phase": "Pending"}});
    manager("v1", "Pod").update(None, &mut pod, "kubectl", now());
    let expected = json!([{
        "manager": "kubectl", "operation": "Update", "apiVersion": "v1", "time": "2024-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}, "f:name": {}, "f:resources": {},
                    "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}":
                        {".": {}, "f:containerPort": {}, "f:protocol": {}}}}},
                "f:restartPolicy": {}}}}]);
    assert_eq!(pod["metadata"]["managedFields"], expected);
}

#[test]
fn updates_take_ownership() {
    let m = manager("v1", "ConfigMap");
    let mut live = config_map(json!({"x": "1", "y": "1"}));
    m.update(None, &mut live, "a", now());
    let mut same = live.clone();
    m.update(Some(&live), &mut same, "b", now());
    assert_eq!(same, live);
    let mut next = config_map(json!({"x": "2", "z": "1"}));
    m.update(Some(&live), &mut next, "b", now());
    assert_eq!(fields(&next, 0), &json!({"f:data": {}}));
    assert_eq!(fields(&next, 1), &json!({"f:data": {"f:x": {}, "f:z": {}}}));
}

#[test]
fn applies_share_conflict_and_prune() {
    let m = manager("v1", "ConfigMap");
    let config = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data});
    let first = m.apply(None, &config(json!({"x": "1"})), "a", false, now()).unwrap();
    let both = m.apply(Some(&first), &config(json!({"x": "1", "y": "2"})), "b", false, now()).unwrap();
    assert_eq!(both["data"], json!({"x": "1", "y": "2"}));
    let error = m.apply(Some(&both), &config(json!({"x": "3"})), "b", false, now()).unwrap_err();
    assert_eq!(error.message, "Apply failed with 1 conflict: conflict with \"a\": .data.x");
    let forced = m.apply(Some(&both), &config(json!({"x": "3"})), "b", true, now()).unwrap();
    assert_eq!(forced["data"], json!({"x": "3"}));
    assert_eq!(forced["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    let pruned = m.apply(Some(&both), &config(json!({"y": "2"})), "b", false, now()).unwrap();
    assert_eq!(pruned["data"], json!({"x": "1", "y": "2"}));
    let gone = m.apply(Some(&pruned), &config(json!({})), "a", false, now()).unwrap();
    assert_eq!(gone["data"], json!({"y": "2"}));
}

#[test]
fn pruning_spares_the_servers_fields() {
    let m = manager("v1", "ConfigMap");
    let config = |labels: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "labels": labels}});
    let mut live = m.apply(None, &config(json!({"a": "b"})), "a", false, now()).unwrap();
    live["metadata"]["uid"] = json!("u");
    let bare = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    let next = m.apply(Some(&live), &bare, "a", false, now()).unwrap();
    assert_eq!(next["metadata"], json!({"name": "c", "uid": "u"}));
}

#[test]
fn many_updaters_are_capped() {
    let m = manager("v1", "ConfigMap");
    let mut live = config_map(json!({"k": "v"}));
    m.update(None, &mut live, "first", now());
    for i in 0..14 {
        let mut next = live.clone();
        next["data"][format!("k{i}")] = json!("v");
        m.update(Some(&live), &mut next, &format!("m{i:02}"), now());
        live = next;
    }
    let managers: Vec<&str> = live["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["manager"].as_str().unwrap())
        .collect();
    assert_eq!(managers.len(), 10);
    assert!(managers.contains(&"ancient-changes"));
}

#[test]
fn lists_merge_in_place() {
    let schema = by_gvk("", "v1", "Pod").unwrap();
    let names = |names: &[&str]| -> Value {
        let containers: Vec<Value> = names.iter().map(|n| json!({"name": n})).collect();
        json!({"spec": {"containers": containers}})
    };
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&["a", "b"], &["b"], &["a", "b"]),
        (&["a", "b"], &["c", "b"], &["a", "c", "b"]),
        (&["a", "b", "c"], &["c", "a"], &["b", "c", "a"]),
        (&["x", "a", "y"], &["a", "n"], &["x", "a", "y", "n"]),
        (&[], &["a"], &["a"]),
    ];
    for (live, config, expected) in cases {
        assert_eq!(merge(&schema, &names(live), &names(config)), names(expected), "{live:?} {config:?}");
    }
}

#[test]
fn misfits_are_worded() {
    let cases = [
        (
            "v1",
            "ConfigMap",
            json!({"data": {"x": 1}}),
            ".data.x: expected string, got &value.valueUnstructured{Value:1}",
        ),
        ("v1", "ConfigMap", json!({"data": "str"}), ".data: expected map, got &{str}"),
        ("v1", "ConfigMap", json!({"dato": {}}), ".dato: field not declared in schema"),
        (
            "apps/v1",
            "Deployment",
            json!({"spec": {"replicas": "x"}}),
            ".spec.replicas: expected numeric (int or float), got string",
        ),
        (
            "v1",
            "Pod",
            json!({"spec": {"containers": [{"name": "x"}, {"name": "x"}]}}),
            ".spec.containers: duplicate entries for key [name=\"x\"]",
        ),
    ];
    for (version, kind, value, expected) in cases {
        assert_eq!(check(&schema(version, kind), &value).unwrap_err(), expected);
    }
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    /// A set of paths over few names, so that sets overlap.
    fn sets() -> impl Strategy<Value = Set> {
        let path = proptest::collection::vec(
            prop_oneof!["[a-c]".prop_map(|n| PathElement::field(&n)), Just(PathElement::Index(1))],
            1..4,
        );
        proptest::collection::vec(path, 0..8).prop_map(|paths| {
            let mut set = Set::new();
            paths.iter().for_each(|path| set.insert(path));
            set
        })
    }

    /// A ConfigMap's data over few keys, never empty: the decoder leaves out empty maps.
    fn data() -> impl Strategy<Value = Value> {
        proptest::collection::btree_map("[a-e]", "[0-2]", 1..5).prop_map(|map| json!(map))
    }

    proptest! {
        #[test]
        fn sets_read_back(set in sets()) {
            prop_assert_eq!(Set::from_value(&set.to_value()), Some(set));
        }

        #[test]
        fn difference_and_intersection_divide_a_set(a in sets(), b in sets()) {
            let (rest, both) = (a.difference(&b), a.intersection(&b));
            prop_assert_eq!(rest.union(&both), a);
            prop_assert!(rest.intersection(&b).is_empty());
        }

        #[test]
        fn a_second_apply_changes_nothing(before in data(), after in data()) {
            let m = manager("v1", "ConfigMap");
            let config = |data: &Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data});
            let live = m.apply(None, &config(&before), "a", true, now()).unwrap();
            let once = m.apply(Some(&live), &config(&after), "a", true, now()).unwrap();
            let twice = m.apply(Some(&once), &config(&after), "a", true, now()).unwrap();
            prop_assert_eq!(&once, &twice);
            prop_assert_eq!(&once["data"], &after);
        }

        #[test]
        fn comparison_finds_every_difference(old in data(), new in data()) {
            let changes = compare(&schema("v1", "ConfigMap"), &config_map(old.clone()), &config_map(new.clone()));
            prop_assert_eq!(changes.is_same(), old == new);
        }
    }
}
