//! Escalation checks: whoever writes a role or a binding holds its rules, or the verbs `escalate` and `bind`.
//!
//! On upstream this is part of the storage of these resources and cannot be switched off; here it runs after
//! all plug-ins that change objects, for every server.

use std::sync::Arc;

use access::authz::escalation::{Refusal, Target, check_binding, check_role};
use access::authz::{Authorizer, PolicyRule, Rbac, RoleRef};
use async_trait::async_trait;
use serde::Deserialize as _;
use serde_json::Value;

use super::Dependencies;
use super::support::{known_name, list};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn make(dependencies: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(RbacEscalation { authorizer: dependencies.authorizer.clone(), rbac: dependencies.rbac.clone() })
}

struct RbacEscalation {
    authorizer: Arc<Authorizer>,
    rbac: Arc<Rbac>,
}

#[async_trait]
impl Plugin for RbacEscalation {
    fn name(&self) -> &'static str {
        "RBACEscalationCheck"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        if request.resource.group != GROUP || !request.subresource.is_empty() {
            return Ok(());
        }
        let Some(new) = &request.object else { return Ok(()) };
        // The garbage collector may go on with objects whose rules it does not hold.
        if request.old_object.is_some_and(|old| only_collectors_fields_differ(old, new)) {
            return Ok(());
        }
        let target =
            Target { resource: &request.resource.plural, namespace: request.namespace, name: request.name };
        let checked = match request.resource.plural.as_ref() {
            "roles" | "clusterroles" => {
                let rules: Vec<PolicyRule> = list(new, "/rules")
                    .iter()
                    .map(PolicyRule::deserialize)
                    .collect::<Result<_, _>>()
                    .map_err(|e| Error::bad_request(e.to_string()))?;
                let aggregates = new.get("aggregationRule").is_some_and(|rule| !rule.is_null());
                check_role(&self.authorizer, request.user, target, &rules, aggregates).await
            }
            "rolebindings" | "clusterrolebindings" => {
                // A binding without a role is for validation to refuse.
                let Ok(role) = RoleRef::deserialize(&new["roleRef"]) else { return Ok(()) };
                check_binding(&self.authorizer, &self.rbac, request.user, target, &role).await
            }
            _ => return Ok(()),
        };
        let info = request.resource;
        checked.map_err(|refusal| match refusal {
            Refusal::NoSuchRole(name) => Error::not_found(&info.group, &info.plural, &name),
            Refusal::Escalation(why) => crate::error::forbidden(info, known_name(request), why),
        })
    }
}

/// Whether two forms of an object differ in owners, finalizers and housekeeping alone.
fn only_collectors_fields_differ(old: &Value, new: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
                metadata.remove(field);
            }
        }
        object
    };
    rest(old) == rest(new)
}

#[cfg(test)]
mod tests {
    use access::authz::Replica as _;
    use serde_json::json;

    use super::super::testing::{World, create, dependencies};
    use super::*;

    #[tokio::test]
    async fn nobody_grants_more_than_they_hold() {
        let world = World::with(&[]);
        let dependencies = dependencies(&world);
        let rule = |verb: &str| json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]});
        let bind = |role: &str| json!({"roleRef": {"apiGroup": GROUP, "kind": "Role", "name": role}, "subjects": [{"kind": "User", "name": "alice"}]});
        for (resource, name, body) in [
            ("roles", "own", json!({"rules": [rule("get")]})),
            ("roles", "more", json!({"rules": [rule("delete")]})),
            ("rolebindings", "b", bind("own")),
        ] {
            dependencies.rbac.upsert(resource, "ns", name, body.to_string().as_bytes()).unwrap();
        }
        let plugin = make(&dependencies);
        let role = |verb: &str| create(GROUP, "roles", json!({"rules": [rule(verb)]}));
        let binding = |role: &str| create(GROUP, "rolebindings", bind(role));
        let missing = |resource: &str| {
            Err(format!(
                "{resource}.rbac.authorization.k8s.io \"x\" is forbidden: user \"alice\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}}"
            ))
        };
        for (ask, expected) in [
            (role("get"), Ok(())),
            (role("delete"), missing("roles")),
            (binding("own"), Ok(())),
            (binding("more"), missing("rolebindings")),
            (binding("ghost"), Err("rolebindings.rbac.authorization.k8s.io \"ghost\" not found".to_owned())),
        ] {
            assert_eq!(ask.put_to(&*plugin, &world).await.map(drop), expected);
        }
    }
}
