//! The documents against upstream's, as the facts list them.

use std::collections::BTreeSet;

use api_types::resource;
use serde_json::{Map, Value, json};

use super::cache::{Documents, Key};
use super::document::{self, Source};
use super::paths::Row;
use crate::registry::strategies;

fn rows() -> Vec<Row> {
    let served = resource::builtin().iter().filter(|info| info.served_by_default);
    served
        .map(|info| Row { info: info.clone(), returns_deleted: strategies::traits(info).returns_deleted })
        .collect()
}

fn facts() -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/facts/openapi_gvk.json");
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).expect("facts are JSON")
}

fn v3(rows: &[Row], name: &str) -> Value {
    let mut out = Vec::new();
    let source = Source { rows, version: "1.36" };
    document::write_v3(&source, name, &mut out).expect("a buffer takes everything");
    serde_json::from_slice(&out).expect("documents are JSON")
}

/// Drops descriptions, and writes `allOf` of one reference as the reference.
fn plain(value: &Value, in_properties: bool) -> Value {
    match value {
        Value::Object(entries) => {
            let mut out = Map::new();
            for (key, inner) in entries {
                if !in_properties && key == "description" {
                    continue;
                }
                match inner.as_array().map(Vec::as_slice) {
                    Some([one]) if !in_properties && key == "allOf" => {
                        out.extend(one.as_object().cloned().unwrap_or_default());
                    }
                    _ => {
                        out.insert(key.clone(), plain(inner, !in_properties && key == "properties"));
                    }
                }
            }
            out.into()
        }
        Value::Array(items) => items.iter().map(|item| plain(item, false)).collect(),
        other => other.clone(),
    }
}

/// A definition of ours in the facts' form: kinds as `group/version/Kind`.
fn as_fact(definition: &Value) -> Value {
    let mut out = plain(definition, false);
    let kinds: Vec<Value> = out["x-kubernetes-group-version-kind"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|kind| kind_text(kind).into())
        .collect();
    if !kinds.is_empty() {
        out["x-kubernetes-group-version-kind"] = kinds.into();
    }
    if let Some(map) = out.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    out
}

fn kind_text(kind: &Value) -> String {
    let part = |key: &str| kind[key].as_str().unwrap_or_default().to_owned();
    format!("{}/{}/{}", part("group"), part("version"), part("kind"))
}

#[test]
fn definitions_are_those_of_upstream() {
    let (facts, rows) = (facts(), rows());
    let (mut ours, mut wrong) = (Map::new(), Vec::new());
    for name in document::names(&rows) {
        let document = v3(&rows, &name);
        let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
        let expected = facts["docs"].get(&name).map_or(&Value::Null, |document| &document["schemas"]);
        if !expected.is_null() && *expected != json!(schemas.len()) {
            wrong.push(format!("{name} has {} schemas, not {expected}", schemas.len()));
        }
        ours.extend(schemas);
    }
    for (name, expected) in facts["definitions"].as_object().expect("an object") {
        let expected = plain(expected, false);
        match ours.get(name) {
            None => wrong.push(format!("{name} is missing")),
            Some(found) if as_fact(found) != expected => {
                wrong.push(format!("{name}\n  want {expected}\n  have {}", as_fact(found)));
            }
            Some(_) => {}
        }
    }
    let known = facts["definitions"].as_object().expect("an object");
    wrong.extend(
        ours.keys().filter(|name| !known.contains_key(*name)).map(|name| format!("{name} is too much")),
    );
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), known.len(), wrong.join("\n"));
}

#[test]
fn paths_are_those_of_upstream() {
    let (facts, rows) = (facts(), rows());
    let mut ours = Map::new();
    for name in document::names(&rows).into_iter().filter(|name| !name.starts_with(".well-known")) {
        let document = v3(&rows, &name);
        let paths = document["paths"].as_object().cloned().unwrap_or_default();
        assert_eq!(json!(paths.len()), facts["docs"][&name]["paths"], "paths in {name}");
        ours.extend(paths.into_iter().map(|(path, item)| (path, path_as_fact(&name, &item))));
    }
    let mut wrong = Vec::new();
    let known = facts["paths"].as_object().expect("an object");
    for (path, expected) in known {
        if ours.get(path) != Some(expected) {
            let found = ours.get(path).map_or_else(|| "nothing".to_owned(), Value::to_string);
            wrong.push(format!("{path}\n  want {expected}\n  have {found}"));
        }
    }
    wrong.extend(
        ours.keys().filter(|path| !known.contains_key(*path)).map(|path| format!("{path} is too much")),
    );
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), known.len(), wrong.join("\n"));
}

fn path_as_fact(document: &str, item: &Value) -> Value {
    let mut out = Map::from_iter([("doc".to_owned(), document.into())]);
    for (key, value) in item.as_object().expect("a path item") {
        let value = if key == "parameters" { parameters_as_fact(value) } else { operation_as_fact(value) };
        out.insert(key.clone(), value);
    }
    out.into()
}

fn parameters_as_fact(list: &Value) -> Value {
    let list = list.as_array().expect("a list").iter();
    list.map(|p| json!([p["name"], p["in"], p["schema"]["type"], p["required"] == true])).collect()
}

