//! Which policies a request meets, and the scene that their expressions see.

use std::sync::Arc;

use api_types::resource::ResourceInfo;
use expression::{MATCH_CONDITIONS_BUDGET, Value as Cel};
use serde_json::Value;

use super::Policies;
use super::definition::Policy;
use super::index::{Binding, Bound, Index};
use super::stage::Stage;
use crate::admission::scene::Scene;
use crate::admission::webhook::is_exempt;
use crate::admission::{Reader, Request, kind_of};
use crate::error::{self, Error, Result};
use crate::http::respond;

/// The policies of `index` that could be about the request; none where no policy may look.
///
/// # Errors
/// The policies have not been read yet.
pub async fn candidates(index: &Index, request: &Request<'_>) -> Result<Vec<Bound>> {
    if is_exempt(request) {
        return Ok(Vec::new());
    }
    match index.about(&request.resource.plural).await {
        Some(bound) => Ok(bound),
        None => Err(error::forbidden(request.resource, request.name, "not yet ready to handle request")),
    }
}

/// Whether a binding lets its policy see the request.
///
/// # Errors
/// The request's namespace cannot be read.
pub async fn is_bound(
    policies: &Policies,
    binding: &Binding,
    request: &Request<'_>,
    reader: &dyn Reader,
) -> Result<bool> {
    match &binding.constraints {
        None => Ok(true),
        Some(constraints) => Ok(constraints.row(request, &*policies.versions, reader).await?.is_some()),
    }
}

/// The scene of a request in the version of `row`, parameters aside.
///
/// # Errors
/// Objects cannot be converted, or the namespace cannot be read.
pub async fn scene(
    policies: &Policies,
    request: &Request<'_>,
    row: &Arc<ResourceInfo>,
    reader: &dyn Reader,
) -> Result<Scene> {
    let mut scene = Scene::new(request, row, Arc::clone(&policies.authorizer));
    scene.object = in_version(policies, request, row, request.object.as_ref()).await?;
    scene.old_object = in_version(policies, request, row, request.old_object).await?;
    if !request.namespace.is_empty() {
        for fresh in [false, true] {
            if let Some(bytes) = reader.get("", "namespaces", "", request.namespace, fresh).await? {
                scene.namespace = serde_json::from_slice(&bytes).map_err(Error::internal)?;
                break;
            }
        }
    }
    Ok(scene)
}

/// An object in the version of `row`, with `kind` and `apiVersion`; null where there is none.
async fn in_version(
    policies: &Policies,
    request: &Request<'_>,
    row: &ResourceInfo,
    object: Option<&Value>,
) -> Result<Value> {
    let Some(object) = object else { return Ok(Value::Null) };
    let [group, version, kind] = kind_of(row, request.subresource);
    let same = kind_of(request.resource, request.subresource) == [group, version, kind];
    let converted = match same {
        true => object.clone(),
        false => policies.versions.convert(request.resource, row, object).await?,
    };
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(respond::of_kind(&api_version, kind, converted))
}

/// Whether all match conditions hold.
///
/// # Errors
/// Conditions failed while none was false.
pub fn conditions_hold(policy: &Policy, scene: &Scene) -> std::result::Result<bool, String> {
    if policy.conditions.is_empty() {
        return Ok(true);
    }
    let stage = Stage::new(policy, scene, MATCH_CONDITIONS_BUDGET);
    let mut failures = Vec::new();
    for condition in &policy.conditions {
        match stage.evaluate(condition) {
            Ok(Cel::Bool(true)) => {}
            Ok(_) => return Ok(false),
            Err(failure) => failures.push(failure.message),
        }
    }
    match failures.as_slice() {
        [] => Ok(true),
        [one] => Err(one.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}
