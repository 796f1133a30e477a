//! Field ownership after creates and applies, as the real server records it.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::collections::BTreeMap;
use std::path::PathBuf;

use api_types::apply::{FieldManager, reset_fields};
use api_types::resource::{self, ResourceInfo};
use api_types::{decode, default, time};
use serde_json::{Value, json};

#[test]
fn creates_are_tracked_as_upstream_tracks_them() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for (name, step) in steps(&["lifecycle", "defaulting", "status", "list", "patch", "ssa"]) {
        let expected = &step["expect"]["body"]["metadata"]["managedFields"];
        let is_create = step["method"] == "POST" && step["expect"]["status"] == 201;
        let (Some([entry]), true) = (expected.as_array().map(Vec::as_slice), is_create) else { continue };
        let Some(resource) = resource_of(&step["body"]) else { continue };
        let mut object = decode::normalize(&resource.schema, step["body"].clone()).unwrap();
        object["apiVersion"] = step["body"]["apiVersion"].clone();
        object["kind"] = step["body"]["kind"].clone();
        default::apply(&resource, &mut object);
        as_the_registry_sees_it(&resource, &mut object);
        manager(&resource, "").update(None, &mut object, "x", time::parse("2024-01-01T00:00:00Z").unwrap());
        let got = &object["metadata"]["managedFields"][0]["fieldsV1"];
        compared += 1;
        if *got != entry["fieldsV1"] {
            wrong.push(format!("{name}:\n  got  {got}\n  want {}", entry["fieldsV1"]));
        }
    }
    assert!(compared > 50, "only {compared} answers compared");
    assert!(wrong.is_empty(), "{compared} compared, {} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn applies_are_tracked_as_upstream_tracks_them() {
    let (mut compared, mut wrong) = (0, Vec::new());
    let mut live: BTreeMap<(String, String), Value> = BTreeMap::new();
    for (name, step) in steps(&["apply", "ssa"]) {
        let path = step["path"].as_str().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = &step["expect"]["body"];
        let before = live.get(&(name.clone(), path.to_owned())).cloned();
        if body["metadata"]["managedFields"].is_array() {
            live.insert((name.clone(), path.to_owned()), body.clone());
        } else {
            live.remove(&(name.clone(), path.to_owned()));
        }
        let created = step["expect"]["status"] == 201;
        let known = created || (before.is_some() && step["expect"]["status"] == 200);
        let (true, true) = (step["patch"] == "apply" && body["metadata"]["managedFields"].is_array(), known)
        else {
            continue;
        };
        let Some(resource) = resource_of(&step["body"]) else { continue };
        let who = query.split('&').find_map(|p| p.strip_prefix("fieldManager=")).unwrap_or_default();
        let force = query.contains("force=true");
        let now = time::parse("2024-01-01T00:00:00Z").unwrap();
        let result = manager(&resource, path.rsplit('/').next().unwrap()).apply(
            before.as_ref().filter(|_| !created),
            &step["body"],
            who,
            force,
            now,
        );
        let got = match &result {
            Ok(object) => owned(object),
            Err(error) => json!(error.message),
        };
        compared += 1;
        if got != owned(body) {
            wrong.push(format!("{name} {path}?{query}:\n  got  {got}\n  want {}", owned(body)));
        }
    }
    assert!(compared > 50, "only {compared} answers compared");
    assert!(wrong.is_empty(), "{compared} compared, {} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the registry does before ownership is recorded: system fields are wiped, a DaemonSet carries its generation.
fn as_the_registry_sees_it(resource: &ResourceInfo, object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("deletionTimestamp");
        metadata.remove("deletionGracePeriodSeconds");
    }
    if resource.kind == "DaemonSet" {
        object["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = json!("1");
    }
}

/// Who owns what: `manager/operation/subresource` and the fields.
fn owned(object: &Value) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let mut out: Vec<Value> = entries
        .map(|e| {
            json!([e["manager"], e["operation"], e["subresource"], e["time"].is_string(), e["fieldsV1"]])
        })
        .collect();
    out.sort_by_key(Value::to_string);
    Value::Array(out)
}

fn manager(resource: &ResourceInfo, last: &str) -> FieldManager {
    let subresource = resource.subresource(last).map_or("", |s| s.name.as_ref());
    FieldManager::new(resource.schema.clone(), &resource.api_version(), &resource.kind, subresource)
        .with_reset_fields(reset_fields(&resource.group, &resource.plural, subresource))
}

fn resource_of(object: &Value) -> Option<std::sync::Arc<ResourceInfo>> {
    let api_version = object["apiVersion"].as_str()?;
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    resource::find_kind(group, version, object["kind"].as_str()?)
}

/// Every step of every case.
fn steps(areas: &[&str]) -> Vec<(String, Value)> {
    let shared = std::env::var_os("COXSWAIN_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests"), PathBuf::from);
    let directory = shared.join("golden/cases");
    assert!(
        directory.is_dir(),
        "{} is missing: set COXSWAIN_SHARED to the shared folder",
        directory.display()
    );
    let mut steps = Vec::new();
    for area in areas {
        for entry in std::fs::read_dir(directory.join(area)).unwrap() {
            let path = entry.unwrap().path();
            let text =
                std::fs::read_to_string(&path).unwrap().replace("${ns}", "golden-x").replace("${u}", "x");
            let file: Value = serde_yaml::from_str(&text).unwrap();
            for case in file["cases"].as_array().unwrap() {
                let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
                let name = format!("{area}/{stem}/{}", case["name"].as_str().unwrap());
                steps.extend(
                    case["steps"].as_array().into_iter().flatten().map(|s| (name.clone(), s.clone())),
                );
            }
        }
    }
    steps
}
