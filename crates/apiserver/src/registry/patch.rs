//! patch: JSON Patch, JSON Merge Patch, strategic merge patch, server-side apply.

use api_types::resource::ResourceInfo;
use api_types::schema::{self, Schema, SchemaRef};
use api_types::{decode, default, go_json, go_text, patch};
use jiff::Timestamp;
use serde_json::Value;

use super::body::{Expected, settle_findings, yaml_to_json};
use super::endpoint::strip_kind;
use super::options::{FieldValidation, WriteOptions};
use super::request::{Outcome, Request};
use super::update::Change;
use super::{Registry, meta, pipeline};
use crate::error::{self, Error, Result};
use crate::http::{media, respond};

/// The kinds of patch, told apart by the request's media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Kind {
    fn of(request: &Request) -> Result<Self> {
        let custom = !request.endpoint.has_protobuf();
        match media::content_type(&request.headers) {
            "application/json-patch+json" => Ok(Kind::Json),
            "application/merge-patch+json" => Ok(Kind::Merge),
            "application/strategic-merge-patch+json" if !custom => Ok(Kind::Strategic),
            "application/strategic-merge-patch+json" => Err(Error::unsupported_media_type(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ])),
            "application/apply-patch+yaml" => Ok(Kind::Apply),
            _ => Err(error::unsupported_media_type_http()),
        }
    }
}

impl Registry {
    /// Changes an object, or its status, by a patch.
    ///
    /// # Errors
    /// Whatever is wrong with the patch, the resulting object or the moment.
    pub async fn patch(&self, request: &Request) -> Result<Outcome> {
        let kind = Kind::of(request)?;
        let options = WriteOptions::parse("PatchOptions", &request.query, kind == Kind::Apply)?;
        if kind == Kind::Apply {
            return self.apply(request, &options).await;
        }
        let patch = Patch::parse(kind, &request.body, options.field_validation)?;
        let transform = |old: Option<&Value>| {
            let Some(old) = old else { return Err(error::not_found(&request.endpoint.info, &request.name)) };
            transform(request, &patch, old, &options)
        };
        let change =
            Change { transform: &transform, record_owners: true, create_absent: false, is_patch: true };
        self.change(request, &options, &change).await
    }

    /// Server-side apply; an absent object is created, unless only a subresource of it is meant.
    pub(super) async fn apply(&self, request: &Request, options: &WriteOptions) -> Result<Outcome> {
        let config = self.configuration(request)?;
        let endpoint = &request.endpoint;
        let manager = endpoint.managers().of(&request.subresource);
        let transform = |old: Option<&Value>| {
            let mut object =
                manager.apply(old, &config, &options.field_manager, options.force, Timestamp::now())?;
            strip_kind(&mut object);
            let uid = meta::text(&config, "uid");
            if !uid.is_empty() && old.is_none() {
                let why = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(error::conflict(&endpoint.info, &request.name, &why));
            }
            let mut object = decode::normalize(&endpoint.info.schema, object).map_err(Error::internal)?;
            super::managed::settle_empty(endpoint, &mut object);
            default::apply(&endpoint.info, &mut object);
            endpoint.strategy.receive(&mut object);
            pipeline::check_namespace(request, &mut object)?;
            Ok(object)
        };
        let change = Change {
            transform: &transform,
            record_owners: false,
            create_absent: request.subresource.is_empty(),
            is_patch: true,
        };
        self.change(request, options, &change).await
    }

