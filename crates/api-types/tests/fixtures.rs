//! Every fixture of upstream's encodings: JSON ⇄ protobuf, byte for byte and value for value.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::path::PathBuf;

use api_types::{codec, decode, schema};
use serde_json::Value;

fn fixtures() -> PathBuf {
    let shared = std::env::var_os("COXSWAIN_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests"), PathBuf::from);
    let directory = shared.join("fixtures/api");
    assert!(
        directory.is_dir(),
        "{} is missing: set COXSWAIN_SHARED to the shared folder",
        directory.display()
    );
    directory
}

/// Name, JSON value, protobuf bytes.
fn pairs() -> Vec<(String, Value, Vec<u8>)> {
    let mut pairs = Vec::new();
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            pairs.push((name, value, std::fs::read(path.with_extension("pb")).unwrap()));
        }
    }
    assert!(pairs.len() > 150, "only {} fixtures", pairs.len());
    pairs
}

/// The schema of a file name: `core.v1.Pod`, `rbac.authorization.k8s.io.v1.Role`.
fn schema_of(name: &str) -> schema::SchemaRef {
    let (rest, kind) = name.rsplit_once('.').unwrap();
    let (group, version) = rest.rsplit_once('.').unwrap();
    let group = if group == "core" { "" } else { group };
    schema::by_gvk(group, version, kind).unwrap_or_else(|| panic!("no schema for {name}"))
}

#[test]
fn json_encodes_to_upstreams_bytes() {
    let mut wrong = Vec::new();
    for (name, value, bytes) in pairs() {
        match codec::encode_object(&schema_of(&name), &value) {
            Ok(encoded) if encoded == bytes => {}
            Ok(encoded) => {
                let at = encoded.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
                wrong.push(format!(
                    "{name}: {} bytes instead of {}, differ at {at}",
                    encoded.len(),
                    bytes.len()
                ));
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn protobuf_decodes_to_upstreams_json() {
    let mut wrong = Vec::new();
    for (name, value, bytes) in pairs() {
        // A watch event carries no type of its own.
        let decoded = match value.get("kind") {
            Some(_) => codec::decode_object(&bytes),
            None => codec::unwrap(&bytes).and_then(|e| codec::decode(&schema_of(&name), e.raw)),
        };
        match decoded {
            Ok(decoded) if decoded == value => {}
            Ok(decoded) => wrong.push(format!("{name}: {}", difference(&decoded, &value, name.clone()))),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_strict_walk_keeps_every_fixture() {
    for (name, value, _) in pairs() {
        let text = serde_json::to_vec(&value).unwrap();
        let decoded = decode::strict(&schema_of(&name), &text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(decoded.findings, Vec::<String>::new(), "{name}");
        assert_eq!(decoded.value, value, "{name}: {}", difference(&decoded.value, &value, name.clone()));
        let again = decode::normalize(&schema_of(&name), value.clone()).unwrap();
        assert_eq!(again, value, "{name}: {}", difference(&again, &value, name.clone()));
    }
}

#[test]
fn truncated_messages_are_refused_or_read_but_never_panic() {
    for (_, _, bytes) in pairs() {
        for len in (0..bytes.len()).step_by(7) {
            if let Err(error) = codec::decode_object(&bytes[..len]) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

/// The first path at which two values differ.
fn difference(got: &Value, want: &Value, path: String) -> String {
    match (got, want) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()) {
                let (x, y) = (a.get(key), b.get(key));
                if x != y {
                    return match (x, y) {
                        (Some(x), Some(y)) => difference(x, y, format!("{path}.{key}")),
                        _ => format!("{path}.{key}: got {x:?}, want {y:?}"),
                    };
                }
            }
            String::new()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let at = a.iter().zip(b).position(|(x, y)| x != y).unwrap_or_default();
            difference(&a[at], &b[at], format!("{path}[{at}]"))
        }
        _ => format!("{path}: got {got}, want {want}"),
    }
}
