//! Documents: which there are, and writing them piece by piece, so that no document is ever held as a tree.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::definitions::Definitions;
use super::parameters::Parameter;
use super::paths::{self, Content, Operation, Path, Row, Type};
use super::schemas::{Dialect, reference, reference_name};

/// What all documents are made from.
pub struct Source<'a> {
    /// All served resources.
    pub rows: &'a [Row],
    /// `1.36`
    pub version: &'a str,
}

/// The paths that a v3 document at `name` (`api/v1`, `apis/apps`, `version`) has.
pub fn paths_of(name: &str, rows: &[Row]) -> Vec<Path> {
    let parts: Vec<&str> = name.split('/').collect();
    let mut paths = match parts.as_slice() {
        ["version"] => vec![paths::of_version()],
        ["openid", ..] | [".well-known", ..] => vec![paths::of_token_issuer(name)],
        ["api", version] => of_group_version("", version, rows),
        ["apis", group, version] => of_group_version(group, version, rows),
        _ => vec![paths::of_discovery(name)],
    };
    paths.sort_by(|a, b| a.template.cmp(&b.template));
    paths
}

fn of_group_version(group: &str, version: &str, rows: &[Row]) -> Vec<Path> {
    let own = |row: &&Row| row.info.group == group && row.info.version == version;
    let own: Vec<Row> = rows.iter().filter(own).cloned().collect();
    paths::of_group_version(group, version, &own)
}

/// The names of all v3 documents, sorted.
pub fn names(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> =
        [".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"]
            .map(str::to_owned)
            .into();
    for Row { info, .. } in rows {
        match &*info.group {
            "" => names.push(format!("api/{}", info.version)),
            group => names.extend([format!("apis/{group}"), format!("apis/{group}/{}", info.version)]),
        }
    }
    names.sort();
    names.dedup();
    names
}