    /// The applied configuration, with the name and namespace of the path.
    fn configuration(&self, request: &Request) -> Result<Value> {
        let bad = |why: String| Error::bad_request(format!("error decoding YAML: {why}"));
        let text = yaml_to_json(&request.body).map_err(bad)?;
        let config: Value = serde_json::from_slice(&text).map_err(|why| bad(why.to_string()))?;
        if !config.is_object() {
            return Err(Error::bad_request("error decoding YAML: the configuration is not an object"));
        }
        let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
        let info = &request.endpoint.info;
        if !text("kind").is_empty() && text("kind") != info.kind {
            let version = text("apiVersion");
            let slash = if version.contains('/') { "" } else { "/" };
            return Err(Error::bad_request(format!(
                "invalid object type: {slash}{version}, Kind={}",
                text("kind")
            )));
        }
        pipeline::check_name(request, &config)?;
        let namespace = meta::text(&config, "namespace");
        if info.namespaced && !namespace.is_empty() && namespace != request.namespace {
            return Err(Error::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Ok(config)
    }
}

/// A patch that was read.
struct Patch {
    kind: Kind,
    body: Value,
    /// Repeated fields of the patch, and fields that the operations of a JSON Patch do not have.
    findings: Vec<String>,
}

impl Patch {
    fn parse(kind: Kind, text: &[u8], validation: FieldValidation) -> Result<Self> {
        let decoding = |why: String| match kind {
            Kind::Strategic => Error::bad_request(why),
            _ => Error::bad_request(format!("error decoding patch: {why}")),
        };
        let body = decode::parse_untyped(text).map_err(|why| decoding(why.to_string()))?;
        let found = match &body {
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            Value::Null if kind == Kind::Merge => return Err(Error::bad_request("Invalid JSON Patch")),
            Value::Null => "null",
        };
        let target = match (kind, found) {
            (Kind::Json, "array") | (Kind::Merge | Kind::Strategic, "object") | (_, "null") => {
                let findings = match validation {
                    FieldValidation::Ignore => Vec::new(),
                    _ => findings(kind, text),
                };
                return Ok(Patch { kind, body, findings });
            }
            (Kind::Json, _) => "[]handlers.jsonPatchOp",
            _ => "map[string]interface {}",
        };
        Err(decoding(format!("json: cannot unmarshal {found} into Go value of type {target}")))
    }

    /// What the patch makes of an object, with `kind` and `apiVersion` unless the patch is a strategic one.
    fn apply(&self, info: &ResourceInfo, old: &Value) -> Result<Value> {
        if self.kind == Kind::Strategic {
            return patch::strategic_merge(&info.schema, old, &self.body);
        }
        let mut patched = respond::with_kind(info, old.clone());
        match self.kind {
            Kind::Json => patch::json_patch(&mut patched, &self.body)?,
            _ => patch::merge_patch(&mut patched, &self.body),
        }
        Ok(patched)
    }

    /// How errors show what the patch made of an object.
    fn shown(&self, info: &ResourceInfo, old: &Value, patched: &Value) -> String {
        let opened = match self.kind {
            Kind::Strategic | Kind::Apply => return go_text::plain(&self.body),
            Kind::Json => patch::opened_by_json(&self.body),
            Kind::Merge => patch::opened_by_merge(old, &self.body),
        };
        go_json::to_string_opened(&info.schema, patched, &opened)
    }
}

/// What strict validation has to say about a patch by itself.
fn findings(kind: Kind, text: &[u8]) -> Vec<String> {
    let decoded = match kind {
        Kind::Json => decode::strict(&operations_schema(), text),
        _ => decode::strict_untyped(text),
    };
    let found = decoded.map(|decoded| decoded.findings).unwrap_or_default();
    match kind {
        Kind::Json => found.into_iter().map(|finding| format!("json patch {finding}")).collect(),
        _ => found,
    }
}

/// The operations of a JSON Patch (RFC 6902).
fn operations_schema() -> Schema {
    let field = |name: &'static str, kind: schema::Kind| schema::Field {
        name: name.into(),
        schema: SchemaRef::new(Schema { kind, ..Schema::default() }),
        ..schema::Field::default()
    };
    let fields = vec![
        field("op", schema::Kind::String),
        field("path", schema::Kind::String),
        field("from", schema::Kind::String),
        field("value", schema::Kind::Any),
    ];
    let operation = schema::Kind::Struct(schema::Struct::new(fields, Vec::new()));
    let item = SchemaRef::new(Schema { kind: operation, ..Schema::default() });
    Schema { kind: schema::Kind::List(schema::List { item, message: false }), ..Schema::default() }
}

/// The patched object, checked and with defaults.
fn transform(request: &Request, patch: &Patch, old: &Value, options: &WriteOptions) -> Result<Value> {
    let endpoint = &request.endpoint;
    let info = &endpoint.info;
    // Made again only for an error, which shows the document as it was before anything was dropped.
    let unfit = |why: &str| match patch.apply(info, old) {
        Ok(patched) => patch::unreadable(&patch.shown(info, old, &patched), why),
        Err(error) => error,
    };
    let mut patched = patch.apply(info, old)?;
    if patch.kind != Kind::Strategic {
        check_type(info, &patched).map_err(|why| unfit(&why))?;
    }
    strip_kind(&mut patched);
    let unknown = decode::prune(&info.schema, &mut patched);
    let mut object = decode::normalize(&info.schema, patched).map_err(|why| unfit(&why.to_string()))?;
    let unknown = unknown.into_iter().map(|path| format!("unknown field \"{path}\""));
    let findings = patch.findings.iter().cloned().chain(unknown).collect();
    settle_findings(request, findings, options.field_validation, |why| unfit(&why))?;
    default::apply(info, &mut object);
    endpoint.strategy.receive(&mut object);
    pipeline::check_namespace(request, &mut object)?;
    pipeline::check_name(request, &object)?;
    Ok(object)
}

/// A patch may not turn the object into another kind. The object is read as what it says it is, so that is where the
/// first error comes from.
fn check_type(info: &ResourceInfo, patched: &Value) -> std::result::Result<(), String> {
    let text = |key: &str| patched.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    if kind == info.kind && api_version == info.api_version() {
        return Ok(());
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let Some(other) = schema::by_gvk(group, version, kind) else {
        let scheme = Expected::object(info).scheme;
        return Err(format!(
            "no kind {kind:?} is registered for version {api_version:?} in scheme {scheme:?}"
        ));
    };
    decode::normalize(&other, patched.clone()).map_err(|why| why.to_string())?;
    Err(format!("unable to convert {api_version}, Kind={kind} to {}, Kind={}", info.api_version(), info.kind))
}
