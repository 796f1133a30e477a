//! `scale`: the replicas of a workload as an `autoscaling/v1` Scale.

use std::sync::{Arc, LazyLock};

use api_types::apply::{FieldManager, ScaleOwners};
use api_types::field::{self, Path};
use api_types::resource::ResourceInfo;
use api_types::selector::Selector;
use api_types::{decode, patch};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::{self, Error, Result};
use crate::http::media;
use crate::registry::body::{self, Expected};
use crate::registry::options::WriteOptions;
use crate::registry::update::Change;
use crate::registry::{Endpoint, Item, Outcome, Registry, Request, meta};
use crate::server::Server;

/// Tracks who owns the fields of Scales; their entries are kept in the object that a Scale stands for.
static OWNERS: LazyLock<FieldManager> = LazyLock::new(|| {
    let expected = scale_kind();
    FieldManager::new(expected.schema, "autoscaling/v1", "Scale", "scale")
});

/// Makes the new Scale, with its owners, of the present one.
type Step<'a> = dyn Fn(&Value) -> Result<Value> + Send + Sync + 'a;

/// Reads or changes the scale of an object.
pub(super) async fn operate(server: &Arc<Server>, request: &Request, verb: &str) -> Result<Outcome> {
    match verb {
        "get" => {
            let outcome = server.registry.get(request).await?;
            answer(&request.endpoint, outcome)
        }
        "update" => update(&server.registry, request).await,
        "patch" if media::content_type(&request.headers) == "application/apply-patch+yaml" => {
            apply(&server.registry, request).await
        }
        "patch" => patch_scale(&server.registry, request).await,
        _ => Err(error::method_not_allowed()),
    }
}

fn scale_kind() -> Expected<'static> {
    Expected::kind("autoscaling", "v1", "Scale")
}

async fn update(registry: &Registry, request: &Request) -> Result<Outcome> {
    let options = WriteOptions::parse("UpdateOptions", &request.query, false)?;
    let sent = body::decode(request, &scale_kind(), options.field_validation)?;
    let manager = request.manager(&options.field_manager);
    let step = |old: &Value| {
        let mut scale = sent.clone();
        OWNERS.update(Some(old), &mut scale, &manager, Timestamp::now());
        Ok(scale)
    };
    change(registry, request, &options, &step).await
}

async fn patch_scale(registry: &Registry, request: &Request) -> Result<Outcome> {
    let options = WriteOptions::parse("PatchOptions", &request.query, false)?;
    let kind = media::content_type(&request.headers);
    let body = decode::parse_untyped(&request.body)
        .map_err(|why| Error::bad_request(format!("error decoding patch: {why}")))?;
    let schema = scale_kind().schema;
    let manager = request.manager(&options.field_manager);
    let step = |old: &Value| {
        let mut scale = old.clone();
        match kind {
            "application/json-patch+json" => patch::json_patch(&mut scale, &body)?,
            "application/merge-patch+json" => patch::merge_patch(&mut scale, &body),
            "application/strategic-merge-patch+json" => {
                scale = patch::strategic_merge(&schema, &scale, &body)?
            }
            _ => return Err(error::unsupported_media_type_http()),
        }
        let mut scale =
            decode::normalize(&schema, scale).map_err(|why| Error::bad_request(why.to_string()))?;
        OWNERS.update(Some(old), &mut scale, &manager, Timestamp::now());
        Ok(scale)
    };
    change(registry, request, &options, &step).await
}

async fn apply(registry: &Registry, request: &Request) -> Result<Outcome> {
    let options = WriteOptions::parse("PatchOptions", &request.query, true)?;
    let bad = |why: String| Error::bad_request(format!("error decoding YAML: {why}"));
    let text = body::yaml_to_json(&request.body).map_err(bad)?;
    let config: Value = serde_json::from_slice(&text).map_err(|why| bad(why.to_string()))?;
    let schema = scale_kind().schema;
    let step = |old: &Value| {
        let scale =
            OWNERS.apply(Some(old), &config, &options.field_manager, options.force, Timestamp::now())?;
        decode::normalize(&schema, scale).map_err(|why| Error::bad_request(why.to_string()))
    };
    change(registry, request, &options, &step).await
}

