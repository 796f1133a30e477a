//! Which hooks a request invokes, and under which version of its resource.

use std::sync::Arc;

use api_types::resource::ResourceInfo;
use api_types::selector::Selector;
use expression::{MATCH_CONDITIONS_BUDGET, Meter};
use serde_json::Value;

use super::Webhooks;
use super::call::{self, Failure};
use super::hook::Hook;
use super::index::Index;
use super::review::namespace_of;
use crate::admission::scene::Scene;
use crate::admission::{Operation, Reader, Request};
use crate::error::{self, Error, Result};

/// A hook to be called.
pub struct Invocation {
    /// The hook.
    pub hook: Arc<Hook>,
    /// The row in the version that one of its rules names.
    pub row: Arc<ResourceInfo>,
}

/// The hooks of `index` that could be about the request; none where no hook may look.
///
/// # Errors
/// The configurations have not been read yet.
pub async fn candidates(index: &Index, request: &Request<'_>) -> Result<Vec<Arc<Hook>>> {
    if is_exempt(request) {
        return Ok(Vec::new());
    }
    match index.about(&request.resource.plural).await {
        Some(hooks) => Ok(hooks),
        None => Err(error::forbidden(request.resource, request.name, "not yet ready to handle request")),
    }
}

/// Hooks and policies must stay reparable, and who may do what must not depend on a hook.
pub fn is_exempt(request: &Request<'_>) -> bool {
    match &*request.resource.group {
        "admissionregistration.k8s.io" => true,
        "authentication.k8s.io" | "authorization.k8s.io" => request.resource.key_prefix.is_empty(),
        _ => false,
    }
}

/// The invocation of `hook` by the request, if it matches.
///
/// # Errors
/// The request's namespace, or a condition, cannot be evaluated.
pub async fn of(
    webhooks: &Webhooks,
    hook: &Arc<Hook>,
    request: &Request<'_>,
    reader: &dyn Reader,
) -> Result<Option<Invocation>> {
    let equivalents = || webhooks.versions.equivalents(request.resource);
    let Some(row) = hook.matching_row(request, equivalents) else { return Ok(None) };
    if !selects_object(&hook.objects, request)
        || !selects_namespace(&hook.namespaces, request, reader).await?
    {
        return Ok(None);
    }
    let invocation = Invocation { hook: Arc::clone(hook), row };
    if hook.conditions.is_empty() {
        return Ok(Some(invocation));
    }
    let scene = scene(webhooks, request, &invocation.row).await?;
    match conditions_hold(hook, &scene) {
        Ok(true) => Ok(Some(invocation)),
        Ok(false) => Ok(None),
        Err(why) if hook.fails_open => {
            tracing::warn!(
                configuration = hook.configuration,
                hook = hook.name,
                why,
                "conditions cannot be evaluated"
            );
            Ok(None)
        }
        Err(why) => Err(error::forbidden(request.resource, request.name, why)),
    }
}

/// What the conditions see.
async fn scene(webhooks: &Webhooks, request: &Request<'_>, row: &Arc<ResourceInfo>) -> Result<Scene> {
    let show = |object| async move {
        call::in_version(webhooks, request, row, object).await.map_err(|failure| match failure {
            Failure::Refusal(refusal) => refusal,
            Failure::Call { why, .. } => Error::internal(why),
        })
    };
    let mut scene = Scene::new(request, row, Arc::clone(&webhooks.authorizer));
    scene.object = show(request.object.as_ref()).await?;
    scene.old_object = show(request.old_object).await?;
    Ok(scene)
}

/// Whether all conditions hold. One that is false decides, whatever became of the others.
fn conditions_hold(hook: &Hook, scene: &Scene) -> std::result::Result<bool, String> {
    let mut meter = Meter::new(MATCH_CONDITIONS_BUDGET);
    let mut failures = Vec::new();
    for condition in &hook.conditions {
        let value = match &condition.program {
            Ok(program) => program
                .evaluate(&scene, &mut meter)
                .map_err(|error| format!("expression '{}' resulted in error: {error}", condition.source)),
            Err(why) => Err(format!("compilation error: {why}")),
        };
        match value {
            Ok(value) if value.as_bool() == Some(true) => {}
            Ok(_) => return Ok(false),
            Err(why) => failures.push(why),
        }
    }
    match failures.as_slice() {
        [] => Ok(true),
        [one] => Err(one.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}

/// Whether a selector takes the object as it is or as it was.
pub fn selects_object(selector: &Selector, request: &Request<'_>) -> bool {
    let selected =
        |object: &Value| object.get("metadata").is_some_and(|metadata| selector.matches(&metadata["labels"]));
    selector.is_everything()
        || request.object.as_ref().is_some_and(selected)
        || request.old_object.is_some_and(selected)
}

/// Whether a selector takes the namespace of the request. Cluster-scoped objects other than namespaces have none, and
/// are taken by every selector.
pub async fn selects_namespace(
    selector: &Selector,
    request: &Request<'_>,
    reader: &dyn Reader,
) -> Result<bool> {
    if selector.is_everything() {
        return Ok(true);
    }
    let is_namespace = request.is_any("", "namespaces");
    if request.namespace.is_empty() && !is_namespace {
        return Ok(true);
    }
    let written = matches!(request.operation, Operation::Create | Operation::Update);
    if is_namespace && request.subresource.is_empty() && written {
        let labels = request.object.as_ref().map(|object| &object["metadata"]["labels"]);
        return Ok(selector.matches(&labels));
    }
    let name = namespace_of(request);
    for fresh in [false, true] {
        if let Some(bytes) = reader.get("", "namespaces", "", name, fresh).await? {
            let namespace: Value = serde_json::from_slice(&bytes).map_err(Error::internal)?;
            return Ok(selector.matches(&namespace["metadata"]["labels"]));
        }
    }
    Err(Error::not_found("", "namespaces", name))
}
