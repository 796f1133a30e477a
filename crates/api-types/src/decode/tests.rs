use serde_json::{Value, json};

use super::*;
use crate::schema::{self, SchemaRef};

fn node(name: &str) -> SchemaRef {
    schema::by_type(name).unwrap()
}

fn read(name: &str, text: &str) -> Value {
    strict(&node(name), text.as_bytes()).unwrap().value
}

#[test]
fn printed_form_is_gos() {
    let cases = [
        ("core/v1.Pod", r#"{}"#, json!({"metadata": {}, "spec": {"containers": null}, "status": {}})),
        (
            "core/v1.Pod",
            r#"{"spec":{"containers":[{"name":"a","image":"","env":[],"resources":{}}],"nodeSelector":{},"priority":null}}"#,
            json!({"metadata": {}, "spec": {"containers": [{"name": "a", "resources": {}}]}, "status": {}}),
        ),
        (
            "apps/v1.Deployment",
            r#"{"spec":{"replicas":0,"paused":false}}"#,
            json!({"metadata": {}, "status": {}, "spec": {"replicas": 0, "selector": null, "strategy": {},
                "template": {"metadata": {}, "spec": {"containers": null}}}}),
        ),
        (
            "core/v1.Event",
            r#"{"metadata":{"creationTimestamp":null},"count":0}"#,
            json!({"metadata": {}, "involvedObject": {}, "source": {}, "firstTimestamp": null, "lastTimestamp": null,
                "eventTime": null, "reportingComponent": "", "reportingInstance": ""}),
        ),
        (
            "core/v1.ConfigMap",
            r#"{"data":{"a":null},"binaryData":{"b":null},"immutable":false}"#,
            json!({"metadata": {}, "data": {"a": ""}, "binaryData": {"b": null}, "immutable": false}),
        ),
        ("rbac.authorization.k8s.io/v1.Role", r#"{"rules":[]}"#, json!({"metadata": {}, "rules": []})),
    ];
    for (name, text, want) in cases {
        assert_eq!(read(name, text), want, "{text}");
        let value = serde_json::from_str(text).unwrap();
        assert_eq!(normalize(&node(name), value).unwrap(), want, "{text}");
    }
}

#[test]
fn empty_lists_are_absent_once_stored() {
    let schema = node("rbac.authorization.k8s.io/v1.Role");
    let mut role = json!({"metadata": {"finalizers": []}, "rules": []});
    to_stored_form(&schema, &mut role);
    assert_eq!(role, json!({"metadata": {}, "rules": null}));
}

#[test]
fn scalars_take_canonical_text() {
    let limits = r#"{"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":0.5,"memory":"1024Mi","x":"1000"}}}]}}"#;
    let value = read("core/v1.Pod", limits);
    assert_eq!(
        value["spec"]["containers"][0]["resources"]["limits"],
        json!({"cpu": "500m", "memory": "1Gi", "x": "1k"})
    );
    let lease =
        read("coordination.k8s.io/v1.Lease", r#"{"spec":{"renewTime":"2020-01-01T02:00:00.000001+02:00"}}"#);
    assert_eq!(lease["spec"]["renewTime"], "2020-01-01T00:00:00.000001Z");
    let meta =
        read("core/v1.ConfigMap", r#"{"metadata":{"creationTimestamp":"2020-01-01T02:00:00.9+02:00"}}"#);
    assert_eq!(meta["metadata"]["creationTimestamp"], "2020-01-01T00:00:00Z");
}

#[test]
fn findings_are_in_the_order_of_the_text() {
    let text = r#"{"kind":"ConfigMap","Data":{},"metadata":{"name":"d","name":"e","oops":{"x":[1]}},
        "data":{"a":"1","a":"2"},"data":{"b":"3"},"nope":1,"nope":2}"#;
    let decoded = strict(&node("core/v1.ConfigMap"), text.as_bytes()).unwrap();
    let wanted = [
        r#"unknown field "Data""#,
        r#"duplicate field "metadata.name""#,
        r#"unknown field "metadata.oops""#,
        r#"duplicate field "data.a""#,
        r#"duplicate field "data""#,
        r#"unknown field "nope""#,
    ];
    assert_eq!(decoded.findings, wanted);
    assert_eq!(decoded.value["data"], json!({"a": "2", "b": "3"}));
    assert_eq!(decoded.value["metadata"], json!({"name": "e"}));
}

#[test]
fn type_errors_are_gos() {
    let cases = [
        ("core/v1.ConfigMap", r#"[]"#, "json: cannot unmarshal array into Go value of type v1.ConfigMap"),
        (
            "core/v1.ConfigMap",
            r#"{"data":{"a":1}}"#,
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            "apps/v1.Deployment",
            r#"{"spec":{"replicas":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "apps/v1.Deployment",
            r#"{"spec":{"template":{"spec":{"containers":{}}}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (
            "core/v1.Service",
            r#"{"spec":{"ports":[{"targetPort":true}]}}"#,
            "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        (
            "core/v1.Pod",
            r#"{"spec":{"volumes":[{"emptyDir":{"sizeLimit":"x"}}]}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "core/v1.Pod",
            r#"{"spec":{"nodeName":1,"x":}}"#,
            "invalid character '}' looking for beginning of value",
        ),
        ("core/v1.Pod", r#"{"spec":{"nodeName":1}"#, "unexpected end of JSON input"),
    ];
    for (name, text, want) in cases {
        assert_eq!(strict(&node(name), text.as_bytes()).unwrap_err().to_string(), want, "{text}");
    }
}

#[test]
fn type_meta_is_read_in_any_case() {
    let meta = type_meta(br#"{"x":[{}],"apiversion":"apps/v1","KIND":"Deployment"}"#).unwrap();
    assert_eq!((meta.group_version(), meta.kind.as_str()), (("apps", "v1"), "Deployment"));
    let error = type_meta(b"12").unwrap_err().to_string();
    assert!(
        error.starts_with("json: cannot unmarshal number into Go value of type struct { APIVersion"),
        "{error}"
    );
    let error = type_meta(br#"{"kind":1}"#).unwrap_err().to_string();
    assert_eq!(error, "json: cannot unmarshal number into Go struct field .kind of type string");
    assert_eq!(type_meta(b"").unwrap_err().to_string(), "unexpected end of JSON input");
}

#[test]
fn custom_resources_keep_what_their_schema_knows() {
    let definition = json!({
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {
            "size": {"type": "integer", "default": 3},
            "name": {"type": "string", "nullable": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        }}},
    });
    let node = schema::custom_root(Some(&definition)).unwrap();
    let text = br#"{"apiVersion":"a/v1","kind":"W","metadata":{"name":"w","labels":{"a":"b"},"odd":1},
        "spec":{"name":null,"free":{"x":[null]},"tags":{"t":"u"},"extra":1,"size":null}}"#;
    let decoded = strict(&node, text).unwrap();
    assert_eq!(decoded.findings, [r#"unknown field "metadata.odd""#, r#"unknown field "spec.extra""#]);
    assert_eq!(decoded.value["metadata"], json!({"name": "w", "labels": {"a": "b"}}));
    assert_eq!(
        decoded.value["spec"],
        json!({"name": null, "free": {"x": [null]}, "tags": {"t": "u"}, "size": null})
    );
    let mut value = decoded.value;
    crate::default::apply_schema(&node, &mut value);
    assert_eq!(value["spec"]["size"], 3);
    assert_eq!(value["spec"]["name"], Value::Null);
    let error = strict(&node, br#"{"metadata":{"labels":[]}}"#).unwrap_err().to_string();
    assert_eq!(
        error,
        "json: cannot unmarshal array into Go struct field ObjectMeta.labels of type map[string]string"
    );
}

#[test]
fn pruning_names_what_it_drops() {
    let mut value = json!({"metadata": {"x": 1}, "spec": {"containers": [{"name": "a", "y": {}}]}, "z": 1});
    assert_eq!(prune(&node("core/v1.Pod"), &mut value), ["metadata.x", "spec.containers[0].y", "z"]);
    assert_eq!(value, json!({"metadata": {}, "spec": {"containers": [{"name": "a"}]}}));
}

#[test]
fn depth_is_bounded() {
    let props = node("apiextensions.k8s.io/v1.JSONSchemaProps");
    let nested = |depth: usize| format!("{}{{}}{}", r#"{"not":"#.repeat(depth), "}".repeat(depth));
    assert!(strict(&props, nested(120).as_bytes()).is_ok());
    let error = strict(&props, nested(20_000).as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "exceeded max depth");
    assert!(strict(&node("core/v1.Pod"), format!(r#"{{"x":{}}}"#, "[".repeat(50_000)).as_bytes()).is_err());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_decoders_panic(raw in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let pod = node("core/v1.Pod");
        if let Ok(decoded) = strict(&pod, &raw) {
            assert!(decoded.value.is_object());
        }
        if let Ok(value) = crate::codec::decode(&pod, &raw) {
            assert!(crate::codec::encode(&pod, &value).is_ok());
        }
    }

    #[test]
    fn any_text_reads_as_serde_reads_it(text in r#"[\[\]{}:,"0-9a-z .eE+\\u-]{0,40}"#) {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            assert_eq!(parse_untyped(text.as_bytes()).unwrap(), value);
        } else {
            // Go takes lone surrogates, and nothing else that serde refuses but numbers out of range.
            let _refused_or_lenient = parse_untyped(text.as_bytes());
        }
    }

    #[test]
    fn a_round_trip_is_a_fixed_point(replicas in proptest::num::i32::ANY, name in "[a-z]{0,5}", cpu in "[0-9]{1,5}m?") {
        let deployment = node("apps/v1.Deployment");
        let text = json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "template": {"spec": {
            "containers": [{"name": name, "resources": {"limits": {"cpu": cpu}}}]}}}});
        let once = strict(&deployment, text.to_string().as_bytes()).unwrap().value;
        assert_eq!(&normalize(&deployment, once.clone()).unwrap(), &once);
        let message = crate::codec::encode(&deployment, &once).unwrap();
        assert_eq!(&crate::codec::decode(&deployment, &message).unwrap(), &once);
    }
}
