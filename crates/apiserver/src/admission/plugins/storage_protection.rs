//! StorageObjectInUseProtection: claims and volumes carry a finalizer, so that none goes while it is in use.

use std::sync::Arc;

use async_trait::async_trait;

use super::Dependencies;
use super::support::{list, list_at};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

/// Group, resource and finalizer.
const PROTECTED: [(&str, &str, &str); 3] = [
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(StorageObjectInUseProtection)
}

struct StorageObjectInUseProtection;

#[async_trait]
impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        let protected = PROTECTED.iter().find(|(group, resource, _)| request.is(group, resource));
        let (Some((.., finalizer)), Some(object)) = (protected, &mut request.object) else { return Ok(()) };
        let present = list(object, "/metadata/finalizers").iter().any(|f| f == finalizer);
        if !present && let Some(finalizers) = list_at(&mut object["metadata"], "finalizers") {
            finalizers.push((*finalizer).into());
        }
        Ok(())
    }
}
