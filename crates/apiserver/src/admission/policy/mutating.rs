//! MutatingAdmissionPolicy: policies that change objects, one after the other.

use std::sync::Arc;

use api_types::resource::ResourceInfo;
use api_types::{decode, default, schema};
use async_trait::async_trait;
use expression::REQUEST_BUDGET;
use serde_json::Value;

use super::definition::{Mutation, Policy};
use super::index::{Binding, Bound};
use super::stage::Stage;
use super::{Policies, invocation, params, patch, refusal};
use crate::admission::scene::Scene;
use crate::admission::{Operation, Plugin, Reader, Request, kind_of};
use crate::error::Result;
use crate::registry::endpoint::strip_kind;

/// The plug-in.
pub(super) struct MutatingAdmissionPolicy(pub(super) Arc<Policies>);

const NAME: &str = "MutatingAdmissionPolicy";

#[async_trait]
impl Plugin for MutatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Delete
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<()> {
        let candidates = invocation::candidates(&self.0.mutating, request).await?;
        if candidates.is_empty() || request.object.is_none() {
            return Ok(());
        }
        if request.reinvocation.is_running() {
            let Request { reinvocation, object, .. } = request;
            reinvocation.round(NAME).resume(object.as_ref());
        }
        for bound in &candidates {
            self.run(bound, request, reader).await?;
        }
        let Request { reinvocation, object, .. } = request;
        reinvocation.round(NAME).finish(object.as_ref());
        Ok(())
    }
}

impl MutatingAdmissionPolicy {
    /// Runs a policy under each of its bindings.
    async fn run(&self, bound: &Bound, request: &mut Request<'_>, reader: &dyn Reader) -> Result<()> {
        let policy = &*bound.policy;
        let Some(row) = policy.constraints.row(request, &*self.0.versions, reader).await? else {
            return Ok(());
        };
        for binding in &bound.bindings {
            if !invocation::is_bound(&self.0, binding, request, reader).await? {
                continue;
            }
            let params = match params::of(&self.0, policy, binding, request).await {
                Ok(params) => params,
                Err(_) if policy.fails_open => continue,
                Err(why) => {
                    let message = format!("failed to configure binding: {why}");
                    return Err(refusal::not_mutated(request, &policy.name, Some(&binding.name), &message));
                }
            };
            for param in params {
                let id = format!("{}/{}/{}", policy.name, binding.name, name_of(param.as_ref()));
                if request.reinvocation.is_running() && !request.reinvocation.round(NAME).runs_again(&id) {
                    continue;
                }
                if self.run_once(policy, binding, param, &row, request, reader).await? {
                    request.reinvocation.round(NAME).object_changed();
                    request.reinvocation.want();
                }
                if policy.reinvoked {
                    request.reinvocation.round(NAME).invoked(&id);
                }
            }
        }
        Ok(())
    }

    /// Runs a policy once; whether it changed the object.
    async fn run_once(
        &self,
        policy: &Policy,
        binding: &Binding,
        param: Option<Value>,
        row: &Arc<ResourceInfo>,
        request: &mut Request<'_>,
        reader: &dyn Reader,
    ) -> Result<bool> {
        let mut scene = invocation::scene(&self.0, request, row, reader).await?;
        scene.params = param;
        let refused = |why: &str, request: &Request<'_>| {
            Err(refusal::not_mutated(request, &policy.name, Some(&binding.name), why))
        };
        match invocation::conditions_hold(policy, &scene) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(_) if policy.fails_open => return Ok(false),
            Err(why) => return refused(&why, request),
        }
        let before = scene.object.clone();
        let mut budget = REQUEST_BUDGET;
        for mutation in &policy.mutations {
            // Every mutation sees what the one before has made; one that fails leaves the object as it was.
            match mutated(policy, mutation, &scene, row, request.subresource, &mut budget) {
                Ok(changed) => scene.object = changed,
                Err(_) if policy.fails_open => {}
                Err(why) => return refused(&why, request),
            }
        }
        if scene.object == before {
            return Ok(false);
        }
        let mut changed = std::mem::take(&mut scene.object);
        strip_kind(&mut changed);
        if !Arc::ptr_eq(row, request.resource) {
            changed = self.0.versions.convert(row, request.resource, &changed).await?;
        }
        let differs = request.object.as_ref() != Some(&changed);
        request.object = Some(changed);
        Ok(differs)
    }
}

fn name_of(param: Option<&Value>) -> String {
    let text =
        |key: &str| param.and_then(|param| param["metadata"][key].as_str()).unwrap_or_default().to_owned();
    format!("{}/{}", text("namespace"), text("name"))
}

/// The scene's object after one mutation.
fn mutated(
    policy: &Policy,
    mutation: &Mutation,
    scene: &Scene,
    row: &ResourceInfo,
    subresource: &str,
    budget: &mut u64,
) -> std::result::Result<Value, String> {
    let stage = Stage::new(policy, scene, *budget);
    let (Mutation::Apply(expression) | Mutation::Patch(expression)) = mutation;
    let value = stage.evaluate(expression).map_err(|failure| failure.message)?;
    *budget = stage.left();
    let [group, version, kind] = kind_of(row, subresource);
    let own = subresource.is_empty() || kind == &*row.kind;
    let schema = if own { Some(row.schema.clone()) } else { schema::by_gvk(group, version, kind) };
    let schema = schema.ok_or_else(|| format!("no schema is known for {kind}"))?;
    let mut changed = match mutation {
        Mutation::Apply(_) => patch::merged(&schema, &scene.object, &value)?,
        Mutation::Patch(_) => patch::patched(&scene.object, &value)?,
    };
    strip_kind(&mut changed);
    changed = decode::normalize(&schema, changed).map_err(|error| error.to_string())?;
    if own {
        default::apply(row, &mut changed);
    }
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(crate::http::respond::of_kind(&api_version, kind, changed))
}
