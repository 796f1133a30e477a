//! AlwaysPullImages: no pod runs an image that its own credentials did not fetch.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::Dependencies;
use super::support::{containers, refuse, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(AlwaysPullImages)
}

struct AlwaysPullImages;

#[async_trait]
impl Plugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        if !concerned(request) {
            return Ok(());
        }
        let Some(pod) = &mut request.object else { return Ok(()) };
        for field in ["initContainers", "containers", "ephemeralContainers"] {
            for container in pod["spec"].get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
                container["imagePullPolicy"] = "Always".into();
            }
        }
        for volume in pod["spec"].get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(image) = volume.get_mut("image").filter(|image| image.is_object()) {
                image["pullPolicy"] = "Always".into();
            }
        }
        Ok(())
    }

    async fn validate(&self, request: &Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        let Some(pod) = request.object.as_ref().filter(|_| concerned(request)) else { return Ok(()) };
        if containers(&pod["spec"]).all(|(_, c)| text(c, "/imagePullPolicy") == "Always") {
            return Ok(());
        }
        Err(refuse(
            request,
            "spec.containers.imagePullPolicy: Unsupported value: supported values: \"Always\"",
        ))
    }
}

fn concerned(request: &Request<'_>) -> bool {
    request.is_any("", "pods") && matches!(request.subresource, "" | "ephemeralcontainers")
}