async fn change(
    registry: &Registry,
    request: &Request,
    options: &WriteOptions,
    step: &Step<'_>,
) -> Result<Outcome> {
    let endpoint = &request.endpoint;
    let owners = ScaleOwners::new(&endpoint.info.api_version(), paths(&endpoint.info).0);
    let transform = |old: Option<&Value>| {
        let Some(old) = old else { return Err(error::not_found(&endpoint.info, &request.name)) };
        let entries = meta::field(old, "managedFields");
        let mut present = of(endpoint, old)?;
        if let Some(entries) = owners.of_scale(entries) {
            meta::set(&mut present, "managedFields", Some(entries));
        }
        let scale = step(&present)?;
        check(request, &scale)?;
        check_uid(request, &scale, old)?;
        let mut object = old.clone();
        set(&mut object, paths(&endpoint.info).0, replicas(&scale).into());
        let version = meta::text(&scale, "resourceVersion");
        if !version.is_empty() {
            meta::set(&mut object, "resourceVersion", Some(version.into()));
        }
        let entries = owners.of_object(entries, meta::field(&scale, "managedFields"));
        meta::set(&mut object, "managedFields", entries);
        Ok(object)
    };
    let change = Change { transform: &transform, record_owners: false, create_absent: false, is_patch: true };
    let outcome = registry.change(request, options, &change).await?;
    answer(endpoint, outcome)
}

fn check_uid(request: &Request, scale: &Value, object: &Value) -> Result<()> {
    let (wanted, found) = (meta::text(scale, "uid"), meta::text(object, "uid"));
    if wanted.is_empty() || wanted == found {
        return Ok(());
    }
    let info = &request.endpoint.info;
    let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
    Err(Error::conflict(&info.group, &format!("{}/scale", info.plural), &request.name, &why))
}

fn check(request: &Request, scale: &Value) -> Result<()> {
    let name = meta::text(scale, "name");
    if !name.is_empty() && name != request.name {
        return Err(Error::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            request.name
        )));
    }
    let replicas = replicas(scale);
    if replicas < 0 {
        let why = "must be greater than or equal to 0";
        let error = field::Error::invalid(&Path::new("spec.replicas"), replicas, why);
        return Err(Error::invalid("autoscaling", "Scale", &request.name, vec![error]));
    }
    Ok(())
}

fn replicas(scale: &Value) -> i64 {
    scale["spec"]["replicas"].as_i64().unwrap_or(0)
}

fn answer(endpoint: &Endpoint, outcome: Outcome) -> Result<Outcome> {
    let Outcome::Object(_, item) = outcome else { return Ok(outcome) };
    let object = match item {
        Item::Stored(stored) => endpoint.value(&stored)?,
        Item::Made(value) => value,
    };
    Ok(Outcome::Foreign(StatusCode::OK, of(endpoint, &object)?))
}

/// The Scale of an object.
fn of(endpoint: &Endpoint, object: &Value) -> Result<Value> {
    let mut metadata = serde_json::Map::new();
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = meta::field(object, key) {
            metadata.insert(key.into(), value.clone());
        }
    }
    let (spec_path, status_path) = paths(&endpoint.info);
    let found = at(object, spec_path);
    if found.is_null() && endpoint.info.is_custom() {
        let why = format!("the spec replicas field \".{spec_path}\" does not exist");
        return Err(Error::internal(why));
    }
    let mut spec = json!({});
    let replicas = found.as_i64().unwrap_or(0);
    if replicas != 0 {
        spec["replicas"] = replicas.into();
    }
    let mut status = json!({ "replicas": at(object, status_path).as_i64().unwrap_or(0) });
    let text = selector(&endpoint.info, object);
    if !text.is_empty() {
        status["selector"] = text.into();
    }
    Ok(json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status,
    }))
}

/// Where the wanted and the present replicas are.
fn paths(info: &ResourceInfo) -> (&str, &str) {
    match info.custom.as_ref().and_then(|custom| custom.scale.as_ref()) {
        Some(scale) => (&scale.spec_replicas, &scale.status_replicas),
        None => ("spec.replicas", "status.replicas"),
    }
}

/// The selector of the replicas as text: custom resources have it as such, built-in ones as an object.
fn selector(info: &ResourceInfo, object: &Value) -> String {
    if let Some(custom) = &info.custom {
        let path = custom.scale.as_ref().map_or("", |scale| &scale.label_selector);
        return at(object, path).as_str().unwrap_or_default().to_owned();
    }
    let selector = &object["spec"]["selector"];
    let of_map = |map: &Value| {
        let pairs = map.as_object().into_iter().flatten();
        let pairs = pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
        Selector::from_map(pairs).to_string()
    };
    match (&*info.plural, selector.get("matchExpressions")) {
        ("replicationcontrollers", _) => of_map(selector),
        (_, None) => of_map(&selector["matchLabels"]),
        _ => Selector::from_value(selector).map(|selector| selector.to_string()).unwrap_or_default(),
    }
}

/// The value at a dotted path; null where there is none.
fn at<'v>(object: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(object, |value, key| &value[key])
}

/// Sets the value at a dotted path, making the objects on the way.
fn set(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for key in path.split('.') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[key];
    }
    *place = value;
}