/// Writes the v3 document of that name.
///
/// # Errors
/// The writer's.
pub fn write_v3(source: &Source<'_>, name: &str, out: &mut dyn Write) -> io::Result<()> {
    let paths = paths_of(name, source.rows);
    let info = json!({ "title": "Kubernetes", "version": source.version });
    write!(out, r#"{{"openapi":"3.0.0","info":{info},"paths":{{"#)?;
    let mut definitions = Definitions::default();
    for (index, path) in paths.iter().enumerate() {
        collect(path, source.rows, &mut definitions);
        entry(out, index, &path.template, &path_item(path, Dialect::V3))?;
    }
    write!(out, r#"}},"components":{{"schemas":{{"#)?;
    for (index, (name, schema)) in definitions.iter(Dialect::V3).enumerate() {
        entry(out, index, name, &schema)?;
    }
    write!(out, r#"}},"securitySchemes":{{"BearerToken":{}}}}}}}"#, bearer_token())
}

/// Writes the v2 document.
///
/// # Errors
/// The writer's.
pub fn write_v2(source: &Source<'_>, out: &mut dyn Write) -> io::Result<()> {
    let info = json!({ "title": "Kubernetes", "version": source.version });
    write!(out, r#"{{"swagger":"2.0","info":{info},"paths":{{"#)?;
    let (mut definitions, mut shared) = (Definitions::default(), Map::new());
    let mut index = 0;
    for_each_path(source.rows, |path| {
        collect(&path, source.rows, &mut definitions);
        collect_shared(&path, &mut shared);
        entry(out, index, &path.template, &path_item(&path, Dialect::V2))?;
        index += 1;
        Ok(())
    })?;
    write!(out, r#"}},"definitions":{{"#)?;
    for (index, (name, schema)) in definitions.iter(Dialect::V2).enumerate() {
        entry(out, index, name, &schema)?;
    }
    let shared = Value::Object(shared);
    write!(
        out,
        r#"}},"parameters":{shared},"securityDefinitions":{{"BearerToken":{}}},"security":[{{"BearerToken":[]}}]}}"#,
        bearer_token()
    )
}

/// Calls for every path, in order of templates within each document.
///
/// # Errors
/// The callback's.
pub fn for_each_path(rows: &[Row], mut visit: impl FnMut(Path) -> io::Result<()>) -> io::Result<()> {
    names(rows).iter().flat_map(|name| paths_of(name, rows)).try_for_each(&mut visit)
}

/// Adds the types that a path's operations take and answer with.
pub fn collect(path: &Path, rows: &[Row], definitions: &mut Definitions) {
    for operation in &path.operations {
        if let Content::Object(type_) = &operation.answer {
            definitions.add(type_, rows);
        }
        if let Some(body) = &operation.body {
            definitions.add(&body.type_, rows);
        }
    }
}

/// Adds the shared parameters of a path to the v2 document's `parameters`.
pub fn collect_shared(path: &Path, shared: &mut Map<String, Value>) {
    let operations = path.operations.iter().flat_map(|operation| &operation.parameters);
    for parameter in path.parameters.iter().chain(operations).filter(|p| !p.shared.is_empty()) {
        shared.entry(shared_name(parameter)).or_insert_with(|| parameter_v2(parameter));
    }
    if path.operations.iter().any(|operation| operation.body.as_ref().is_some_and(|body| !body.required)) {
        shared.entry(OPTIONAL_BODY).or_insert_with(|| {
            let options = Type::Builtin("meta/v1.DeleteOptions".into());
            body_v2(&options, false)
        });
    }
}

const OPTIONAL_BODY: &str = "body-2Y1dVQaQ";

fn entry(out: &mut dyn Write, index: usize, key: &str, value: &Value) -> io::Result<()> {
    if index > 0 {
        out.write_all(b",")?;
    }
    write!(out, "{}:{value}", Value::from(key))
}

/// How clients prove who they are.
pub fn bearer_token() -> Value {
    json!({ "type": "apiKey", "description": "Bearer token", "name": "authorization", "in": "header" })
}

/// A path item of either version.
pub fn path_item(path: &Path, dialect: Dialect) -> Value {
    let mut out = Map::new();
    if !path.parameters.is_empty() {
        let parameters = path.parameters.iter().map(|parameter| parameter_of(parameter, dialect));
        out.insert("parameters".into(), parameters.collect());
    }
    for operation in &path.operations {
        out.insert(operation.method.to_owned(), operation_of(operation, dialect));
    }
    Value::Object(out)
}

fn operation_of(operation: &Operation, dialect: Dialect) -> Value {
    let mut out = Map::new();
    out.insert("description".into(), operation.description.clone().into());
    out.insert("operationId".into(), operation.id.clone().into());
    out.insert("tags".into(), json!([operation.tag]));
    if !operation.action.is_empty() {
        out.insert("x-kubernetes-action".into(), operation.action.into());
    }
    if let Some([group, version, kind]) = &operation.about {
        let about = json!({ "group": group, "version": version, "kind": kind });
        out.insert("x-kubernetes-group-version-kind".into(), about);
    }
    let mut parameters: Vec<Value> = Vec::new();
    match (dialect, &operation.body) {
        (Dialect::V2, Some(body)) if body.required => parameters.push(body_v2(&body.type_, true)),
        (Dialect::V2, Some(_)) => {
            parameters.push(json!({ "$ref": format!("#/parameters/{OPTIONAL_BODY}") }));
        }
        (Dialect::V3, Some(body)) => {
            let schema = json!({ "schema": reference(&reference_name(&body.type_), dialect) });
            let content = operation.consumes.iter().map(|type_| ((*type_).to_owned(), schema.clone()));
            let mut request = json!({ "content": content.collect::<Map<_, _>>() });
            if body.required {
                request["required"] = true.into();
            }
            out.insert("requestBody".into(), request);
        }
        (_, None) => {}
    }
    parameters.extend(operation.parameters.iter().map(|parameter| parameter_of(parameter, dialect)));
    if !parameters.is_empty() {
        out.insert("parameters".into(), parameters.into());
    }
    if dialect == Dialect::V2 {
        out.insert("consumes".into(), json!(operation.consumes));
        out.insert("produces".into(), json!(operation.produces));
        out.insert("schemes".into(), json!(["https"]));
    }
    out.insert("responses".into(), responses(operation, dialect));
    Value::Object(out)
}

fn responses(operation: &Operation, dialect: Dialect) -> Value {
    let schema = match &operation.answer {
        Content::Text => json!({ "type": "string" }),
        Content::Object(type_) => reference(&reference_name(type_), dialect),
    };
    let mut out = Map::new();
    for code in operation.codes {
        let text = match code {
            200 => "OK",
            201 => "Created",
            _ => "Accepted",
        };
        let mut response = json!({ "description": text });
        if dialect == Dialect::V2 {
            response["schema"] = schema.clone();
        } else {
            let content = operation.produces.iter();
            let content = content.map(|type_| ((*type_).to_owned(), json!({ "schema": schema })));
            response["content"] = content.collect::<Map<_, _>>().into();
        }
        out.insert(code.to_string(), response);
    }
    out.insert("401".into(), json!({ "description": "Unauthorized" }));
    Value::Object(out)
}

fn parameter_of(parameter: &Parameter, dialect: Dialect) -> Value {
    match dialect {
        Dialect::V2 if !parameter.shared.is_empty() => {
            json!({ "$ref": format!("#/parameters/{}", shared_name(parameter)) })
        }
        Dialect::V2 => parameter_v2(parameter),
        Dialect::V3 => {
            let mut out = json!({
                "name": parameter.name,
                "in": if parameter.in_path { "path" } else { "query" },
                "description": parameter.description,
                "schema": { "type": parameter.type_, "uniqueItems": true },
            });
            if parameter.in_path {
                out["required"] = true.into();
            }
            out
        }
    }
}

fn parameter_v2(parameter: &Parameter) -> Value {
    let mut out = json!({
        "uniqueItems": true,
        "type": parameter.type_,
        "description": parameter.description,
        "name": parameter.name,
        "in": if parameter.in_path { "path" } else { "query" },
    });
    if parameter.in_path {
        out["required"] = true.into();
    }
    out
}

fn body_v2(type_: &Type, required: bool) -> Value {
    let schema = reference(&reference_name(type_), Dialect::V2);
    let mut out = json!({ "name": "body", "in": "body", "schema": schema });
    if required {
        out["required"] = true.into();
    }
    out
}

fn shared_name(parameter: &Parameter) -> String {
    format!("{}-{}", parameter.name, parameter.shared)
}
