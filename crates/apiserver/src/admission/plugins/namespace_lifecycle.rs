//! NamespaceLifecycle: nothing is made in a namespace that does not exist or is going, and three namespaces
//! stay.

use std::borrow::Cow;
use std::sync::Arc;

use api_types::status::Cause;
use async_trait::async_trait;
use serde::Deserialize;

use super::Dependencies;
use super::support::{fetch, refuse};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(NamespaceLifecycle)
}

struct NamespaceLifecycle;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Namespace {
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: String,
}

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update | Operation::Delete)
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if request.is_any("", "namespaces") {
            let protected = request.operation == Operation::Delete && IMMORTAL.contains(&request.name);
            return if protected {
                Err(refuse(request, "this namespace may not be deleted"))
            } else {
                Ok(())
            };
        }
        let review = request.is_any("authorization.k8s.io", "localsubjectaccessreviews");
        if request.namespace.is_empty() || request.operation == Operation::Delete || review {
            return Ok(());
        }
        let namespace: Option<Namespace> = fetch(reader, ("", "namespaces"), "", request.namespace).await?;
        let Some(namespace) = namespace else {
            return Err(Error::not_found("", "namespaces", request.namespace));
        };
        if request.operation == Operation::Create && namespace.status.phase == "Terminating" {
            let name = request.namespace;
            let why =
                format!("unable to create new content in namespace {name} because it is being terminated");
            return Err(refuse(request, why).with_cause(Cause {
                reason: Cow::Borrowed("NamespaceTerminating"),
                message: format!("namespace {name} is being terminated"),
                field: "metadata.namespace".into(),
            }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{World, create, update};
    use super::*;

    #[tokio::test]
    async fn creations_need_a_living_namespace() {
        let phase = |phase: &str| json!({"status": {"phase": phase}});
        let active = World::with(&[("/namespaces//ns", phase("Active"))]);
        let going = World::with(&[("/namespaces//ns", phase("Terminating"))]);
        let none = World::with(&[]);
        let terminating = "configmaps \"x\" is forbidden: unable to create new content in namespace ns because it is being terminated";
        let make = || create("", "configmaps", json!({}));
        let change = || update("", "configmaps", json!({}), json!({}));
        let remove = |name| super::super::testing::Ask {
            operation: Operation::Delete,
            ..create("", "namespaces", json!({})).named(name)
        };
        for (world, ask, expected) in [
            (&active, make(), Ok(())),
            (&going, make(), Err(terminating)),
            (&going, change(), Ok(())),
            (&none, make(), Err("namespaces \"ns\" not found")),
            (&none, change(), Err("namespaces \"ns\" not found")),
            (&active, create("", "nodes", json!({})), Ok(())),
            (
                &active,
                remove("default"),
                Err("namespaces \"default\" is forbidden: this namespace may not be deleted"),
            ),
            (&active, remove("mine"), Ok(())),
        ] {
            let got = ask.put_to(&NamespaceLifecycle, world).await.map(drop);
            assert_eq!(got, expected.map_err(str::to_owned));
        }
    }
}
