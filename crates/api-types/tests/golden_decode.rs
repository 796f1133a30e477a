//! Bodies that the real server refuses to decode, and its words for it.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::path::PathBuf;

use api_types::{decode, schema};
use serde_yaml::Value;

#[test]
fn refusals_are_worded_as_upstream_words_them() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for (name, step) in steps() {
        let Some(message) = step["expect"]["body"]["message"].as_str() else { continue };
        let Some((head, wanted)) = message.split_once(": ") else { continue };
        // `ConfigMap in version "v1" cannot be handled as a ConfigMap`
        let Some((kind, rest)) = head.split_once(" in version \"") else { continue };
        let Some((api_version, _)) = rest.split_once("\" cannot be handled as a") else { continue };
        let about_decoding = [
            "json: ",
            "strict decoding error",
            "illegal base64",
            "quantities must",
            "parsing time",
            "time: ",
        ];
        if !about_decoding.iter().any(|prefix| wanted.starts_with(prefix)) {
            continue;
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let Some(node) = schema::by_gvk(group, version, kind) else { continue };
        let body = match &step["body"] {
            Value::String(text) => text.clone(),
            Value::Null => continue,
            other => json_text(other),
        };
        if body.contains("${") || step["patch"].is_string() || step["headers"]["Content-Type"].is_string() {
            continue;
        }
        compared += 1;
        let got = match decode::strict(&node, body.as_bytes()) {
            Ok(decoded) => decode::strict_message(&decoded.findings).unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        if got != wanted {
            wrong.push(format!("{name}:\n  got  {got}\n  want {wanted}"));
        }
    }
    assert!(compared > 10, "only {compared} answers compared");
    assert!(wrong.is_empty(), "{compared} compared, {} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every step of every case.
fn steps() -> Vec<(String, Value)> {
    let shared = std::env::var_os("COXSWAIN_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests"), PathBuf::from);
    let directory = shared.join("golden/cases");
    assert!(
        directory.is_dir(),
        "{} is missing: set COXSWAIN_SHARED to the shared folder",
        directory.display()
    );
    let mut steps = Vec::new();
    for area in
        ["field-validation", "request-errors", "validation", "errors-kinds", "negotiation", "subresources"]
    {
        for entry in std::fs::read_dir(directory.join(area)).unwrap() {
            let path = entry.unwrap().path();
            let file: Value = serde_yaml::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            for case in file["cases"].as_sequence().unwrap() {
                let name = format!("{area}/{}", case["name"].as_str().unwrap());
                steps.extend(
                    case["steps"].as_sequence().into_iter().flatten().map(|s| (name.clone(), s.clone())),
                );
            }
        }
    }
    steps
}

/// JSON text in the order of the transcript.
fn json_text(value: &Value) -> String {
    match value {
        Value::Mapping(map) => {
            let members: Vec<String> = map
                .iter()
                .map(|(key, value)| {
                    format!("{}:{}", serde_json::to_string(key.as_str().unwrap()).unwrap(), json_text(value))
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Sequence(items) => format!("[{}]", items.iter().map(json_text).collect::<Vec<_>>().join(",")),
        scalar => serde_json::to_string(scalar).unwrap(),
    }
}
