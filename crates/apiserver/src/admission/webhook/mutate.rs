//! MutatingAdmissionWebhook: hooks that change the object, one after the other.

use std::sync::Arc;

use api_types::{decode, default, patch, schema};
use async_trait::async_trait;
use serde_json::Value;

use super::Webhooks;
use super::call::{self, Failure};
use super::invocation::{self, Invocation};
use crate::admission::{Operation, Plugin, Reader, Request, Step, kind_of};
use crate::error::{Error, Result};
use crate::registry::endpoint::strip_kind;

/// The plug-in.
pub(super) struct MutatingAdmissionWebhook(pub(super) Arc<Webhooks>);

const NAME: &str = "MutatingAdmissionWebhook";

#[async_trait]
impl Plugin for MutatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        NAME
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<()> {
        let hooks = invocation::candidates(&self.0.mutating, request).await?;
        if hooks.is_empty() {
            return Ok(());
        }
        let again = request.reinvocation.is_running();
        if again {
            let Request { reinvocation, object, .. } = request;
            reinvocation.round(NAME).resume(object.as_ref());
        }
        for hook in hooks {
            let Some(invocation) = invocation::of(&self.0, &hook, request, reader).await? else { continue };
            // A hook that the first run did not call is not called in the second.
            if again && !request.reinvocation.round(NAME).runs_again(&hook.id) {
                continue;
            }
            if self.invoke(&invocation, request, reader).await? {
                request.reinvocation.round(NAME).object_changed();
                request.reinvocation.want();
            }
            if hook.reinvoked {
                request.reinvocation.round(NAME).invoked(&hook.id);
            }
        }
        let Request { reinvocation, object, .. } = request;
        reinvocation.round(NAME).finish(object.as_ref());
        Ok(())
    }
}

impl MutatingAdmissionWebhook {
    /// Asks one hook and applies its patch; whether that changed the object.
    async fn invoke(
        &self,
        invocation: &Invocation,
        request: &mut Request<'_>,
        reader: &dyn Reader,
    ) -> Result<bool> {
        let verdict = call::ask(&self.0, invocation, request, Step::Admit, reader).await?;
        let Some(patch) = verdict.and_then(|verdict| verdict.patch) else { return Ok(false) };
        if patch.as_array().is_some_and(Vec::is_empty) {
            return Ok(false);
        }
        let Some(object) = &request.object else {
            let name = &invocation.hook.name;
            return Err(Error::internal(format!(
                "admission webhook {name:?} attempted to modify the object, which is not supported for this operation"
            )));
        };
        let changed = self.patched(invocation, request, object, &patch).await?;
        let differs = changed != *object;
        if differs {
            let name = &invocation.hook;
            tracing::debug!(
                configuration = name.configuration,
                hook = name.name,
                "a webhook changed the object"
            );
            request.object = Some(changed);
        }
        Ok(differs)
    }

    async fn patched(
        &self,
        invocation: &Invocation,
        request: &Request<'_>,
        object: &Value,
        patch: &Value,
    ) -> Result<Value> {
        let row = &invocation.row;
        let shown = call::in_version(&self.0, request, row, Some(object)).await;
        let mut changed = shown.map_err(|failure| match failure {
            Failure::Refusal(refusal) => refusal,
            Failure::Call { why, .. } => Error::internal(why),
        })?;
        // What is wrong with the patch is the hook's fault, not the client's.
        patch::json_patch(&mut changed, patch).map_err(Error::internal)?;
        strip_kind(&mut changed);
        let [group, version, kind] = kind_of(row, request.subresource);
        let own = request.subresource.is_empty() || kind == &*row.kind;
        let schema = match own {
            true => Some(row.schema.clone()),
            false => schema::by_gvk(group, version, kind),
        };
        if let Some(schema) = schema {
            decode::prune(&schema, &mut changed);
            // What does not fit a custom resource's schema is found by its validation.
            if !row.is_custom() {
                changed = decode::normalize(&schema, changed).map_err(Error::internal)?;
            }
        }
        if own {
            default::apply(row, &mut changed);
        }
        if Arc::ptr_eq(row, request.resource) {
            return Ok(changed);
        }
        self.0.versions.convert(row, request.resource, &changed).await
    }
}
