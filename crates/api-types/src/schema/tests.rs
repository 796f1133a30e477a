use super::*;

#[test]
fn every_type_parses() {
    let mut structs = 0;
    for name in type_names() {
        let node = by_type(name).unwrap();
        if let Kind::Struct(layout) = &node.kind {
            structs += 1;
            for field in &layout.fields {
                let named_any = matches!(field.schema.kind, Kind::Any) && field.schema.type_name.is_empty();
                assert!(
                    !named_any
                        || ["object", "data", "cells", "requestObject", "responseObject"]
                            .contains(&&*field.name)
                        || name.starts_with("apiextensions"),
                    "{name}.{} has no type",
                    field.name
                );
                assert!(layout.field(&field.name).is_some(), "{name}.{}", field.name);
            }
            assert!(layout.wire.is_sorted_by_key(|w| w.number), "{name}");
        }
    }
    assert!(structs > 1_000);
}

#[test]
fn a_pod_is_described() {
    let pod = by_gvk("", "v1", "Pod").unwrap();
    assert_eq!(pod.type_name, "core/v1.Pod");
    assert_eq!(open_api_name(&pod.type_name).unwrap(), "io.k8s.api.core.v1.Pod");
    let containers = pod.at("spec").unwrap();
    let containers = containers.as_struct().unwrap().field("containers").unwrap();
    assert_eq!(containers.topology(), &Topology::Map(vec!["name".into()]));
    assert_eq!(
        (containers.patch_merge, containers.patch_merge_key.as_deref(), containers.number),
        (true, Some("name"), 2)
    );
    let ports = pod.at("spec.containers.ports").unwrap();
    assert_eq!(ports.topology, Topology::Map(vec!["containerPort".into(), "protocol".into()]));
    let protocol = pod.at("spec.containers.ports.protocol").unwrap();
    assert_eq!(protocol.enum_values, ["SCTP", "TCP", "UDP"]);
    assert_eq!(pod.at("metadata.labels").unwrap().map_value().unwrap().type_name, "");
    assert!(pod.at("spec.volumes.emptyDir.sizeLimit").is_some_and(|s| matches!(s.kind, Kind::Quantity)));
    let selector = by_type("core/v1.LocalObjectReference").unwrap();
    assert_eq!(selector.topology, Topology::Atomic);
}

#[test]
fn kinds_without_a_group_are_found() {
    for kind in ["Status", "APIGroupList", "DeleteOptions", "WatchEvent"] {
        assert_eq!(by_gvk("", "v1", kind).unwrap().type_name, format!("meta/v1.{kind}"));
    }
    assert_eq!(by_gvk("apps", "v1", "DeleteOptions").unwrap().type_name, "meta/v1.DeleteOptions");
    assert_eq!(by_gvk("meta.k8s.io", "v1", "Table").unwrap().type_name, "meta/v1.Table");
    assert_eq!(by_gvk("autoscaling", "v1", "Scale").unwrap().type_name, "autoscaling/v1.Scale");
    assert!(by_gvk("policy", "v1", "Eviction").is_some());
    assert!(by_gvk("authentication.k8s.io", "v1", "TokenRequest").is_some());
    assert!(by_gvk("", "v1", "Deployment").is_none());
    assert!(by_gvk("apps", "v1", "Status").is_none());
}

#[test]
fn recursion_is_by_reference() {
    let props = by_type("apiextensions.k8s.io/v1.JSONSchemaProps").unwrap();
    let inner = props.at("properties").unwrap();
    assert_eq!(inner.map_value().unwrap().type_name, props.type_name);
    assert!(props.at("not.not.not.type").is_some());
}

#[test]
fn custom_nodes_say_what_the_definition_says() {
    let definition = serde_json::json!({
        "type": "object", "required": ["spec"],
        "properties": {"spec": {"type": "object", "required": ["list"], "properties": {
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}},
            "port": {"x-kubernetes-int-or-string": true, "default": 80},
            "meta": {"type": "object", "x-kubernetes-map-type": "atomic"},
            "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
        }}},
    });
    let root = custom_root(Some(&definition)).unwrap();
    assert_eq!(root.at("metadata").unwrap().type_name, "meta/v1.ObjectMeta");
    assert_eq!(root.at("spec.list").unwrap().topology, Topology::Map(vec!["name".into()]));
    assert_eq!(root.at("spec.meta").unwrap().topology, Topology::Atomic);
    assert_eq!(root.at("spec.port").unwrap().default, Some(80.into()));
    assert!(root.at("spec").unwrap().as_struct().unwrap().field("list").unwrap().required);
    let name = root.at("spec.list.name").unwrap();
    assert_eq!(name.custom.as_ref().unwrap().keywords["maxLength"], 5);
    let pod = root.at("spec.pod").unwrap();
    let pod = pod.as_struct().unwrap();
    assert!(pod.embedded_resource && pod.preserve_unknown && pod.field("metadata").is_some());
    assert!(from_open_api(&serde_json::json!({"type": "map"})).is_err());
    assert!(custom_root(None).unwrap().as_struct().unwrap().preserve_unknown);
}
