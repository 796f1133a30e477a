//! PersistentVolumeClaimResize: a claim grows only where its class allows it.

use std::sync::Arc;

use api_types::quantity::Quantity;
use async_trait::async_trait;
use serde_json::Value;

use super::Dependencies;
use super::support::{annotation, fetch, refuse, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const SIZE: &str = "/spec/resources/requests/storage";

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(PersistentVolumeClaimResize)
}

struct PersistentVolumeClaimResize;

#[async_trait]
impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    async fn validate(&self, request: &Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        let claim = request.is("", "persistentvolumeclaims").then_some(request.object.as_ref()).flatten();
        let (Some(new), Some(old)) = (claim, request.old_object) else { return Ok(()) };
        let size = |claim: &Value| Quantity::parse(text(claim, SIZE)).unwrap_or(Quantity::ZERO);
        if size(new) <= size(old) {
            return Ok(());
        }
        if text(old, "/status/phase") != "Bound" {
            return Err(refuse(request, "Only bound persistent volume claims can be expanded"));
        }
        let named = |claim: &Value| {
            let old_style = annotation(claim, "volume.beta.kubernetes.io/storage-class");
            old_style.unwrap_or_else(|| text(claim, "/spec/storageClassName")).to_owned()
        };
        let class = named(new);
        let expandable = match class.as_str() {
            "" => false,
            _ if class != named(old) => false,
            _ => {
                let class: Option<Value> =
                    fetch(reader, ("storage.k8s.io", "storageclasses"), "", &class).await?;
                class.is_some_and(|class| class["allowVolumeExpansion"] == true)
            }
        };
        if expandable {
            return Ok(());
        }
        Err(refuse(
            request,
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{World, update};
    use super::*;

    #[tokio::test]
    async fn claims_grow_where_their_class_allows() {
        let world = World::with(&[
            ("storage.k8s.io/storageclasses//yes", json!({"allowVolumeExpansion": true})),
            ("storage.k8s.io/storageclasses//no", json!({})),
        ]);
        let claim = |class: &str, size: &str, phase: &str| json!({"spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}, "status": {"phase": phase}});
        let cannot = Err(
            "persistentvolumeclaims \"x\" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        );
        for (class, from, to, phase, expected) in [
            ("yes", "1Gi", "2Gi", "Bound", Ok(())),
            ("no", "1Gi", "2Gi", "Bound", cannot),
            ("", "1Gi", "2Gi", "Bound", cannot),
            ("no", "1Gi", "1024Mi", "Bound", Ok(())),
            (
                "yes",
                "1Gi",
                "2Gi",
                "Pending",
                Err(
                    "persistentvolumeclaims \"x\" is forbidden: Only bound persistent volume claims can be expanded",
                ),
            ),
        ] {
            let ask =
                update("", "persistentvolumeclaims", claim(class, from, phase), claim(class, to, phase));
            let got = ask.put_to(&PersistentVolumeClaimResize, &world).await.map(drop);
            assert_eq!(got, expected.map_err(str::to_owned), "{class} {from} {to}");
        }
    }
}
