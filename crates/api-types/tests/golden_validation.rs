//! Objects that the real server refuses as invalid, and its words for it.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::path::PathBuf;

use api_types::resource::{self, ResourceInfo};
use api_types::status::ApiError;
use api_types::{decode, default, validation};
use serde_json::Value;

/// Cases whose rules are not written yet, one name per line; the list may only become shorter.
const MISSING: &str = include_str!("golden_validation_missing.txt");

#[test]
fn refusals_are_worded_as_upstream_words_them() {
    let missing: Vec<&str> = MISSING.lines().collect();
    let (mut compared, mut wrong, mut fixed) = (0, Vec::new(), Vec::new());
    for (name, step) in steps("validation") {
        let status = step["expect"]["status"].as_i64().unwrap_or(0);
        if step["method"] != "POST" || !matches!(status, 201 | 422) || !step["body"].is_object() {
            continue;
        }
        let Some(resource) = resource_of(&step["body"]) else { continue };
        let Some(object) = prepared(&resource, &step) else { continue };
        let got = match validation::create(&resource, &object) {
            errors if errors.is_empty() => String::new(),
            errors => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let group = validation::reported_group(&resource.group, &resource.kind);
                ApiError::invalid(group, &resource.kind, name, errors).message.clone()
            }
        };
        let want =
            if status == 201 { "" } else { step["expect"]["body"]["message"].as_str().unwrap_or_default() };
        compared += 1;
        match (got == want, missing.contains(&name.as_str())) {
            (false, false) => wrong.push(format!("{name}:\n  got  {got}\n  want {want}")),
            (true, true) => fixed.push(name),
            _ => {}
        }
    }
    assert!(compared > 300, "only {compared} answers compared");
    assert!(wrong.is_empty(), "{compared} compared, {} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(fixed.is_empty(), "take these out of golden_validation_missing.txt:\n{}", fixed.join("\n"));
}

/// The object as it is when the server validates it.
fn prepared(resource: &ResourceInfo, step: &Value) -> Option<Value> {
    let mut object = decode::normalize(&resource.schema, step["body"].clone()).ok()?;
    object["apiVersion"] = step["body"]["apiVersion"].clone();
    object["kind"] = step["body"]["kind"].clone();
    default::apply(resource, &mut object);
    if resource.namespaced {
        object["metadata"]["namespace"] = "golden-x".into();
    }
    as_the_registry_prepares_it(&mut object);
    Some(object)
}

/// What strategies and admission fill in or take away before validation.
fn as_the_registry_prepares_it(object: &mut Value) {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    match text(&object["kind"]).as_str() {
        "Service" => {
            let ip = text(&object["spec"]["clusterIP"]);
            if !ip.is_empty() && object["spec"]["clusterIPs"].is_null() {
                object["spec"]["clusterIPs"] = serde_json::json!([ip]);
            }
        }
        // ServiceAccount admission.
        "Pod" if object["spec"]["serviceAccountName"].is_null() => {
            object["spec"]["serviceAccountName"] = "default".into();
        }
        // Sources that no provisioner of the core group can have made are dropped.
        "PersistentVolumeClaim"
            if object["spec"]["dataSourceRef"].is_null()
                && text(&object["spec"]["dataSource"]["kind"]) == "Pod" =>
        {
            object["spec"]["dataSource"] = Value::Null;
        }
        "Job" if object["spec"]["manualSelector"] != true => {
            object["metadata"]["uid"] = "u".into();
            let labels = serde_json::json!({"batch.kubernetes.io/controller-uid": "u"});
            if object["spec"]["selector"].is_null() {
                object["spec"]["selector"] = serde_json::json!({"matchLabels": labels});
            }
            object["spec"]["template"]["metadata"]["labels"] = labels;
        }
        _ => {}
    }
}

fn resource_of(object: &Value) -> Option<std::sync::Arc<ResourceInfo>> {
    let api_version = object["apiVersion"].as_str()?;
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    resource::find_kind(group, version, object["kind"].as_str()?)
}

/// Every step of every case of an area.
fn steps(area: &str) -> Vec<(String, Value)> {
    let shared = std::env::var_os("COXSWAIN_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests"), PathBuf::from);
    let directory = shared.join("golden/cases").join(area);
    assert!(
        directory.is_dir(),
        "{} is missing: set COXSWAIN_SHARED to the shared folder",
        directory.display()
    );
    let mut steps = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap().replace("${ns}", "golden-x").replace("${u}", "x");
        let file: Value = serde_yaml::from_str(&repeated(&text)).unwrap();
        for case in file["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap().to_owned();
            steps.extend(case["steps"].as_array().into_iter().flatten().map(|s| (name.clone(), s.clone())));
        }
    }
    steps
}

/// Expands `${repeat:x:300}`.
fn repeated(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${repeat:") {
        let (spec, after) = after.split_once('}').unwrap();
        let (what, times) = spec.rsplit_once(':').unwrap();
        out.push_str(before);
        out.push_str(&what.repeat(times.parse().unwrap()));
        rest = after;
    }
    out.push_str(rest);
    out
}
