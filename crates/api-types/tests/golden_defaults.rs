//! Objects as clients send them, decoded and defaulted, against what the real server answered.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::path::PathBuf;

use api_types::{codec, decode, default, schema};
use serde_json::Value;

fn cases(area: &str) -> Vec<(String, serde_yaml::Value)> {
    let shared = std::env::var_os("COXSWAIN_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests"), PathBuf::from);
    let directory = shared.join("golden/cases").join(area);
    assert!(
        directory.is_dir(),
        "{} is missing: set COXSWAIN_SHARED to the shared folder",
        directory.display()
    );
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let file: serde_yaml::Value = serde_yaml::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for case in file["cases"].as_sequence().unwrap() {
            cases.push((
                format!("{}/{}", path.file_stem().unwrap().display(), case["name"].as_str().unwrap()),
                case.clone(),
            ));
        }
    }
    cases
}

/// What allocators, admission and strategies put there, which is not decided by defaults.
const OTHERS: &[&str] = &[
    ".metadata",
    ".status",
    ".spec.clusterIP",
    ".spec.clusterIPs",
    ".spec.dataSource",
    ".spec.dataSourceRef",
    ".spec.groups",
    ".spec.ipFamilies",
    ".spec.ipFamilyPolicy",
    ".spec.ports[].nodePort",
    ".spec.healthCheckNodePort",
    ".spec.serviceAccount",
    ".spec.serviceAccountName",
    ".spec.taints",
    ".spec.terminationGracePeriodSeconds",
    ".spec.tolerations",
    ".spec.topologySpreadConstraints[].labelSelector.matchExpressions",
    ".spec.uid",
    ".spec.username",
    ".spec.preemptionPolicy",
    ".spec.priority",
    ".spec.volumes",
    ".spec.containers[].volumeMounts",
    ".spec.initContainers[].volumeMounts",
    ".spec.selector",
    ".spec.template.metadata",
];

#[test]
fn defaulting_cases() {
    compare("defaulting");
}

#[test]
fn lifecycle_cases() {
    compare("lifecycle");
}

fn compare(area: &str) {
    let (mut compared, mut wrong) = (0, Vec::new());
    for (name, case) in cases(area) {
        for step in case["steps"].as_sequence().into_iter().flatten() {
            if step["method"].as_str() != Some("POST") || step["expect"]["status"].as_u64() != Some(201) {
                continue;
            }
            let (body, expected) = (json(&step["body"]), json(&step["expect"]["body"]));
            if !body.is_object()
                || !expected.is_object()
                || body["kind"] != expected["kind"]
                || body["kind"].is_null()
            {
                continue;
            }
            let api_version = body["apiVersion"].as_str().unwrap();
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let Some(node) = schema::by_gvk(group, version, body["kind"].as_str().unwrap()) else { continue };
            let mut got = decode::strict(&node, &serde_json::to_vec(&body).unwrap()).unwrap().value;
            default::apply_schema(&node, &mut got);
            // A default must print as Go prints it.
            let mut got = decode::normalize(&node, got).unwrap();
            decode::to_stored_form(&node, &mut got);
            compared += 1;
            assert_eq!(stored_and_read(&node, &got), got, "{name}: protobuf loses something");
            differences(&got, &expected, "", "", &mut |path, problem| {
                wrong.push(format!("{name} {path}: {problem}"))
            });
        }
    }
    assert!(compared > 40, "only {compared} answers compared");
    assert!(wrong.is_empty(), "{compared} compared, {} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The object after a trip through protobuf, as storage makes it: what the message does not carry is a default again.
fn stored_and_read(node: &schema::SchemaRef, object: &Value) -> Value {
    let mut value = codec::decode_object(&codec::encode_object(node, object).unwrap()).unwrap();
    default::apply_schema(node, &mut value);
    value
}

fn json(value: &serde_yaml::Value) -> Value {
    match value {
        // The transcripts are YAML 1.1, where `1e9` is text.
        serde_yaml::Value::Number(number) if number.is_f64() && number.as_f64().unwrap().fract() == 0.0 => {
            Value::from(format!("{:e}", number.as_f64().unwrap()))
        }
        serde_yaml::Value::Mapping(map) => {
            map.iter().map(|(k, v)| (json(k).as_str().unwrap_or_default().to_string(), json(v))).collect()
        }
        serde_yaml::Value::Sequence(items) => items.iter().map(json).collect(),
        other => serde_json::to_value(other).unwrap_or_default(),
    }
}

fn differences(got: &Value, want: &Value, path: &str, shape: &str, report: &mut impl FnMut(&str, String)) {
    if got == want
        || OTHERS.contains(&shape)
        || want.as_str().is_some_and(|w| w.contains('<') || w.contains("${"))
    {
        return;
    }
    match (got, want) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (path, shape) = (format!("{path}.{key}"), format!("{shape}.{key}"));
                match (a.get(key), b.get(key)) {
                    (Some(x), Some(y)) => differences(x, y, &path, &shape, report),
                    (x, y) if !OTHERS.contains(&shape.as_str()) => {
                        report(&path, format!("got {x:?}, want {y:?}"))
                    }
                    _ => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                differences(x, y, &format!("{path}[{index}]"), &format!("{shape}[]"), report);
            }
        }
        _ => report(path, format!("got {got}, want {want}")),
    }
}
