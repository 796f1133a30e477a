use serde_json::json;

use super::*;
use crate::config::Field;

fn pods() -> Arc<ResourceConfig> {
    Arc::new(
        ResourceConfig::new("/registry/pods", true, "v1", "Pod")
            .field(Field::new("spec.nodeName").indexed())
            .field(Field::new("spec.hostNetwork").default_value("false"))
            .field(Field::new("source").path("source.component").path("reportingComponent")),
    )
}

fn both_ways(value: &Value) -> (Arc<Object>, Object) {
    let (config, interner) = (pods(), Interner::default());
    let key = Key::new(true, "ns", "a").unwrap();
    let prepared = Prepared::new(&config, &interner, key.clone(), "/registry/pods/ns/a", value).unwrap();
    let read = decode(&config, &interner, "/registry/pods/ns/a", key, &prepared.stored, 42).unwrap();
    (prepared.object(42), read)
}

#[test]
fn written_and_read_objects_are_the_same() {
    let cases = [
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "uid": "u", "resourceVersion": "7",
            "labels": {"b": "2", "a": "1"}}, "spec": {"nodeName": "n1", "hostNetwork": true}}),
        json!({"metadata": {"name": "a"}, "data": {"x": "y"}}),
        json!({"metadata": {}, "zzz": 1}),
        json!({"spec": null}),
        json!({"metadata": {"zz": 1}, "source": {"component": ""}, "reportingComponent": "r\"q"}),
        json!({"metadata": {"uid": "u\u{e9}\n"}}),
    ];
    for value in &cases {
        let (written, read) = both_ways(value);
        assert_eq!(written.json, read.json);
        assert_eq!(written.uid, read.uid);
        assert_eq!(written.labels, read.labels);
        assert_eq!(written.fields, read.fields);
        assert_eq!(written.revision_at, read.revision_at);
        let mut expected = value.clone();
        expected.as_object_mut().unwrap().remove("kind");
        expected.as_object_mut().unwrap().remove("apiVersion");
        expected["metadata"]["resourceVersion"] = "42".into();
        assert_eq!(written.value(), expected);
        assert_eq!(written.json.as_ref(), serde_json::to_vec(&expected).unwrap(), "canonical order");
        assert_eq!(written.at_revision(12345).value()["metadata"]["resourceVersion"], "12345");
    }
}

#[test]
fn selectable_values_are_extracted() {
    let (object, _) = both_ways(&json!({"metadata": {"labels": {"b": "2", "a": "1"}},
        "spec": {"nodeName": "n1", "hostNetwork": true}, "source": {"component": ""}, "reportingComponent": "r"}));
    assert_eq!((object.namespace(), object.name()), ("ns", "a"));
    assert_eq!((object.label("a"), object.label("c")), (Some("1"), None));
    assert_eq!(object.field("spec.nodeName"), Some("n1"));
    assert_eq!(object.field("spec.hostNetwork"), Some("true"));
    assert_eq!(object.field("source"), Some("r"));
    assert_eq!(object.field("metadata.namespace"), Some("ns"));
    assert_eq!(object.field("status.phase"), None);
    let (object, _) = both_ways(&json!({"spec": {}}));
    assert_eq!(object.field("spec.hostNetwork"), Some("false"));
}

#[test]
fn an_unchanged_object_is_recognised() {
    let value =
        json!({"metadata": {"name": "a", "resourceVersion": "7", "uid": "u"}, "spec": {"nodeName": "n"}});
    let (object, _) = both_ways(&value);
    let prepare = |value: &Value| {
        let key = Key::new(true, "ns", "a").unwrap();
        Prepared::new(&pods(), &Interner::default(), key, "k", value).unwrap()
    };
    assert!(prepare(&value).equals(&object));
    assert!(prepare(&object.value()).equals(&object));
    assert!(
        !prepare(&json!({"metadata": {"name": "a", "uid": "u"}, "spec": {"nodeName": "m"}})).equals(&object)
    );
    assert!(!prepare(&json!({"metadata": {"name": "a"}})).equals(&object));
}

#[test]
fn foreign_values_go_through_the_decoder() {
    let mut config = (*pods()).clone();
    let key = Key::new(true, "ns", "a").unwrap();
    let refused = decode(&Arc::new(config.clone()), &Interner::default(), "k", key.clone(), b"k8s\0...", 3);
    assert!(refused.unwrap_err().contains("no decoder"));
    config.decode = Some(Arc::new(|bytes| {
        assert!(bytes.starts_with(b"k8s\0") || bytes.starts_with(b"{"));
        Ok(json!({"kind": "Pod", "metadata": {"name": "a"}}))
    }));
    let config = Arc::new(config);
    for stored in [&b"k8s\0..."[..], br#"{"kind":"Pod","apiVersion":"v0","metadata":{}}"#] {
        let object = decode(&config, &Interner::default(), "k", key.clone(), stored, 3).unwrap();
        assert_eq!(object.value(), json!({"metadata": {"name": "a", "resourceVersion": "3"}}));
    }
}

#[test]
fn json_in_another_order_becomes_canonical() {
    let stored = br#" {"metadata": {"uid":"u", "name":"a"}, "data":{"b":1}, "apiVersion":"v1","kind":"Pod"}"#;
    let key = Key::new(true, "ns", "a").unwrap();
    let object = decode(&pods(), &Interner::default(), "k", key, stored.trim_ascii(), 9).unwrap();
    assert_eq!(
        &object.json[..],
        br#"{"data":{"b":1},"metadata":{"name":"a","resourceVersion":"9","uid":"u"}}"#
    );
}

#[test]
fn keys() {
    assert_eq!(Key::new(true, "", "a"), None);
    assert_eq!(Key::new(false, "ns", "a"), None);
    assert_eq!(Key::new(false, "", ""), None);
    assert_eq!(Key::parse(true, "ns/a"), Key::new(true, "ns", "a"));
    assert_eq!(Key::parse(false, "a"), Key::new(false, "", "a"));
    assert_eq!(Key::parse(true, "a"), None);
    // RBAC names may hold colons and, in paths of services/specs and the like, nothing else; a slash stays in the name.
    assert_eq!(Key::parse(true, "ns/a/b").unwrap().name_at, 3);
}
