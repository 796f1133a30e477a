//! NamespaceAutoProvision: makes the namespace that an object is created in.

use std::sync::Arc;

use async_trait::async_trait;
use serde::de::IgnoredAny;
use serde_json::json;

use super::Dependencies;
use super::support::fetch;
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;
use crate::loopback::{Objects, Target};

pub(super) fn make(dependencies: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(NamespaceAutoProvision { objects: dependencies.objects.clone() })
}

struct NamespaceAutoProvision {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for NamespaceAutoProvision {
    fn name(&self) -> &'static str {
        "NamespaceAutoProvision"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        let name = request.namespace;
        if name.is_empty() || request.dry_run || request.is_any("", "namespaces") {
            return Ok(());
        }
        let namespaces = ("", "namespaces");
        if fetch::<IgnoredAny>(reader, namespaces, "", name).await?.is_some() {
            return Ok(());
        }
        let target = Target { group: "", resource: "namespaces", namespace: "", name, subresource: "" };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        match self.objects.create(target, namespace).await {
            Err(error) if error.is_already_exists() => Ok(()),
            created => created.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Ask, World, create, dependencies};
    use super::*;

    #[tokio::test]
    async fn namespaces_are_made_when_needed() {
        let world = World::with(&[]);
        let plugin = make(&dependencies(&world));
        let made = || world.0.lock().contains_key("/namespaces//ns");
        let dry = Ask { dry_run: true, ..create("", "configmaps", json!({})) };
        dry.put_to(&*plugin, &world).await.unwrap();
        create("", "nodes", json!({})).put_to(&*plugin, &world).await.unwrap();
        assert!(!made());
        create("", "configmaps", json!({})).put_to(&*plugin, &world).await.unwrap();
        assert!(made());
    }
}
