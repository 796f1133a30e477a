use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::Field;

fn pods() -> Arc<ResourceConfig> {
    Arc::new(
        ResourceConfig::new("/registry/pods", true, "v1", "Pod")
            .field(Field::new("spec.nodeName").indexed())
            .field(Field::new("spec.hostNetwork").default_value("false"))
            .field(Field::new("source").path("source").path("source.component").path("reportingComponent")),
    )
}

fn both_ways(value: &Value) -> (Arc<Object>, Object) {
    let (config, interner) = (pods(), Interner::default());
    let key = Key::new(true, "ns", "a").unwrap();
    let prepared = Prepared::new(&config, &interner, key.clone(), "/registry/pods/ns/a", value).unwrap();
    let read = decode(&config, &interner, "/registry/pods/ns/a", key, &prepared.stored, 42).unwrap();
    (prepared.object(42), read)
}

fn prepared(value: &Value) -> Prepared {
    Prepared::new(&pods(), &Interner::default(), Key::new(true, "ns", "a").unwrap(), "k", value).unwrap()
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
    assert!(prepared(&value).equals(&object));
    assert!(prepared(&object.value()).equals(&object));
    assert!(
        !prepared(&json!({"metadata": {"name": "a", "uid": "u"}, "spec": {"nodeName": "m"}})).equals(&object)
    );
    assert!(!prepared(&json!({"metadata": {"name": "a"}})).equals(&object));
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

/// Any JSON, in the position where objects have it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i16>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".*|metadata|nodeName", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_object_survives_storage(
        members in prop::collection::btree_map("[a-z]{0,8}|spec|source|kind|.*", any_json(), 0..6),
        metadata in prop::collection::btree_map("[a-z]{0,8}|uid|resourceVersion|zz|.*", ".*", 0..6),
        labels in prop::option::of(prop::collection::btree_map(".*", ".*", 0..4)),
    ) {
        let mut value = Value::Object(members.into_iter().collect());
        value["metadata"] = json!(metadata);
        if let Some(labels) = labels {
            value["metadata"]["labels"] = json!(labels);
        }
        let (written, read) = both_ways(&value);
        prop_assert_eq!(&written.json, &read.json);
        prop_assert_eq!(&written.uid, &read.uid);
        prop_assert_eq!(&written.labels, &read.labels);
        prop_assert_eq!(&written.fields, &read.fields);
        prop_assert_eq!(written.revision_at, read.revision_at);
        value.as_object_mut().unwrap().remove("kind");
        value.as_object_mut().unwrap().remove("apiVersion");
        value["metadata"]["resourceVersion"] = "42".into();
        prop_assert_eq!(&serde_json::to_vec(&written.value()).unwrap(), &serde_json::to_vec(&value).unwrap());
        prop_assert!(prepared(&written.value()).equals(&written));
        let later = written.at_revision(12_345);
        value["metadata"]["resourceVersion"] = "12345".into();
        prop_assert_eq!(&serde_json::to_vec(&later.value()).unwrap(), &serde_json::to_vec(&value).unwrap());
    }

    #[test]
    fn no_stored_bytes_are_fatal(stored in prop::collection::vec(any::<u8>(), 0..64), json in any_json()) {
        let key = Key::new(true, "ns", "a").unwrap();
        let mut typed = json.clone();
        if let Some(members) = typed.as_object_mut() {
            members.insert("kind".to_owned(), "Pod".into());
            members.insert("apiVersion".to_owned(), "v1".into());
        }
        for stored in [stored, serde_json::to_vec(&json).unwrap(), serde_json::to_vec(&typed).unwrap()] {
            // Any answer will do.
            decode(&pods(), &Interner::default(), "k", key.clone(), &stored, 1).ok();
        }
    }
}
