use serde_json::{Value, json};

use super::*;
use crate::schema::{SchemaRef, by_gvk};

fn deployment() -> SchemaRef {
    by_gvk("apps", "v1", "Deployment").unwrap()
}

#[test]
fn json_patches() {
    let document = json!({"data": {"k": "v", "a/b": 1}, "list": [1, 2]});
    let cases = [
        (json!([{"op": "add", "path": "/data/k", "value": "2"}]), Some(json!({"k": "2", "a/b": 1}))),
        (
            json!([{"op": "replace", "path": "/data/zz", "value": "z"}]),
            Some(json!({"k": "v", "a/b": 1, "zz": "z"})),
        ),
        (json!([{"op": "remove", "path": "/data/zz"}]), None),
        (json!([{"op": "remove", "path": "/data/a~1b"}]), Some(json!({"k": "v"}))),
        (json!([{"op": "move", "from": "/data/k", "path": "/data/m"}]), Some(json!({"m": "v", "a/b": 1}))),
        (
            json!([{"op": "copy", "from": "/data/none", "path": "/data/c"}]),
            Some(json!({"k": "v", "a/b": 1, "c": null})),
        ),
        (json!([{"op": "test", "path": "/data/k", "value": "no"}]), None),
        (json!([{"op": "test", "path": "/data/none", "value": null}]), Some(json!({"k": "v", "a/b": 1}))),
        (json!([{"op": "add", "path": "/none/0", "value": 1}]), None),
        (json!([{"path": "/x", "value": 1}]), None),
    ];
    for (patch, expected) in cases {
        let mut patched = document.clone();
        match (json_patch(&mut patched, &patch), expected) {
            (Ok(()), Some(expected)) => assert_eq!(patched["data"], expected, "{patch}"),
            (Err(error), None) => assert_eq!(error.code, 422, "{patch}"),
            (result, _) => panic!("{patch}: {result:?}"),
        }
    }
    let lists = [("/list/-", json!([1, 2, 9])), ("/list/0", json!([9, 1, 2])), ("/list/2", json!([1, 2, 9]))];
    for (path, expected) in lists {
        let mut patched = document.clone();
        json_patch(&mut patched, &json!([{"op": "add", "path": path, "value": 9}])).unwrap();
        assert_eq!(patched["list"], expected);
    }
}

#[test]
fn merge_patches() {
    // The examples of RFC 7386, appendix A.
    let cases = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ];
    for (mut document, patch, expected) in cases {
        merge_patch(&mut document, &patch);
        assert_eq!(document, expected);
    }
}

fn base() -> Value {
    json!({
        "metadata": {"finalizers": ["a", "b"]},
        "spec": {"replicas": 1, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"spec": {
                "containers": [
                    {"name": "a", "image": "i:1", "args": ["1", "2"], "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
                    {"name": "b", "image": "i:2"}],
                "volumes": [{"name": "v", "emptyDir": {}}]}}}})
}

#[test]
fn strategic_merges() {
    let cases = [
        (json!({"metadata": {"finalizers": ["c"]}}), "/metadata/finalizers", json!(["c", "a", "b"])),
        (
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
            "/metadata/finalizers",
            json!(["b"]),
        ),
        (
            json!({"metadata": {"$setElementOrder/finalizers": ["b", "a", "d"], "finalizers": ["d"]}}),
            "/metadata/finalizers",
            json!(["b", "a", "d"]),
        ),
        (
            json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}}),
            "/spec/strategy",
            json!({"type": "Recreate"}),
        ),
        (
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            "/spec/strategy",
            json!({"type": "Recreate"}),
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": [{"name": "z", "image": "i"}, {"name": "b", "$patch": "delete"}]}}}}),
            "/spec/template/spec/containers/0/name",
            json!("z"),
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "X", "value": "9"}, {"name": "N"}]}]}}}}),
            "/spec/template/spec/containers/0/env",
            json!([{"name": "X", "value": "9"}, {"name": "N"}, {"name": "Y", "value": "2"}]),
        ),
        (
            json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}}}),
            "/spec/template/spec/containers/0/name",
            json!("b"),
        ),
        (
            json!({"spec": {"template": {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}}}}),
            "/spec/template/spec/volumes",
            json!([{"name": "v", "hostPath": {"path": "/x"}}]),
        ),
    ];
    for (patch, path, expected) in cases {
        let patched = strategic_merge(&deployment(), &base(), &patch).unwrap();
        assert_eq!(patched.pointer(path), Some(&expected), "{patch}");
    }
}

#[test]
fn strategic_errors() {
    let containers = |c: Value| json!({"spec": {"template": {"spec": {"containers": c}}}});
    let cases = [
        (
            json!({"spec": {"strategy": {"$patch": "frobnicate"}}}),
            500,
            "unknown patch type: frobnicate in map: map[$patch:frobnicate]",
        ),
        (
            containers(json!([{"image": "nokey"}])),
            500,
            "map: map[image:nokey] does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"replicas": "three"}}),
            422,
            " \"\" is invalid: patch: Invalid value: \"map[spec:map[replicas:three]]\": unrecognized type: int32",
        ),
        (
            json!({"spec": ["a"]}),
            422,
            " \"\" is invalid: patch: Invalid value: \"map[spec:[a]]\": cannot restore struct from: slice",
        ),
        (
            containers(json!({"name": "a"})),
            422,
            " \"\" is invalid: patch: Invalid value: \"map[spec:map[template:map[spec:map[containers:map[name:a]]]]]\": cannot restore slice from map",
        ),
        (
            json!({"spec": {"template": {"spec": {"$setElementOrder/containers": "x"}}}}),
            500,
            "expected a []interface {}, but received a string",
        ),
    ];
    for (patch, code, message) in cases {
        let error = strategic_merge(&deployment(), &base(), &patch).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (code, message));
    }
}

#[test]
fn copies_do_not_grow_without_end() {
    let copy = |n: usize| json!({"op": "copy", "from": "", "path": format!("/k{n}")});
    let mut document = json!({"text": "x".repeat(1000)});
    let few: Vec<Value> = (0..5).map(copy).collect();
    assert!(json_patch(&mut document, &few.into()).is_ok());
    let many: Vec<Value> = (0..60).map(copy).collect();
    assert_eq!(json_patch(&mut document, &many.into()).unwrap_err().code, 422);
}
