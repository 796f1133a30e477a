//! patch: JSON Patch, JSON Merge Patch, strategic merge patch, server-side apply.

use api_types::field::{self, Path};
use api_types::{decode, default, patch};
use jiff::Timestamp;
use serde_json::Value;

use super::body::{settle_findings, yaml_to_json};
use super::endpoint::strip_kind;
use super::options::WriteOptions;
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
        let body = parse(kind, &request.body)?;
        let transform = |old: Option<&Value>| {
            let Some(old) = old else { return Err(error::not_found(&request.endpoint.info, &request.name)) };
            transform(request, kind, &body, old, &options)
        };
        let change =
            Change { transform: &transform, record_owners: true, create_absent: false, is_patch: true };
        self.change(request, &options, &change).await
    }

    /// Server-side apply; an absent object is created, unless only a subresource of it is meant.
    async fn apply(&self, request: &Request, options: &WriteOptions) -> Result<Outcome> {
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

fn parse(kind: Kind, body: &[u8]) -> Result<Value> {
    let decoding = |why: String| match kind {
        Kind::Strategic => Error::bad_request(why),
        _ => Error::bad_request(format!("error decoding patch: {why}")),
    };
    let value = decode::parse_untyped(body).map_err(|why| decoding(why.to_string()))?;
    let found = match &value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Null if kind == Kind::Merge => return Err(Error::bad_request("Invalid JSON Patch")),
        Value::Null => "null",
    };
    let target = match (kind, found) {
        (Kind::Json, "array") | (Kind::Merge | Kind::Strategic, "object") | (_, "null") => return Ok(value),
        (Kind::Json, _) => "[]handlers.jsonPatchOp",
        _ => "map[string]interface {}",
    };
    Err(decoding(format!("json: cannot unmarshal {found} into Go value of type {target}")))
}

/// The patched object, checked and with defaults.
fn transform(
    request: &Request,
    kind: Kind,
    body: &Value,
    old: &Value,
    options: &WriteOptions,
) -> Result<Value> {
    let endpoint = &request.endpoint;
    let info = &endpoint.info;
    let mut patched = match kind {
        Kind::Strategic => patch::strategic_merge(&info.schema, old, body)?,
        _ => {
            let mut patched = respond::with_kind(info, old.clone());
            match kind {
                Kind::Json => patch::json_patch(&mut patched, body)?,
                _ => patch::merge_patch(&mut patched, body),
            }
            check_type(request, &patched)?;
            patched
        }
    };
    strip_kind(&mut patched);
    let findings = decode::prune(&info.schema, &mut patched);
    let findings = findings.into_iter().map(|path| format!("unknown field \"{path}\"")).collect();
    settle_findings(request, findings, options.field_validation, |why| unfit(&patched, &why))?;
    let mut object = match decode::normalize(&info.schema, patched) {
        Ok(object) => object,
        Err(why) => return Err(unfit(body, &why.to_string())),
    };
    default::apply(info, &mut object);
    endpoint.strategy.receive(&mut object);
    pipeline::check_namespace(request, &mut object)?;
    pipeline::check_name(request, &object)?;
    Ok(object)
}

/// A patch may not turn the object into another kind.
fn check_type(request: &Request, patched: &Value) -> Result<()> {
    let info = &request.endpoint.info;
    let text = |key: &str| patched.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("kind") == info.kind && text("apiVersion") == info.api_version() {
        return Ok(());
    }
    let why = format!("no kind {:?} is registered for version {:?}", text("kind"), text("apiVersion"));
    Err(unfit(patched, &why))
}

/// The patched object does not fit its type.
fn unfit(shown: &Value, why: &str) -> Error {
    let error = field::Error::invalid(&Path::new("patch"), shown.to_string(), why);
    Error::invalid("", "", "", vec![error])
}
