//! PodTopologyLabels: a pod carries the zone and region of the node it is bound to (KEP-4742).

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::Dependencies;
use super::support::{fetch, map_at, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(PodTopologyLabels)
}

struct PodTopologyLabels;

#[async_trait]
impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        // The labels of a Binding go to its pod.
        let pointer = match request.subresource {
            "" if request.is_any("", "pods") => "/spec/nodeName",
            "binding" if request.is_any("", "pods") => "/target/name",
            _ => return Ok(()),
        };
        let Some(object) = &mut request.object else { return Ok(()) };
        let node = text(object, pointer);
        if node.is_empty() || !matches!(text(object, "/target/kind"), "" | "Node") {
            return Ok(());
        }
        // Binding to a node that does not exist is refused elsewhere, or is a static pod's early start.
        let Some(node) = fetch::<Value>(reader, ("", "nodes"), "", node).await? else { return Ok(()) };
        let of_node = node.pointer("/metadata/labels").and_then(Value::as_object);
        for label in LABELS {
            if let Some(value) = of_node.and_then(|labels| labels.get(label))
                && let Some(labels) = map_at(&mut object["metadata"], "labels")
            {
                labels.insert(label.to_owned(), value.clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{World, create};
    use super::*;

    #[tokio::test]
    async fn bindings_take_the_labels_of_the_node() {
        let world = World::with(&[(
            "/nodes//n1",
            json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "z1", "other": "x"}}}),
        )]);
        let binding = create("", "pods", json!({"target": {"kind": "Node", "name": "n1"}})).on("binding");
        let answer = binding.put_to(&PodTopologyLabels, &world).await.unwrap().object;
        assert_eq!(answer["metadata"]["labels"], json!({"topology.kubernetes.io/zone": "z1"}));
    }
}