fn operation_as_fact(operation: &Value) -> Value {
    let mut out = Map::new();
    let media_types = |content: &Value| -> Value {
        let types: BTreeSet<&String> =
            content.as_object().into_iter().flatten().map(|(type_, _)| type_).collect();
        json!(types)
    };
    let schema_name = |content: &Value| -> String {
        let first = content.as_object().and_then(|content| content.values().next());
        let schema = first.map(|media| media["schema"].clone()).unwrap_or_default();
        let name = schema["$ref"].as_str().or(schema["type"].as_str()).unwrap_or_default();
        name.trim_start_matches("#/components/schemas/").to_owned()
    };
    for (key, value) in operation.as_object().expect("an operation") {
        let value = match key.as_str() {
            "description" => continue,
            "parameters" => parameters_as_fact(value),
            "x-kubernetes-group-version-kind" => kind_text(value).into(),
            "requestBody" => {
                out.insert("consumes".into(), media_types(&value["content"]));
                out.insert("body".into(), schema_name(&value["content"]).into());
                if value["required"] == true {
                    out.insert("bodyRequired".into(), true.into());
                }
                continue;
            }
            "responses" => {
                let responses = value.as_object().expect("responses");
                out.insert("produces".into(), media_types(&responses["200"]["content"]));
                responses
                    .iter()
                    .map(|(code, r)| (code.clone(), Value::from(schema_name(&r["content"]))))
                    .collect()
            }
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    out.into()
}

#[test]
fn documents_are_made_once_and_again_after_a_change() {
    let documents = Documents::default();
    let rows = rows();
    let get = |rows: &[Row], key: &Key| {
        documents.get(&Source { rows, version: "1.36" }, key).expect("memory is a good writer")
    };
    let key = Key::V3("apis/apps/v1".to_owned());
    let first = get(&rows, &key);
    assert_eq!(first.gzip.as_ptr(), get(&rows, &key).gzip.as_ptr(), "the second is the first");
    let fewer: Vec<Row> = rows.iter().filter(|row| row.info.plural != "deployments").cloned().collect();
    assert_ne!(first.hash, get(&fewer, &key).hash);
    let plain = first.plain().expect("gzip reads what gzip wrote");
    assert_eq!(plain.len(), first.length);
    assert!(serde_json::from_slice::<Value>(&plain).is_ok());
}

#[test]
fn v2_refers_to_what_it_defines() {
    let rows = rows();
    let mut out = Vec::new();
    document::write_v2(&Source { rows: &rows, version: "1.36" }, &mut out)
        .expect("a buffer takes everything");
    let document: Value = serde_json::from_slice(&out).expect("JSON");
    let mut missing = BTreeSet::new();
    visit(&document, &mut |reference| {
        if document.pointer(reference.trim_start_matches('#')).is_none() {
            missing.insert(reference.to_owned());
        }
    });
    assert_eq!(missing, BTreeSet::new());
    assert_eq!(document["definitions"].as_object().map(Map::len), Some(584));
}

/// A row as a CustomResourceDefinition makes it.
fn custom_row() -> Row {
    let schema = json!({ "type": "object", "properties": {
        "spec": { "type": "object", "required": ["size"], "properties": {
            "size": { "type": "integer", "minimum": 1, "default": 3 },
            "port": { "x-kubernetes-int-or-string": true },
            "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            "list": { "type": "array", "items": { "type": "string", "nullable": true } },
        }},
    }});
    let mut info = (*resource::find("apps", "v1", "deployments").expect("a row")).clone();
    (info.group, info.version) = ("stable.example.com".into(), "v1".into());
    (info.plural, info.kind, info.list_kind) = ("crontabs".into(), "CronTab".into(), "CronTabList".into());
    info.subresources.retain(|sub| sub.name == "status");
    for sub in &mut info.subresources {
        (sub.group, sub.kind) = (info.group.clone(), info.kind.clone());
    }
    info.schema = api_types::schema::custom_root(Some(&schema)).expect("a structural schema");
    info.custom = Some(std::sync::Arc::default());
    Row { info: std::sync::Arc::new(info), returns_deleted: false }
}

#[test]
fn custom_resources_are_documented_like_others() {
    let rows = [custom_row()];
    let document = v3(&rows, "apis/stable.example.com/v1");
    let path = "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}";
    assert_eq!(document["paths"][path]["get"]["operationId"], "readStableExampleComV1NamespacedCronTab");
    let schemas = &document["components"]["schemas"];
    let schema = &schemas["com.example.stable.v1.CronTab"];
    let spec = &schema["properties"]["spec"];
    assert_eq!(spec["properties"]["size"], json!({ "type": "integer", "minimum": 1, "default": 3 }));
    assert_eq!(spec["required"], json!(["size"]));
    assert_eq!(spec["properties"]["list"]["items"], json!({ "type": "string", "nullable": true }));
    let meta = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    assert_eq!(schema["properties"]["metadata"]["allOf"][0]["$ref"], meta);
    assert_eq!(schemas["com.example.stable.v1.CronTabList"]["required"], json!(["items"]));

    let mut out = Vec::new();
    document::write_v2(&Source { rows: &rows, version: "1.36" }, &mut out)
        .expect("a buffer takes everything");
    let document: Value = serde_json::from_slice(&out).expect("JSON");
    let spec = &document["definitions"]["com.example.stable.v1.CronTab"]["properties"]["spec"]["properties"];
    assert_eq!(spec["size"], json!({ "type": "integer", "minimum": 1 }));
    assert_eq!(spec["free"], json!({ "x-kubernetes-preserve-unknown-fields": true }));
    assert_eq!(spec["list"]["items"], json!({}));
}

fn visit(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(entries) => {
            for (key, inner) in entries {
                match inner.as_str() {
                    Some(reference) if key == "$ref" => found(reference),
                    _ => visit(inner, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
        _ => {}
    }
}
