//! OwnerReferencesPermissionEnforcement: owners of an object are changed by who may delete it, and deletion
//! of an owner is blocked by who may set finalizers on it.

use std::sync::Arc;

use access::authz::{Attributes, Authorizer};
use async_trait::async_trait;
use serde_json::Value;

use super::Dependencies;
use super::support::{list, refuse, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const OWNERS: &str = "/metadata/ownerReferences";

pub(super) fn make(dependencies: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(OwnerReferences { authorizer: dependencies.authorizer.clone() })
}

struct OwnerReferences {
    authorizer: Arc<Authorizer>,
}

#[async_trait]
impl Plugin for OwnerReferences {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        let Some(new) =
            request.object.as_ref().filter(|_| !request.is_any("", "pods") || request.subresource.is_empty())
        else {
            return Ok(());
        };
        let owners = list(new, OWNERS);
        let old = request.old_object.map(|o| list(o, OWNERS)).unwrap_or_default();
        let info = request.resource;
        // At creation the owners are part of what the user may create.
        if request.operation == Operation::Update && owners != old {
            let delete = Attributes::resource(request.user, "delete", &info.group, &info.plural)
                .in_namespace(request.namespace)
                .named(request.name)
                .of_subresource(request.subresource);
            let verdict = self.authorizer.authorize(&delete).await;
            if !verdict.allowed() {
                let why = format!(
                    "cannot set an ownerRef on a resource you can't delete: {}, {}",
                    verdict.reason, verdict.error
                );
                return Err(refuse(request, why));
            }
        }
        let blocks = |owner: &&Value| owner["blockOwnerDeletion"] == true;
        let newly =
            owners.iter().filter(blocks).filter(|o| !old.iter().any(|p| p["uid"] == o["uid"] && blocks(&p)));
        for owner in newly {
            self.check_finalizers(request, owner).await?;
        }
        Ok(())
    }
}

impl OwnerReferences {
    async fn check_finalizers(&self, request: &Request<'_>, owner: &Value) -> Result<(), Error> {
        let (group, version) =
            text(owner, "/apiVersion").rsplit_once('/').unwrap_or(("", text(owner, "/apiVersion")));
        let kind = text(owner, "/kind");
        let info = api_types::resource::builtin()
            .iter()
            .find(|info| info.group == group && info.version == version && info.kind == kind);
        // The resource of a kind that is not built in cannot be told from here; all are asked for then.
        let resource = info.map_or("*", |info| info.plural.as_ref());
        let namespaced = info.is_none_or(|info| info.namespaced);
        let update = Attributes::resource(request.user, "update", group, resource)
            .in_namespace(if namespaced { request.namespace } else { "" })
            .named(text(owner, "/name"))
            .of_subresource("finalizers");
        let verdict = self.authorizer.authorize(&update).await;
        if verdict.allowed() {
            return Ok(());
        }
        let why = format!(
            "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: {}, {}",
            verdict.reason, verdict.error
        );
        Err(refuse(request, why))
    }
}
