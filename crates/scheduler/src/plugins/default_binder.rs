//! DefaultBinder: binds through the pod's `binding` subresource.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{Binding, ObjectReference, Pod};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use async_trait::async_trait;
use client::kube::core::Request;
use client::{Client, Error, PostParams, Resource};

use crate::cache::PodInfo;
use crate::framework::{Bind, Plugin};

/// The plugin.
pub struct DefaultBinder;

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        "DefaultBinder"
    }
    fn bind(self: Arc<Self>) -> Option<Arc<dyn Bind>> {
        Some(self)
    }
}

#[async_trait]
impl Bind for DefaultBinder {
    async fn bind(&self, client: &Client, pod: &PodInfo, node: &str) -> Result<(), anyhow::Error> {
        let name = &*pod.key.name;
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(pod.namespace.to_string()),
                // The pod could have been replaced by another of its name.
                uid: Some(pod.uid.to_string()),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        let body = serde_json::to_vec(&binding).map_err(Error::SerdeError)?;
        let request = Request::new(Pod::url_path(&(), Some(&pod.namespace)))
            .create_subresource("binding", name, &PostParams::default(), body)
            .map_err(Error::BuildRequest)?;
        // The answer is a Status, of which only success matters.
        client.request::<serde::de::IgnoredAny>(request).await?;
        Ok(())
    }
}
